"""Stale removal in whole crawls: deleted runs, dry runs, files, what fails, what is resumed, lifecycle stages."""

import json
from pathlib import Path

import pytest

from crawler.mapping.runs import run_urn
from crawler.removal.checkpoint_store import FileCheckpoints
from crawler.settings.sinks import Endpoint
from tests.gms.faults import Fault
from tests.removal.crawls import (
    CHECKPOINT,
    CHURN,
    JOB,
    SECOND,
    World,
    dataset,
    delete_experiment,
    delete_model,
    experiment,
    group,
    kept_checkpoint,
    model,
    purge_experiment,
    put_checkpoint,
    removed,
    world,
)
from tests.servers.dialect import run, version

STAGE = "urn:li:lifecycleStageType:archived"


def delete_run(whole: World, run_id: str, stage: str = "deleted") -> None:
    for each in whole.dialect.runs:
        if each["info"]["run_id"] == run_id:
            each["info"]["lifecycle_stage"] = stage


class TestRuns:
    async def test_a_deleted_run_is_removed_once_and_comes_back(self, crawled: World) -> None:
        delete_run(crawled, "r1")
        report = await crawled.crawl()
        assert (report.status, report.removed) == ("success", {"dataProcessInstance": 1, "dataset": 1})
        assert removed(crawled.gms) == {run_urn("r1"), dataset("bucket")}
        assert not (await crawled.crawl()).removed
        delete_run(crawled, "r1", "active")
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == set()

    async def test_a_run_that_datahub_never_had_leaves_no_trace(self, crawled: World) -> None:
        crawled.dialect.runs.append(run("never", 5_000))
        delete_run(crawled, "never")
        await crawled.crawl()
        assert not any(urn == run_urn("never") for urn, _ in crawled.gms.aspects)

    async def test_a_run_that_mlflow_lists_as_deleted_is_no_guess(self, crawled: World) -> None:
        """So a failure elsewhere changes nothing about it."""
        delete_run(crawled, "r1")
        crawled.dialect.refusals = {"model-versions": (403, {"error_code": "PERMISSION_DENIED", "message": "no"})}
        report = await crawled.crawl()
        assert (report.status, removed(crawled.gms)) == ("failures", {run_urn("r1")})

    async def test_without_stateful_ingestion_runs_stay(self, crawled: World) -> None:
        delete_run(crawled, "r1")
        crawled.stateful = {"enabled": False}
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == set()

    async def test_where_datahub_cannot_be_asked_each_one_is_marked(self, tmp_path: Path) -> None:
        async with world(tmp_path, without_batch_get=True) as whole:
            delete_run(whole, "r1")
            delete_run(whole, "r2")
            report = await whole.crawl()
            assert removed(whole.gms) == {run_urn("r1"), run_urn("r2")}
            blind = [each for each in report.warnings if each.code == "removal_blind"]
            assert [each.count for each in blind] == [1]

    async def test_a_datahub_before_1_0_knows_no_status_of_runs(self, tmp_path: Path) -> None:
        lacks = [("dataProcessInstance", "status")]
        async with world(tmp_path, version="v0.14.1", lacks=lacks, without_batch_get=True) as whole:
            delete_run(whole, "r1")
            assert (await whole.crawl()).failures == []
            assert removed(whole.gms) == set()


class TestDeletedExperiments:
    async def test_all_runs_go_with_it_and_come_back(self, crawled: World) -> None:
        delete_experiment(crawled.dialect, "second")
        report = await crawled.crawl()
        assert (report.status, removed(crawled.gms)) == ("success", SECOND | {run_urn("r2")})
        assert report.to_dict()["removal"] == {
            "removed": {"dataProcessInstance": 1, "container": 1, "dataset": 1},
            "to_remove": [
                {"entity_type": "dataProcessInstance", "why": "deleted", "count": 1, "samples": [run_urn("r2")]},
                {"entity_type": "container", "why": "deleted", "count": 1, "samples": [experiment("second")]},
                {"entity_type": "dataset", "why": "absent", "count": 1, "samples": [dataset("only second")]},
            ],
            "kept": [],
        }
        crawled.dialect.experiments[1]["lifecycle_stage"] = "active"
        delete_run(crawled, "r2", "active")
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == set()

    async def test_one_that_no_checkpoint_has_is_found_by_asking_datahub(self, tmp_path: Path) -> None:
        async with world(tmp_path) as whole:
            whole.stateful["enabled"] = False
            await whole.crawl()
            whole.stateful["enabled"] = True
            delete_experiment(whole.dialect, "second")
            report = await whole.crawl()
            assert (report.status, removed(whole.gms)) == ("success", {experiment("second"), run_urn("r2")})
            assert not (await whole.crawl()).removed

    async def test_one_whose_runs_cannot_be_read_is_kept_for_the_next_crawl(self, crawled: World) -> None:
        delete_experiment(crawled.dialect, "second")
        crawled.dialect.refused_experiments = {"2"}
        report = await crawled.crawl()
        assert [each.code for each in report.failures] == ["experiment"]
        assert removed(crawled.gms) == {dataset("only second")}
        assert experiment("second") in kept_checkpoint(crawled.gms)
        crawled.dialect.refused_experiments = set()
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == SECOND | {run_urn("r2")}


