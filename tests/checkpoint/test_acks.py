"""A window is done when all of it has been handed on and all of that is settled."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.acks import Window as DoneWindow
from crawler.checkpoint.acks import WindowAck
from crawler.mlflow.entities import Run, RunInfo
from crawler.mlflow.paging.coverage import Window
from crawler.pipeline.windows import WindowTracker, split_at

WINDOW = DoneWindow("1", None, 5, 3, 2, 1)


@given(st.integers(0, 5), st.data())
def test_a_window_is_done_once_and_last(entities: int, data: st.DataObject) -> None:
    done: list[DoneWindow] = []
    ack = WindowAck(done.extend)
    finished = 0
    for added in range(1, entities + 1):
        ack.add(1)
        for _ in range(data.draw(st.integers(0, added - finished))):
            ack.done(1)
            finished += 1
    assert done == []
    ack.seal([WINDOW])
    for left in range(entities - finished, 0, -1):
        assert done == [], left
        ack.done(1)
    assert done == [WINDOW]


def run(run_id: str, start_time: int | None, stage: str = "active", experiment_id: str = "7") -> Run:
    return Run(RunInfo(run_id, experiment_id, start_time=start_time, lifecycle_stage=stage))


def test_runs_of_the_last_start_time_belong_to_the_next_window() -> None:
    runs = [run("a", 1), run("b", 5), run("c", 5), run("d", None)]
    inside, beyond = split_at(runs, Window(None, 5, {"7": 1}))
    assert [each.info.run_id for each in inside] == ["a", "d"]
    assert [each.info.run_id for each in beyond] == ["b", "c"]
    assert split_at(runs, Window(None, None, {"7": 4})) == (runs, [])
    assert split_at(runs, None) == (runs, [])


def test_the_runs_of_each_window_are_counted() -> None:
    done: list[DoneWindow] = []
    windows = WindowTracker(["7"], lambda: WindowAck(done.extend))
    first = windows.ack
    assert first is not None
    first.add(1)
    windows.count([run("a", 1), run("b", 2, "deleted")])
    windows.count([run("e", 3), run("f", 4, "deleted"), run("g", 4)])
    windows.count_left_out([run("h", 4)])
    windows.end(Window(None, 5, {"7": 6}))
    windows.count([run("c", 5)])
    windows.end(Window(5, None, {"7": 1}))
    assert done == [DoneWindow("7", 5, None, 1, 1, 0)]
    first.done(1)
    assert done[1:] == [DoneWindow("7", None, 5, 6, 3, 2, 1)]


def test_a_window_of_several_experiments_is_done_for_each() -> None:
    done: list[DoneWindow] = []
    windows = WindowTracker(["7", "8", "9"], lambda: WindowAck(done.extend))
    windows.count([run("a", 1), run("b", 2, "deleted", "8"), run("c", 3, "active", "8")])
    windows.end(Window(None, 5, {"7": 1, "8": 2}))
    assert done == [
        DoneWindow("7", None, 5, 1, 1, 0),
        DoneWindow("8", None, 5, 2, 1, 1),
        DoneWindow("9", None, 5, 0, 0, 0),
    ]


def test_a_window_that_goes_on_in_parts_is_not_done_before_its_own_runs_are() -> None:
    done: list[DoneWindow] = []
    whole = WindowTracker(["1", "2"], lambda: WindowAck(done.extend))
    assert whole.ack is not None
    whole.count([run("a", 5, experiment_id="1"), run("b", 5, "deleted", experiment_id="2")])
    whole.count_left_out([run("c", 6, experiment_id="2")])
    whole.ack.add(1)
    first, second = whole.take_apart([["1"], ["2"]])
    for part, experiment_id in ((first, "1"), (second, "2")):
        part.end(Window(5, 9, {experiment_id: 1}))
    assert done == []
    whole.ack.done(1)
    assert done == [DoneWindow("1", 5, 9, 1, 1, 0), DoneWindow("2", 5, 9, 1, 0, 1, 1)]


def test_a_part_of_a_window_that_is_never_read_holds_no_other_one_back() -> None:
    done: list[DoneWindow] = []
    first, _ = WindowTracker(["1", "2"], lambda: WindowAck(done.extend)).take_apart([["1"], ["2"]])
    first.end(Window(None, 9, {}))
    assert done == [DoneWindow("1", None, 9, 0, 0, 0)]
