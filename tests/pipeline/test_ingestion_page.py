"""A crawl on DataHub's Ingestion page: as acryl-datahub's own reporter shows it, and nothing depends on it."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from datahub.ingestion.api.common import PipelineContext
from datahub.ingestion.reporting.datahub_ingestion_run_summary_provider import DatahubIngestionRunSummaryProvider
from datahub.ingestion.run.pipeline_config import PipelineConfig
from hypothesis import given
from hypothesis import strategies as st

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.datahub import ingestion_page as page
from crawler.errors import CrawlerError, Interrupted, RequestRefused, Unreachable
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Endpoint
from crawler.telemetry.report import Report
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings
from tests.support.examples import examples

SOURCE, INPUT, RESULT = ("dataHubIngestionSourceInfo", "dataHubExecutionRequestInput", "dataHubExecutionRequestResult")
ABOUT_THE_CRAWL = {SOURCE, INPUT, RESULT}
CANARY = "c4n4ry-s3cr3t"


class Collected:
    """A sink of acryl-datahub's that keeps what it is given."""

    def __init__(self) -> None:
        self.written: dict[str, tuple[str, dict[str, Any]]] = {}

    def write_record_async(self, envelope: Any, _callback: Any) -> None:
        proposal = envelope.record.to_obj(simplified_structure=True)
        assert "systemMetadata" not in proposal
        self.written[proposal["aspectName"]] = proposal["entityUrn"], proposal["aspect"]["json"]


def officially(recipe: dict[str, Any], status: str = "SUCCESS") -> dict[str, tuple[str, dict[str, Any]]]:
    """What DataHub's own reporter writes of a run of a recipe: URN and value by aspect."""
    sink = Collected()
    context = PipelineContext(
        recipe["run_id"],
        pipeline_name=recipe.get("pipeline_name"),
        pipeline_config=PipelineConfig.from_dict(recipe, recipe),
    )
    reporter = DatahubIngestionRunSummaryProvider(sink, True, context)
    reporter.on_start(context)
    reporter.on_completion(status, {"source": {"report": {}}}, context)
    return sink.written


def recipe_for(server: str, gms: Gms | None, **more: Any) -> dict[str, Any]:
    sink = (
        {} if gms is None else {"sink": {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1}}}
    )
    source = {"type": "mlflow", "config": {"tracking_uri": server, "retry_max_times": 1}}
    return {"source": source, **sink, "pipeline_name": "nightly", "run_id": "run-1", **more}


def shown(gms: Gms) -> dict[str, tuple[str, dict[str, Any]]]:
    """What the page shows: URN and value by aspect."""
    return {name: (urn, value) for (urn, name), value in gms.aspects.items() if name in ABOUT_THE_CRAWL}


def settings_of(recipe: dict[str, Any], folder: Path, **flags: Any) -> Settings:
    return load(recipe, {}, Flags(patience=0, **flags), home=folder)  # type: ignore[arg-type]


@pytest.mark.parametrize("endpoint", list(Endpoint))
@pytest.mark.parametrize("instance", [None, "team-ä"])
async def test_it_shows_what_the_official_reporter_shows(
    golden_server: MlflowServer, tmp_path: Path, endpoint: Endpoint, instance: str | None
) -> None:
    async with Gms(token=CANARY) as gms:
        recipe = recipe_for(golden_server.url, gms)
        recipe["sink"]["config"]["token"] = "${TOKEN}"
        if instance is not None:
            recipe["source"]["config"]["platform_instance"] = instance
        settings = load(recipe, {"TOKEN": CANARY}, Flags(endpoint=endpoint), home=tmp_path)
        report = await crawl_settings(settings)
    assert (report.status, report.warnings, gms.dropped, gms.violations) == ("success", [], [], [])
    ours, theirs = shown(gms), officially(recipe)
    assert {name: urn for name, (urn, _) in ours.items()} == {name: urn for name, (urn, _) in theirs.items()}
    for name in ABOUT_THE_CRAWL:
        assert without_what_differs(ours[name][1]) == without_what_differs(theirs[name][1])
    assert ours[SOURCE][1]["platform"] == "urn:li:dataPlatform:mlflow"
    assert CANARY not in json.dumps(list(ours.values()))
    # Nobody rolls the page's entities back.
    assert all(gms.system_metadata[urn, name]["runId"] == "no-run-id-provided" for name, (urn, _) in ours.items())  # type: ignore[index]
    told = [name for _, name, _ in gms.history]
    assert (told[:2], told[-1]) == ([SOURCE, INPUT], RESULT)