class TestDryRun:
    async def test_it_shows_what_would_be_removed_and_why_and_changes_nothing(self, crawled: World) -> None:
        before, aspects = kept_checkpoint(crawled.gms), dict(crawled.gms.aspects)
        delete_model(crawled.dialect, "churn")
        delete_experiment(crawled.dialect, "second")
        crawled.flags["dry_run"] = True
        report = await crawled.crawl()
        found = {(each.entity_type, each.why): each.count for each in report.stale.of(is_removed=True)}
        assert found == {
            ("dataProcessInstance", "deleted"): 1,
            ("container", "deleted"): 1,
            ("mlModelGroup", "absent"): 1,
            ("mlModel", "absent"): 1,
            ("dataset", "absent"): 1,
        }
        assert (report.status, report.removed) == ("success", {})
        assert (crawled.gms.aspects, kept_checkpoint(crawled.gms)) == (aspects, before)

    async def test_it_says_what_is_kept_and_why(self, crawled: World) -> None:
        delete_model(crawled.dialect, "churn")
        crawled.stateful["fail_safe_threshold"] = 0
        crawled.flags["dry_run"] = True
        report = await crawled.crawl()
        kept = [(each.entity_type, each.why, each.count) for each in report.stale.of(is_removed=False)]
        assert kept == [("mlModel", "threshold", 1), ("mlModelGroup", "threshold", 1)]


