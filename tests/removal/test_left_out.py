"""What a recipe does not choose is never removed: each choice by itself, whole crawls into the double of GMS."""

from pathlib import Path
from typing import Any

import pytest

from crawler.comparison.differences import Differences
from crawler.comparison.run import diff
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.mapping.runs import run_urn
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.removal.crawls import (
    CHURN,
    SECOND,
    World,
    dataset,
    delete_experiment,
    delete_model,
    experiment,
    group,
    kept_checkpoint,
    purge_experiment,
    removed,
    world,
)
from tests.servers.dialect import run
from tests.support.crawls import recipe_file

CHOICES: dict[str, dict[str, Any]] = {
    "experiments by name": {"experiment_pattern": {"deny": ["second"]}},
    "models by name": {"registered_model_pattern": {"allow": ["fraud"]}},
    "no model": {"registered_model_pattern": {"deny": [".*"]}},
    "runs by name": {"run_name_pattern": {"allow": ["none has it"]}},
    "runs by a filter": {"run_filter": "attributes.start_time < 1001"},
    "runs since": {"runs_since": "2020-01-01"},
    "the newest runs": {"max_runs_per_experiment": 1},
    "no runs": {"include": {"runs": False}},
    "no experiments": {"include": {"experiments": False}},
    "no registered models": {"include": {"registered_models": False}},
    "nothing": {"include": {"experiments": False, "registered_models": False}},
}
RUNS = {run_urn(f"r{number}") for number in range(3)}


def written(gms: Gms, before: int) -> set[str]:
    """The entities that were written since there were so many proposals."""
    return {urn for urn, _, _ in gms.history[before:]}


@pytest.mark.parametrize("state", [False, True], ids=["", "with a state"])
@pytest.mark.parametrize("choice", CHOICES)
async def test_what_is_left_out_stays(choice: str, state: bool, tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        if state:
            whole.flags = {"state": tmp_path / "state", "changed_only": True}
        assert (await whole.crawl()).status == "success"
        before = set(kept_checkpoint(whole.gms))
        whole.stateful["fail_safe_threshold"] = 1.0
        usual, whole.source = whole.source, whole.source | CHOICES[choice]
        for _ in range(2):
            report = await whole.crawl()
            assert (report.status, removed(whole.gms)) == ("success", set()), report.failures
            kept = set(kept_checkpoint(whole.gms))
            assert {urn for urn in before if "platformResource" not in urn} <= kept
        whole.source = usual
        report = await whole.crawl()
        assert (report.status, removed(whole.gms), report.stale.of(is_removed=False)) == ("success", set(), [])
        assert set(kept_checkpoint(whole.gms)) == before


async def test_what_was_never_written_does_not_come_into_the_checkpoint(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        whole.source |= CHOICES["experiments by name"] | CHOICES["models by name"]
        assert (await whole.crawl()).status == "success"
        assert not {*kept_checkpoint(whole.gms)} & (CHURN | SECOND)
        delete_model(whole.dialect, "churn")
        delete_experiment(whole.dialect, "second")
        assert (await whole.crawl()).status == "success"
        assert removed(whole.gms) == set()


async def test_what_is_chosen_and_gone_is_removed(crawled: World) -> None:
    crawled.source |= {"experiment_pattern": {"deny": ["first"]}, "registered_model_pattern": {"deny": ["fraud"]}}
    delete_model(crawled.dialect, "churn")
    delete_experiment(crawled.dialect, "second")
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("success", CHURN | {experiment("second"), run_urn("r2")})
    assert report.skipped == {
        "registered models left out": 1,
        "model versions left out": 2,
        "deleted experiments": 1,
        "experiments left out": 1,
        "deleted runs": 1,
    }
    kept = {each.entity_type: (str(each.why), each.count) for each in report.stale.of(is_removed=False)}
    left_out = dict.fromkeys(["container", "mlModelGroup"], ("left_out", 1)) | {"mlModel": ("left_out", 2)}
    assert kept == left_out
    assert dataset("only second") in kept_checkpoint(crawled.gms)


async def test_the_trash_outside_of_the_choice_stays(crawled: World) -> None:
    crawled.source |= {"experiment_pattern": {"deny": ["second"]}}
    delete_experiment(crawled.dialect, "second")
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("success", set())
    assert report.left_out == {"experiments left out": ["second"]}
    purge_experiment(crawled.dialect, "second")
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == {experiment("second")}, "MLflow has it no more, chosen or not"


async def test_versions_that_are_listed_by_model_only(crawled: World) -> None:
    crawled.dialect.versions_by_name = True
    crawled.source |= {"registered_model_pattern": {"deny": ["churn"]}}
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("success", set())
    assert set(kept_checkpoint(crawled.gms)) >= CHURN
    left_out = {each.entity_type: each.count for each in report.stale.of(is_removed=False) if each.why == "left_out"}
    assert left_out == {"mlModelGroup": 1, "mlModel": 1}


async def test_what_is_not_read_is_told_as_kept(crawled: World) -> None:
    crawled.source |= CHOICES["no registered models"]
    crawled.flags["dry_run"] = True
    report = await crawled.crawl()
    kept = {each.entity_type: each.count for each in report.stale.of(is_removed=False) if each.why == "left_out"}
    assert kept == {"mlModelGroup": 2, "mlModel": 3}
    assert report.chosen == {"include.registered_models": "false"}


async def test_what_is_left_out_is_no_orphan(tmp_path: Path) -> None:
    for number, (options, unknown) in enumerate(
        [
            (CHOICES["experiments by name"], {"dataProcessInstance", "dataset"}),
            (CHOICES["models by name"], set()),
            (CHOICES["runs by name"], {"dataProcessInstance", "dataset"}),
            (CHOICES["no registered models"], {"mlModelGroup", "mlModel"}),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with world(folder, reads_timeseries=True) as whole:
            assert (await whole.crawl()).status == "success"
            found, report = await compared(whole, options)
            assert (found.orphaned, found.missing, found.different) == (0, 0, 0)
            said = {type_ for each in report.warnings for type_ in each.samples[0].split(", ")}
            assert said == unknown
            delete_model(whole.dialect, "fraud")
            found, _ = await compared(whole, options)
            assert found.orphaned == (0 if "mlModel" in unknown else 3)


async def compared(whole: World, options: dict[str, Any]) -> tuple[Differences, Report]:
    """A diff with these options of the source."""
    path = recipe_file(whole.folder, whole.url, whole.source | options, whole.sink, "tests")
    report = Report("r")
    settings = load(path, {}, Flags(), home=whole.folder)
    return await diff(settings, report=report), report


async def test_runs_that_fall_out_of_the_newest_stay(crawled: World) -> None:
    crawled.source |= CHOICES["the newest runs"]
    before = len(crawled.gms.history)
    crawled.dialect.runs.append(run("r3", 1_003, "1"))
    report = await crawled.crawl()
    runs = written(crawled.gms, before) & (RUNS | {run_urn("r3")})
    assert (runs, report.read["runs"]) == ({run_urn("r2"), run_urn("r3")}, 2)
    assert removed(crawled.gms) == set()
    assert dataset("shared") in kept_checkpoint(crawled.gms)
    assert group("fraud") in kept_checkpoint(crawled.gms)


@pytest.mark.parametrize("choice", ["runs by name", "runs by a filter", "the newest runs", "no runs"])
async def test_an_experiment_that_is_chosen_and_deleted_goes_with_all_of_its_runs(choice: str, crawled: World) -> None:
    delete_experiment(crawled.dialect, "first")
    crawled.source |= CHOICES[choice]
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == {experiment("first"), run_urn("r0"), run_urn("r1")}