def without_what_differs(value: dict[str, Any]) -> dict[str, Any]:
    """Recipes as data, no times, no texts of a report; the platform is left unknown there."""
    kept = {key: item for key, item in value.items() if key not in {"platform", "requestedAt", "report"}}
    kept = {key: item for key, item in kept.items() if not key.endswith("Ms")}
    for within in ("config", "args"):
        if within in kept:
            kept[within] = kept[within] | {"recipe": json.loads(kept[within]["recipe"]), "version": ""}
    if "structuredReport" in kept:
        kept["structuredReport"] = kept["structuredReport"] | {"serializedValue": ""}
    return kept


@examples(200)
@given(st.none() | st.text(min_size=1), st.none() | st.text(min_size=1), st.text("abc ,()%ü-_", min_size=1))
def test_a_pipeline_is_one_source_whoever_runs_it(name: str | None, instance: str | None, run_id: str) -> None:
    config = {"tracking_uri": "http://m"} | ({} if instance is None else {"platform_instance": instance})
    recipe = {"source": {"type": "mlflow", "config": config}, "pipeline_name": name, "run_id": run_id}
    theirs = officially(recipe)
    pipeline = page.Pipeline(name, instance)
    assert (pipeline.urn, pipeline.title) == (theirs[SOURCE][0], theirs[SOURCE][1]["name"])
    assert page.execution_urn(run_id) == theirs[RESULT][0]


async def test_the_report_can_be_taken_apart(golden_server: MlflowServer, tmp_path: Path) -> None:
    group = next(iter(await urns_of(golden_server, tmp_path, "urn:li:mlModelGroup:")))
    async with Gms(forbidden=[group]) as gms:
        report = await crawl_settings(settings_of(recipe_for(golden_server.url, gms), tmp_path))
        _, result = shown(gms)[RESULT]
    assert (report.status, result["status"]) == ("failures", "FAILURE")
    structured = json.loads(result["structuredReport"]["serializedValue"])
    (failure,) = structured["source"]["report"]["failures"]
    assert (failure["title"], failure["message"]) == (f"{report.rejected} × refused_403", report.failures[0].message)
    assert group in failure["context"][0]
    counted = structured["source"]["report"]["aspects_by_subtypes"]
    assert {kind: found["unknown"]["status"] for kind, found in counted.items()} == dict(+report.delivered)
    assert structured["crawler"]["run_id"] == report.run_id
    assert (structured["sink"]["type"], structured["sink"]["report"]["gms_version"]) == ("datahub-rest", "v1.7.0")
    assert f"Not all: {report.rejected} failed, see above." in result["report"]
    assert json.dumps(structured, indent=2) in result["report"]
    assert 0 <= result["durationMs"] <= report.duration * 1_000 + 1
    assert result["startTimeMs"] == int(report.started_at.timestamp() * 1_000)


async def urns_of(server: MlflowServer, folder: Path, beginning: str) -> list[str]:
    path = folder / "urns.json"
    recipe = recipe_for(server.url, None) | {"sink": {"type": "file", "config": {"filename": str(path)}}}
    await crawl_settings(settings_of(recipe, folder))
    return [each["entityUrn"] for each in json.loads(path.read_bytes()) if each["entityUrn"].startswith(beginning)]


