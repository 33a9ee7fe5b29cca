"""Which runs a crawl takes: the newest of each experiment, by name, since when. Pure."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.errors import RequestRefused
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run, RunInfo
from crawler.mlflow.newest_runs import NewestQuery, nth_newest
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.tokens import offset_token, parse_offset
from crawler.pipeline.plan import Stretch
from crawler.pipeline.run_choice import RunChoice
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Lifecycle, Selection
from crawler.settings.since import since
from tests.support.examples import examples

RUNS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["keep", "drop"])), max_size=14).map(
    lambda rows: [Run(RunInfo(f"r{n:02}", "1", name, start_time=start)) for n, (start, name) in enumerate(rows)]
)
QUERY = NewestQuery(["1"])


class Store:
    """Runs in MLflow's order, newest first; `opaque` tokens cannot be made by anybody else."""

    def __init__(self, runs: list[Run], *, opaque: bool = False) -> None:
        self.runs = sorted(runs, key=lambda run: (-(run.info.start_time or 0), run.info.run_id))
        self.rows = 0
        self._opaque = opaque

    async def search(self, query: dict[str, object]) -> Page[Run]:
        token = str(query.get("page_token", ""))
        if self._opaque and token and not token.startswith("at:"):
            raise RequestRefused("400", status=400, answer="no such token")
        offset = int(token.removeprefix("at:") or 0) if self._opaque else parse_offset(token) or 0
        end = offset + int(str(query["max_results"]))
        page = self.runs[offset:end]
        self.rows += len(page)
        following = (f"at:{end}" if self._opaque else offset_token(end)) if end < len(self.runs) else ""
        return Page(page, following)


@examples(300)
@given(RUNS, st.integers(1, 8), st.booleans(), st.booleans())
async def test_the_newest_runs_are_taken_and_no_others(runs: list[Run], most: int, by_name: bool, opaque: bool) -> None:
    pattern = AllowDenyPattern(deny=("drop",) if by_name else ())
    choice = RunChoice(Selection(max_runs_per_experiment=most, run_name_pattern=pattern))
    store = Store(runs, opaque=opaque)
    oldest = await nth_newest(store.search, QUERY, most, choice.has_name if choice.chooses_names else None)
    if oldest is not None:
        choice.take_newest("1", oldest)
    named = [run for run in store.runs if not by_name or run.info.run_name == "keep"]
    chosen, left_out = choice.divide(list(runs))
    assert sorted(run.info.run_id for run in chosen) == sorted(run.info.run_id for run in named[:most])
    assert len(chosen) + len(left_out) == len(runs)
    start = choice.since_of("1")
    assert all(start is None or (run.info.start_time or 0) >= start for run in chosen)
    assert all(choice.writes(run) for run in chosen)
    if not by_name and not opaque:
        assert store.rows <= 1, "one row tells where they begin"


@pytest.mark.parametrize("status", [None, 500])
async def test_a_run_that_cannot_be_read_does_not_count(status: int | None) -> None:
    runs = [Run(RunInfo(f"r{number}", "1", start_time=number)) for number in range(9)]
    store = Store(runs)
    poison = store.runs[2]

    async def search(query: dict[str, object]) -> Page[Run]:
        page = await store.search(query)
        if poison not in page.rows:
            return page
        if status is not None:
            raise RequestRefused("500", status=status, answer="oops")
        return Page([run for run in page.rows if run is not poison], page.token, unreadable=["r6: nonsense"])

    oldest = await nth_newest(search, QUERY, 3)
    assert oldest == store.runs[3]


async def test_what_is_refused_is_raised() -> None:
    async def search(_query: dict[str, object]) -> Page[Run]:
        raise RequestRefused("403", status=403)

    with pytest.raises(RequestRefused):
        await nth_newest(search, QUERY, 3)


def test_a_query_asks_for_what_counts_only() -> None:
    page = NewestQuery(["7"], 5, "metrics.a > 1", "ALL").page(1, "t")
    assert (page["experiment_ids"], page["run_view_type"], page["page_token"]) == (["7"], "ALL", "t")
    assert page["filter"] == "metrics.a > 1 AND attributes.start_time >= 5"
    assert page["order_by"] == ["attributes.start_time DESC"]
    assert QUERY.page(1, "")["filter"] == f"attributes.start_time >= {EARLIEST}"


@examples(100)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(0, 20))
def test_a_moment_subtracts_from_stretches(cuts: list[int], moment: int) -> None:
    bounds = [None, *sorted(set(cuts)), None]
    parts = [part for each in pairwise(bounds) if (part := Stretch(*each, "c").since_or_later(moment))]
    assert parts[0].since == moment
    assert parts[-1].until is None
    assert all(before.until == after.since for before, after in pairwise(parts))
    assert {part.condition for part in parts} == {"c"}


def test_rows_that_are_found_by_id_are_judged_alike() -> None:
    active, deleted = (Run(RunInfo("r", "1", start_time=5, lifecycle_stage=stage)) for stage in ("active", "deleted"))
    cases: list[tuple[Lifecycle, list[Run]]] = [
        ("active", [active]),
        ("deleted", [deleted]),
        ("all", [active, deleted]),
    ]
    for lifecycle, written in cases:
        choice = RunChoice(Selection(lifecycle=lifecycle))
        assert [run for run in (active, deleted) if choice.writes(run)] == written
    assert RunChoice(Selection(runs_since=since("1d")), now=86_400_000 + 5).writes(active)
    assert not RunChoice(Selection(runs_since=since("1d")), now=86_400_000 + 6).writes(active)
    assert not RunChoice(Selection(runs_since=since("1d")), now=86_400_000).writes(Run(RunInfo("no time", "1")))
