"""Stale removal beside a state that knows what was sent: purged runs, what is refused, what returns."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crawler.mapping.runs import run_urn
from tests.gms.faults import refusing
from tests.removal.crawls import (
    World,
    dataset,
    delete_experiment,
    delete_model,
    experiment,
    group,
    kept_checkpoint,
    model,
    removed,
    world,
)

R0, R1, R2 = map(run_urn, ("r0", "r1", "r2"))

BUCKET = dataset("bucket")
"""Of r1 only."""


@pytest.fixture
async def crawled(tmp_path: Path) -> AsyncIterator[World]:
    """A world that was crawled once, with a state."""
    async with world(tmp_path) as whole:
        whole.flags |= {"state": tmp_path / "crawl.state", "changed_only": True}
        assert (await whole.crawl()).status == "success"
        yield whole


def purge_run(crawled: World, run_id: str) -> None:
    """As `mlflow gc` does."""
    crawled.dialect.runs = [each for each in crawled.dialect.runs if each["info"]["run_id"] != run_id]


def told(crawled: World, urn: str) -> int:
    """How often an entity was marked as removed."""
    return sum(each == urn and name == "status" and value["removed"] for each, name, value in crawled.gms.history)


async def test_a_purged_run_is_removed_and_told_once(crawled: World) -> None:
    purge_run(crawled, "r1")
    report = await crawled.crawl()
    assert (report.status, removed(crawled.gms)) == ("success", {R1, BUCKET})
    found = {(each.entity_type, each.why) for each in report.stale.of(is_removed=True)}
    assert found == {("dataProcessInstance", "absent"), ("dataset", "absent")}
    report = await crawled.crawl()
    assert (report.proposals, report.stale.of(is_removed=True), told(crawled, R1)) == (0, [], 1)


async def test_a_removal_that_datahub_refuses_is_tried_again(crawled: World) -> None:
    purge_run(crawled, "r1")
    delete_model(crawled.dialect, "churn")
    crawled.gms.rule = refusing(lambda each: each[0] in {R1, group("churn")})
    assert {each.code for each in (await crawled.crawl()).failures} == {"refused_422"}
    assert removed(crawled.gms) == {model("churn", 1), BUCKET}
    crawled.gms.rule = None
    assert (await crawled.crawl()).status == "success"
    assert removed(crawled.gms) == {R1, BUCKET, group("churn"), model("churn", 1)}
    assert (told(crawled, R1), told(crawled, group("churn"))) == (1, 1)


async def test_a_run_of_a_deleted_experiment_that_datahub_refuses_is_tried_again(crawled: World) -> None:
    delete_experiment(crawled.dialect, "second")
    crawled.gms.rule = refusing(lambda each: each[0] == R2)
    await crawled.crawl()
    assert removed(crawled.gms) >= {experiment("second")}
    assert R2 not in removed(crawled.gms)
    crawled.gms.rule = None
    assert (await crawled.crawl()).status == "success"
    assert R2 in removed(crawled.gms)
    assert experiment("second") not in kept_checkpoint(crawled.gms)


async def test_the_runs_of_an_experiment_that_was_renamed_and_then_deleted_are_removed(crawled: World) -> None:
    """No entity in DataHub has its new name, and the old one may be purged as well."""
    crawled.flags |= {"state": None, "changed_only": None}
    (row,) = (each for each in crawled.dialect.experiments if each["name"] == "second")
    row["name"] = "renamed"
    delete_experiment(crawled.dialect, "renamed")
    crawled.gms.rule = refusing(lambda each: each[0] == R2)
    await crawled.crawl()
    assert (experiment("second") in removed(crawled.gms), R2 in removed(crawled.gms)) == (True, False)
    crawled.gms.rule = None
    await crawled.crawl()
    assert R2 in removed(crawled.gms)
    assert experiment("second") not in kept_checkpoint(crawled.gms)
    seen = crawled.dialect.seen["runs"]
    await crawled.crawl()
    assert crawled.dialect.seen["runs"] == seen + 1


async def test_a_removed_run_that_is_restored_is_sent_whole(crawled: World) -> None:
    (row,) = (each for each in crawled.dialect.runs if each["info"]["run_id"] == "r0")
    sent = {name for urn, name, _ in crawled.gms.history if urn == R0}
    row["info"]["lifecycle_stage"] = "deleted"
    await crawled.crawl()
    assert R0 in removed(crawled.gms)
    before = len(crawled.gms.history)
    row["info"]["lifecycle_stage"] = "active"
    await crawled.crawl()
    assert R0 not in removed(crawled.gms)
    assert {name for urn, name, _ in crawled.gms.history[before:] if urn == R0} == sent


async def test_a_run_that_somebody_else_removed_comes_back_whole(crawled: World) -> None:
    """The state forgets what it is not to remove any more."""
    (row,) = (each for each in crawled.dialect.runs if each["info"]["run_id"] == "r0")
    crawled.gms.shelf.put((R0, "status"), ({"removed": True}, None), queued=False)
    row["info"]["lifecycle_stage"] = "deleted"
    await crawled.crawl()
    assert told(crawled, R0) == 0
    row["info"]["lifecycle_stage"] = "active"
    await crawled.crawl()
    assert R0 not in removed(crawled.gms)