async def test_the_log_is_in_the_report(
    golden_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    def listen(event: object) -> None:
        logging.getLogger("crawler").info("heard of %s", type(event).__name__)

    async with Gms() as gms:
        await crawl(settings_of(recipe_for(golden_server.url, gms), tmp_path), listeners=[listen])
        assert " INFO heard of RowsRead\n" in shown(gms)[RESULT][1]["report"].partition("~~~~ Ingestion Logs ~~~~")[2]


async def test_a_crawl_that_fails_is_shown_with_its_error(tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = settings_of(recipe_for("http://127.0.0.1:9", gms), tmp_path)
        with pytest.raises(Unreachable):
            await crawl(settings)
        _, result = shown(gms)[RESULT]
    assert result["status"] == "FAILURE"
    assert "unreachable: " in result["report"]


@pytest.mark.parametrize("resumable", [False, True])
async def test_a_crawl_that_is_stopped_is_cancelled_unless_another_one_goes_on(
    golden_server: MlflowServer, tmp_path: Path, resumable: bool
) -> None:
    state = {"state": tmp_path / "state"} if resumable else {}
    async with Gms() as gms:
        stop = asyncio.Event()

        def listen(_event: object) -> None:
            stop.set()

        with pytest.raises(Interrupted):
            await crawl(
                settings_of(recipe_for(golden_server.url, gms), tmp_path, **state), stop=stop, listeners=[listen]
            )
        assert shown(gms)[RESULT][1]["status"] == ("UP_FOR_RETRY" if resumable else "CANCELLED")
        report = await crawl_settings(settings_of(recipe_for(golden_server.url, gms), tmp_path, **state))
        # Without a state the second one has the same run id only because the recipe names it.
        assert shown(gms)[RESULT][1]["status"] == ("SUCCESS" if resumable else "CANCELLED")
    assert (report.status, report.warnings) == ("success", [])


async def test_a_missing_privilege_is_a_line_in_the_log(
    golden_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with Gms(forbidden=[page.Pipeline("nightly").urn, page.execution_urn("run-1")]) as gms:
        report = await crawl_settings(settings_of(recipe_for(golden_server.url, gms), tmp_path))
    assert (report.status, report.warnings, shown(gms)) == ("success", [], {})
    assert caplog.text.count("that takes the privilege Manage Metadata Ingestion.") == 2


async def test_where_it_is_asked_for_a_missing_privilege_is_a_warning(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms(forbidden=[page.Pipeline("nightly").urn]) as gms:
        recipe = recipe_for(golden_server.url, gms, reporting=[{"type": "datahub"}])
        report = await crawl_settings(settings_of(recipe, tmp_path))
    assert report.status == "success"
    assert [(each.code, each.count) for each in report.warnings] == [("not_on_ingestion_page", 2)]


async def test_where_it_is_required_nothing_is_read_without_it(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(forbidden=[page.Pipeline("nightly").urn]) as gms:
        recipe = recipe_for(golden_server.url, gms, reporting=[{"type": "datahub", "required": True}])
        report = Report()
        with pytest.raises(RequestRefused, match="403"):
            await crawl(settings_of(recipe, tmp_path), report=report)
    assert not report.read.total()


async def test_an_executor_has_told_the_page_of_source_and_run(golden_server: MlflowServer, tmp_path: Path) -> None:
    run_id = "urn:li:dataHubExecutionRequest:6b2a"
    async with Gms() as gms:
        await crawl_settings(settings_of(recipe_for(golden_server.url, gms, run_id=run_id), tmp_path))
    assert {name: urn for name, (urn, _) in shown(gms).items()} == {RESULT: run_id}


@pytest.mark.parametrize("flags", [{"no_default_report": True}, {"dry_run": True}])
async def test_it_can_be_left_out(golden_server: MlflowServer, tmp_path: Path, flags: dict[str, Any]) -> None:
    async with Gms() as gms:
        await crawl_settings(settings_of(recipe_for(golden_server.url, gms), tmp_path, **flags))
    assert shown(gms) == {}


async def test_a_datahub_that_is_gone_at_the_end_does_no_harm(
    golden_server: MlflowServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with Gms() as gms:

        def rule(batch: Any) -> Fault | None:
            return Fault(status=503) if any(each.get("aspectName") == RESULT for each in batch) else None

        gms.rule = rule
        report = await crawl_settings(settings_of(recipe_for(golden_server.url, gms), tmp_path))
    assert report.status == "success"
    assert "DataHub's Ingestion page does not show this crawl. " in caplog.text


async def test_reports_go_to_files_in_the_official_form(golden_server: MlflowServer, tmp_path: Path) -> None:
    path, nowhere = tmp_path / "report.json", tmp_path / "no" / "report.json"
    files = [{"type": "file", "config": {"filename": str(each)}} for each in (path, nowhere)]
    recipe = recipe_for(golden_server.url, None, reporting=files)
    recipe["sink"] = {"type": "file", "config": {"filename": str(tmp_path / "out.json")}}
    report = await crawl_settings(settings_of(recipe, tmp_path))
    written = json.loads(path.read_bytes())
    assert (written["sink"]["type"], written["crawler"]["status"]) == ("file", "success")
    assert written["sink"]["report"]["total_records_written"] == report.proposals
    assert [(each.code, each.samples[0]) for each in report.warnings] == [
        (
            "not_reported",
            f"Cannot write the report {nowhere}: No such folder. Give the path of a file in a folder that exists.",
        )
    ]
    (tmp_path / "out.json").unlink()
    recipe["source"]["config"]["tracking_uri"] = "http://127.0.0.1:9"
    with pytest.raises(CrawlerError):
        await crawl(settings_of(recipe, tmp_path))
    assert json.loads(path.read_bytes())["crawler"]["status"] == "failed"
