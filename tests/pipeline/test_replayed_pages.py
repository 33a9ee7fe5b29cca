"""The pages that benchmarks multiply: written as MLflow writes them, each run once, in order, behind any filter."""

import json
from itertools import pairwise

import pytest

from benchmarks.pages import FIRST_START, MS_BETWEEN_RUNS, Pages, offset_of
from benchmarks.replay import conditions
from crawler.mlflow import decoding as mlflow_pages
from crawler.mlflow.entities import Run

RUNS, EXPERIMENTS = 1_000, 7
ALL = [str(number) for number in range(1, EXPERIMENTS + 1)]


@pytest.fixture(scope="module")
def pages() -> Pages:
    return Pages(RUNS, EXPERIMENTS, models=5, versions=3)


def listed(pages: Pages, experiment_ids: list[str], **window: int) -> list[Run]:
    runs: list[Run] = []
    token = ""
    while True:
        page = mlflow_pages.decode_runs(pages.runs(experiment_ids, 37, offset=offset_of(token), **window))
        runs += page.rows
        if not page.token:
            return runs
        token = page.token


def ids(runs: list[Run]) -> list[str]:
    return [run.info.run_id for run in runs]


@pytest.mark.parametrize("experiment_ids", [["1"], ["7"], ["3", "5"], ALL, []], ids=str)
def test_each_run_of_the_experiments_comes_once_by_start_time(pages: Pages, experiment_ids: list[str]) -> None:
    runs = listed(pages, experiment_ids)
    expected = [number for number in range(RUNS) if str(number % EXPERIMENTS + 1) in experiment_ids]
    assert [run.info.start_time for run in runs] == [FIRST_START + number * MS_BETWEEN_RUNS for number in expected]
    assert len(set(ids(runs))) == len(expected)
    assert {run.info.experiment_id for run in runs} == set(experiment_ids)


@pytest.mark.parametrize("experiment_ids", [["1"], ["3", "5"], ALL], ids=str)
def test_windows_share_no_run_and_miss_none(pages: Pages, experiment_ids: list[str]) -> None:
    end = FIRST_START + RUNS * MS_BETWEEN_RUNS
    cuts = [-(2**63), FIRST_START - 5, FIRST_START, FIRST_START + 1, FIRST_START + 123_456, FIRST_START + 400_000, end]
    windows = [listed(pages, experiment_ids, since=since, until=until) for since, until in pairwise(cuts)]
    assert [run for window in windows for run in window] == listed(pages, experiment_ids)
    assert listed(pages, experiment_ids, since=end) == []


def test_runs_by_id_are_those_of_the_experiments(pages: Pages) -> None:
    runs = listed(pages, ["2", "3"])
    wanted = [*ids(runs)[:9], "f" * 32, "0" * 32]
    found = mlflow_pages.decode_runs(pages.runs_by_id(wanted, ["2"])).rows
    assert found == [run for run in runs[:9] if run.info.experiment_id == "2"]


def test_versions_name_runs_that_are_there_and_differ(pages: Pages) -> None:
    versions = mlflow_pages.decode_model_versions(pages.model_versions(1_000)).rows
    named = [version.run_id for version in versions]
    assert len(set(named)) == 15
    assert set(named) <= set(ids(listed(pages, ALL)))
    models = mlflow_pages.decode_registered_models(pages.registered_models(1_000)).rows
    assert [model.name for model in models] == sorted({version.name for version in versions})


def test_pages_are_written_as_mlflow_writes_them(pages: Pages) -> None:
    whole, last, empty = pages.runs(["1"], 20), pages.runs(["1"], 20, offset=140), pages.runs(["1"], 20, offset=143)
    for body in (whole, last, pages.experiments(3), pages.registered_models(2), pages.model_versions(2)):
        assert body.decode() == json.dumps(json.loads(body), indent=2)
    assert "next_page_token" in json.loads(whole)
    assert "next_page_token" not in json.loads(last)
    assert empty == b"{}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None, None)),
        ("attributes.start_time >= 5", (5, None, None)),
        ("attributes.start_time >= -9223372036854775808 AND attributes.start_time < 7", (-(2**63), 7, None)),
        ("attributes.run_id IN ('a','b') and attributes.start_time >= 1", (1, None, ["a", "b"])),
    ],
)
def test_filters_of_the_crawler_are_understood(text: str, expected: tuple[object, ...]) -> None:
    assert conditions(text) == expected


def test_any_other_filter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"attributes\.end_time"):
        conditions("attributes.start_time >= 5 AND attributes.end_time < 7")
