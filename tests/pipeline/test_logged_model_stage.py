"""The stage of logged models on a double of MLflow: old servers, what is refused, sharing, resuming, diff."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.comparison.run import diff
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import Interrupted
from crawler.mapping.logged_models import logged_model_urn
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.events import Event, RowsRead
from crawler.telemetry.report import Report
from tests.gms.other_writers import overwrite
from tests.gms.server import Gms
from tests.servers.dialect import Dialect, logged_model
from tests.support.crawls import crawl_settings, crawl_to_file, recipe_file

SETTINGS = MappingSettings(ui_url="http://mlflow")
REFUSED = (403, {"error_code": "PERMISSION_DENIED", "message": "ann may not list these"})


def urn(number: int) -> str:
    return logged_model_urn(f"m-{number:032x}", SETTINGS)


async def read(dialect: Dialect, folder: Path, **options: Any) -> tuple[Report, Counter[str]]:
    """A crawl into a file: how often each logged model was written."""
    async with dialect.serve() as url:
        options = {"retry_max_times": 0, "patience_sec": 0, **options}
        report, proposals = await crawl_to_file(recipe_file(folder, url, options), folder)
    names = [
        each["entityUrn"] for each in proposals if each["aspectName"] == "subTypes" and ":mlModel:" in each["entityUrn"]
    ]
    return report, Counter(names)


def codes(report: Report) -> tuple[list[str], list[str]]:
    return [each.code for each in report.warnings], [each.code for each in report.failures]


@pytest.mark.parametrize(
    ("version", "asked", "warnings"),
    [("2.20.4", 0, []), (None, 1, []), ("3.17.2", 1, ["logged_models_missing"])],
)
async def test_a_server_that_has_no_such_listing(
    version: str | None, asked: int, warnings: list[str], tmp_path: Path
) -> None:
    dialect = Dialect()
    dialect.release, dialect.logged_models = version, None
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(300)]
    report, found = await read(dialect, tmp_path, min_threads=1, max_threads=1)
    assert (codes(report), found) == ((warnings, []), Counter())
    assert dialect.seen["logged-models"] == asked
    assert "logged_models" not in report.read


async def test_many_experiments_and_idle_workers_that_share_one(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(300)]
    dialect.logged_models = [
        logged_model(number, 1_000 + 7 * number, "0" if number < 500 else str(number % 300)) for number in range(800)
    ]
    dialect.logged_models += [logged_model(1_000 + number, 3_000, "5") for number in range(60)]
    report, found = await read(dialect, tmp_path, page_size=20)
    assert codes(report) == ([], [])
    expected = [*range(800), *range(1_000, 1_060)]
    assert found == Counter(map(urn, expected)), "each once"
    assert report.read["logged_models"] == len(expected)
    assert dialect.seen["newest logged model"], "a long experiment is shared"


async def test_an_experiment_whose_models_are_refused_costs_only_its_own(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(1, 40)]
    dialect.logged_models = [logged_model(number, number, str(number)) for number in range(1, 40)]
    dialect.runs = []
    dialect.versions = []
    dialect.refused_experiments = {"7", "30"}
    report, found = await read(dialect, tmp_path)
    assert found == Counter(urn(number) for number in range(1, 40) if number not in {7, 30})
    (unread,) = [each for each in report.failures if each.code == "unread_logged_models"]
    assert unread.count == 2
    assert {each.split(":")[0] for each in unread.samples} == {"experiment 7", "experiment 30"}


async def test_a_listing_that_is_refused_costs_nothing_else(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = [logged_model(1, 1)]
    dialect.refusals = {"logged-models": REFUSED}
    report, found = await read(dialect, tmp_path)
    assert (codes(report), found, report.read["runs"]) == (([], ["unread_logged_models"]), Counter(), 3)
    assert "ann may not list these" in report.failures[0].samples[0]


async def test_a_listing_that_always_fails_is_not_asked_for_each_experiment(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(600)]
    dialect.logged_models, dialect.versions, dialect.runs = [], [], []
    dialect.refusals = {"logged-models": (500, {"error_code": "INTERNAL_ERROR", "message": "no such table"})}
    report, _ = await read(dialect, tmp_path, min_threads=1, max_threads=1)
    (unread,) = report.failures
    assert (unread.code, unread.count) == ("unread_logged_models", 600)
    assert "no such table" in unread.samples[0]
    assert dialect.seen["logged-models"] < 150


@pytest.mark.parametrize("refusal", [REFUSED, (501, "not implemented"), (400, "what is that?")])
async def test_a_listing_that_is_always_refused_is_not_asked_for_each_experiment(
    refusal: tuple[int, Any], tmp_path: Path
) -> None:
    dialect = Dialect()
    dialect.release = "3.17.2"
    dialect.experiments = [{"experiment_id": str(number), "name": f"e{number}"} for number in range(600)]
    dialect.logged_models, dialect.versions, dialect.runs = [], [], []
    dialect.refusals = {"logged-models": refusal}
    report, _ = await read(dialect, tmp_path, min_threads=1, max_threads=1)
    assert sum(each.count for each in (*report.warnings, *report.failures)) in (1, 600)
    assert dialect.seen["logged-models"] < 200


async def test_pages_without_an_end_cost_nothing_else(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = []
    dialect.endless = True
    report, _ = await read(dialect, tmp_path)
    assert (codes(report), report.read["runs"]) == (([], ["unread_logged_models"]), 3)
    assert "one page token twice" in report.failures[0].samples[0]


async def test_a_row_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = [logged_model(number, number) for number in range(3)]
    dialect.logged_models[1]["data"] = {"metrics": [{"value": 1.0}]}
    report, found = await read(dialect, tmp_path)
    assert (codes(report), found) == (([], ["unreadable_logged_models"]), Counter([urn(0), urn(2)]))
    assert f"m-{1:032x}" in report.failures[0].samples[0]


async def test_whether_a_zero_is_nan_that_cannot_be_told(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = [logged_model(1, 1)]
    dialect.logged_models[0]["data"] = {"metrics": [{"key": "loss", "value": 0.0, "run_id": "purged"}]}
    report, found = await read(dialect, tmp_path)
    assert (codes(report), found) == (([], []), Counter([urn(1)])), "a run that is gone tells nothing"
    dialect.runs[0]["data"] = {"metrics": [{"key": "loss", "value": "NaN"}]}
    dialect.logged_models[0]["data"]["metrics"].append({"key": "loss", "value": 0.0, "run_id": "r0", "step": 1})
    dialect.seen.clear()
    await read(dialect, tmp_path)
    assert (dialect.seen["runs"], dialect.seen["runs/get"]) == (2, 0), "the pages of runs, and one search for all"
    dialect.runs, dialect.versions = [], []
    dialect.refusals = {"runs": REFUSED}
    report, found = await read(dialect, tmp_path)
    assert ("zeros_unknown" in codes(report)[0], found) == (True, Counter([urn(1)]))


def settings_of(url: str, gms: Gms, folder: Path, **source: Any) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
    return load(recipe_file(folder, url, source, sink), {}, Flags(), home=folder)


async def test_a_crawl_that_goes_on_sends_each_once(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = [logged_model(number, number) for number in range(60)]
    stop = asyncio.Event()

    def stop_at_the_second_page(event: Event) -> None:
        if isinstance(event, RowsRead) and event.resource == "logged_models":
            stop.set()

    async with dialect.serve() as url, Gms() as gms:
        settings = structs.replace(settings_of(url, gms, tmp_path, page_size=20), state=tmp_path / "crawl.state")
        with pytest.raises(Interrupted):
            await crawl(settings, listeners=[stop_at_the_second_page], stop=stop)
        report = await crawl_settings(settings)
        sent = Counter(urn for urn, name, _ in gms.history if name == "subTypes" and ":mlModel:" in urn)
    assert report.failures == []
    assert sent == Counter(map(urn, range(60)))


async def test_diff_knows_them(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.logged_models = [logged_model(number, number) for number in range(3)]
    async with dialect.serve() as url, Gms(reads_timeseries=True) as gms:
        settings = settings_of(url, gms, tmp_path)
        await crawl_settings(settings)
        differences = await diff(settings)
        assert (differences.missing, differences.different, differences.orphaned) == (0, 0, 0)
        dialect.logged_models.pop()
        overwrite(gms, urn(0), "container", {"container": "urn:li:container:other"})
        differences = await diff(settings)
        assert (differences.missing, differences.different, differences.orphaned) == (0, 1, 1)
        assert list(differences.kinds["mlModel"].first_orphaned) == [urn(2)]
        differences = await diff(settings_of(url, gms, tmp_path, include={"logged_models": False}))
        assert differences.orphaned == 0, "what is left out by choice is no orphan"