class TestFiles:
    async def test_a_checkpoint_in_a_file_is_one_too(self, crawled: World, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.json"
        crawled.stateful["state_provider"] = {"type": "file", "config": {"filename": str(path)}}
        reads = len(crawled.gms.timeseries_reads)
        await crawled.crawl()
        delete_model(crawled.dialect, "churn")
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == CHURN
        assert not CHURN & set(await FileCheckpoints(path, "tests").read("mlflow_stale_entity_removal") or ())
        assert len(crawled.gms.timeseries_reads) == reads, "DataHub's checkpoint is left alone"

    async def test_removals_are_written_to_a_file_sink(self, crawled: World, tmp_path: Path) -> None:
        output = tmp_path / "proposals.json"
        crawled.sink = {"type": "file", "config": {"filename": str(output)}}
        crawled.stateful["state_provider"] = {
            "type": "datahub",
            "config": {"datahub_api": {"server": crawled.gms.url}},
        }
        delete_model(crawled.dialect, "churn")
        delete_run(crawled, "r1")
        assert (await crawled.crawl()).status == "success"
        gone = {
            each["entityUrn"]
            for each in json.loads(output.read_bytes())
            if each["aspectName"] == "status" and each["aspect"]["json"]["removed"]
        }
        assert gone == CHURN | {run_urn("r1"), dataset("bucket")}


class TestWhatFails:
    async def test_a_removal_that_datahub_refuses_stays_in_the_checkpoint(self, tmp_path: Path) -> None:
        async with world(tmp_path, forbidden=[model("churn", 1)]) as whole:
            put_checkpoint(whole.gms, [group("fraud"), group("churn"), model("churn", 1)])
            delete_model(whole.dialect, "churn")
            report = await whole.crawl()
            assert [each.code for each in report.failures] == ["refused_403"]
            assert removed(whole.gms) == {group("churn")}
            assert model("churn", 1) in kept_checkpoint(whole.gms)
            assert group("churn") not in kept_checkpoint(whole.gms)

    async def test_a_checkpoint_that_cannot_be_written_is_a_failure(self, tmp_path: Path) -> None:
        async with world(tmp_path, forbidden=[JOB]) as whole:
            report = await whole.crawl()
            assert [each.code for each in report.failures] == ["checkpoint_unwritten"]
            assert report.delivered["mlModel"] == 3

    @pytest.mark.parametrize("limit", ["settings", "datahub"])
    async def test_one_that_is_too_large_is_said_and_not_written(
        self, limit: str, crawled: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = kept_checkpoint(crawled.gms)
        crawled.dialect.models.append({"name": "new"})
        if limit == "settings":
            crawled.stateful["max_checkpoint_state_size"] = 100
        else:
            monkeypatch.setattr("crawler.removal.checkpoint_store.DatahubCheckpoints.max_bytes", 200)
        report = await crawled.crawl()
        (failure,) = report.failures
        assert failure.code == "checkpoint_size"
        assert "16 URNs" in failure.samples[0]
        assert kept_checkpoint(crawled.gms) == before

    async def test_a_datahub_that_is_gone_at_the_end_does_not_keep_the_crawl(self, crawled: World) -> None:
        """The crawl has failed by then, and ends within its grace."""
        crawled.flags["grace"] = 0
        crawled.gms.rule = Fault(status=503)
        report = await crawled.crawl()
        assert report.status.startswith("failed")
        assert "checkpoint_unwritten" in {each.code for each in report.failures}


class TestResumed:
    async def test_datasets_wait_for_a_crawl_that_reads_all_runs(self, crawled: World, tmp_path: Path) -> None:
        crawled.flags["state"] = tmp_path / "crawl.state"
        delete_model(crawled.dialect, "churn")
        purge_experiment(crawled.dialect, "second")
        crawled.dialect.refusals = {"runs": (401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"})}
        assert (await crawled.crawl()).status == "failed: credentials"
        assert removed(crawled.gms) == set()
        crawled.dialect.refusals = {}
        report = await crawled.crawl()
        assert (report.status, removed(crawled.gms)) == ("success", CHURN | {experiment("second")})
        assert report.stale.of(is_removed=False) == []
        assert dataset("only second") in kept_checkpoint(crawled.gms)
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == CHURN | SECOND

    async def test_what_the_interrupted_crawl_delivered_is_still_listed(self, crawled: World, tmp_path: Path) -> None:
        crawled.flags["state"] = tmp_path / "crawl.state"
        crawled.dialect.models.append({"name": "new"})
        crawled.dialect.versions.append(version("new", "1", ""))
        crawled.dialect.refusals = {"runs": (401, {"error_code": "UNAUTHENTICATED", "message": "who are you?"})}
        await crawled.crawl()
        crawled.dialect.refusals = {}
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == set()
        assert {group("new"), model("new", 1), *CHURN} <= set(kept_checkpoint(crawled.gms))


@pytest.mark.parametrize("endpoint", list(Endpoint))
class TestLifecycle:
    async def test_a_lifecycle_stage_survives_crawl_and_removal(self, endpoint: Endpoint, tmp_path: Path) -> None:
        async with world(tmp_path) as whole:
            whole.flags["endpoint"] = endpoint
            await whole.crawl()
            for urn in (group("fraud"), group("churn")):
                whole.gms.aspects[urn, "status"]["lifecycleStage"] = STAGE
            delete_model(whole.dialect, "churn")
            assert (await whole.crawl()).status == "success"
            assert whole.gms.aspects[group("fraud"), "status"] == {"removed": False, "lifecycleStage": STAGE}
            assert whole.gms.aspects[group("churn"), "status"] == {"removed": True, "lifecycleStage": STAGE}

    async def test_an_older_datahub_gets_the_whole_status(self, endpoint: Endpoint, tmp_path: Path) -> None:
        async with world(tmp_path, version="v1.5.0") as whole:
            whole.flags["endpoint"] = endpoint
            await whole.crawl()
            delete_model(whole.dialect, "churn")
            assert (await whole.crawl()).status == "success"
            assert removed(whole.gms) == CHURN
            assert whole.gms.aspects[JOB, "status"] == {"removed": True}
            assert (whole.gms.dropped, whole.gms.violations) == ([], [])


async def test_each_checkpoint_is_read_once_and_written_once_where_there_is_anything_in_it(crawled: World) -> None:
    reads, writes = len(crawled.gms.timeseries_reads), sum(name == CHECKPOINT for _, name, _ in crawled.gms.history)
    await crawled.crawl()
    assert len(crawled.gms.timeseries_reads) == reads + 2
    assert sum(name == CHECKPOINT for _, name, _ in crawled.gms.history) == writes + 1


async def test_nothing_is_asked_without_stateful_ingestion(tmp_path: Path) -> None:
    async with world(tmp_path) as whole:
        whole.stateful = {"enabled": False}
        await whole.crawl()
        assert whole.gms.timeseries_reads == []
        assert (JOB, CHECKPOINT) not in whole.gms.aspects
        assert not {"users/get", "registered-models/get"} & set(whole.dialect.seen)


async def test_the_first_crawl_removes_nothing_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "crawler")
    async with world(tmp_path) as whole:
        delete_model(whole.dialect, "churn")
        assert (await whole.crawl()).status == "success"
        assert removed(whole.gms) == set()
    assert "There is no checkpoint of tests yet: nothing is removed this time." in caplog.text
