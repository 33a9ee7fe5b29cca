"""A window is done when all of it has been handed on and all of that is settled."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.mark import Mark, Window
from crawler.crawl.windows import WindowTracker, parted
from crawler.mlflow.entities import Run, RunInfo
from crawler.mlflow.paging import coverage

WINDOW = Window("1", None, 5, 3, 2, 1)


@given(st.integers(0, 5), st.data())
def test_a_window_is_done_once_and_last(entities: int, data: st.DataObject) -> None:
    done: list[Window] = []
    mark = Mark(done.append)
    settled = 0
    for added in range(1, entities + 1):
        mark.add(1)
        for _ in range(data.draw(st.integers(0, added - settled))):
            mark.done(1)
            settled += 1
    assert done == []
    mark.seal(WINDOW)
    for left in range(entities - settled, 0, -1):
        assert done == [], left
        mark.done(1)
    assert done == [WINDOW]


def run(run_id: str, start_time: int | None, stage: str = "active") -> Run:
    return Run(RunInfo(run_id, start_time=start_time, lifecycle_stage=stage))


def test_runs_of_the_last_start_time_belong_to_the_next_window() -> None:
    runs = [run("a", 1), run("b", 5), run("c", 5), run("d", None)]
    inside, beyond = parted(runs, coverage.Window(None, 5, {"1": 1}))
    assert [each.info.run_id for each in inside] == ["a", "d"]
    assert [each.info.run_id for each in beyond] == ["b", "c"]
    assert parted(runs, coverage.Window(None, None, {"1": 4})) == (runs, [])
    assert parted(runs, None) == (runs, [])


def test_a_trail_counts_each_windows_runs() -> None:
    done: list[Window] = []
    trail = WindowTracker("7", lambda: Mark(done.append))
    first = trail.mark
    first.add(1)
    trail.count([run("a", 1), run("b", 2, "deleted")])
    trail.count([run("e", 3), run("f", 4, "deleted"), run("g", 4)])
    trail.end_window(coverage.Window(None, 5, {"1": 5}))
    trail.count([run("c", 5)])
    trail.end_window(coverage.Window(5, None, {"1": 1}))
    assert done == [Window("7", 5, None, 1, 1, 0)]
    first.done(1)
    assert done[1:] == [Window("7", None, 5, 5, 3, 2)]
