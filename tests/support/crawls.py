"""Whole crawls as the tests run them: from a recipe to what came out."""

import json
import os
from pathlib import Path
from typing import Any

import yaml

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Confirm, Endpoint
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.judge import judge_all

ROOT = Path(__file__).parents[2]

Proposals = list[dict[str, Any]]
Values = dict[tuple[str, str], Any]
"""By (URN, aspect)."""


def plain_environment(home: Path, more: dict[str, str] | None = None) -> dict[str, str]:
    """The variables of a command's process: nothing of the user's own, but what measures its coverage too."""
    measuring = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT), **measuring, **(more or {})}


def recipe_file(
    folder: Path,
    mlflow_url: str,
    options: dict[str, Any] | None = None,
    sink: dict[str, Any] | None = None,
    pipeline_name: str | None = None,
) -> Path:
    """A recipe for a server, with more options of the source and another sink where given.

    With a `pipeline_name`, crawls show on DataHub's Ingestion page.
    """
    recipe: dict[str, Any] = {
        "source": {"type": "mlflow", "config": {"tracking_uri": mlflow_url, **(options or {})}},
    }
    if pipeline_name is not None:
        recipe["pipeline_name"] = pipeline_name
    if sink is not None:
        recipe["sink"] = sink
    path = folder / "recipe.yml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def values(proposals: Proposals) -> Values:
    """What the proposals of a file write."""
    return {(each["entityUrn"], each["aspectName"]): each["aspect"]["json"] for each in proposals}


async def crawl_settings(settings: Settings) -> Report:
    """Crawls to the end; the report is finished."""
    report = Report(settings.run_id)
    await crawl(settings, report=report)
    report.finish()
    return report


async def crawl_to_file(recipe: Path, folder: Path, flags: dict[str, Any] | None = None) -> tuple[Report, Proposals]:
    """Crawls into a file; the report and the proposals, all of which acryl-datahub's own classes accepted."""
    output = folder / "proposals.json"
    settings = load(recipe, {}, Flags(output=output, **(flags or {})), home=folder)
    report = await crawl_settings(settings)
    proposals = json.loads(output.read_bytes())
    judge_all(proposals)
    return report, proposals


def settings_for_gms(
    server: MlflowServer,
    folder: Path,
    gms: Gms,
    *,
    confirm: Confirm = Confirm.ENTITIES,
    endpoint: str = "restli",
    **config: object,
) -> Settings:
    """A crawl into the double of GMS, with more options of the sink where given, that retries once and keeps dead
    letters in dead.jsonl.
    """
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1, **config}}
    flags = Flags(confirm=confirm, endpoint=Endpoint(endpoint), dead_letters=folder / "dead.jsonl")
    return load(recipe_file(folder, server.url, sink=sink), {}, flags, home=folder)


async def into_gms(server: MlflowServer, folder: Path, gms: Gms, **options: Any) -> Report:
    """Crawls with `settings_for_gms`."""
    return await crawl_settings(settings_for_gms(server, folder, gms, **options))


async def crawl_to_gms(recipe: Path, folder: Path, endpoint: str) -> dict[tuple[str, str], tuple[Any, dict[str, Any]]]:
    """Crawls into the double of GMS by one of its endpoints, which must take everything: value and system metadata of
    each (URN, aspect), without what differs between two crawls.
    """
    async with Gms() as gms:
        flags = Flags(datahub_url=gms.url, endpoint=Endpoint(endpoint), no_default_report=True)
        settings = load(recipe, {}, flags, home=folder)
        report = await crawl_settings(settings)
    assert (report.failures, gms.dropped, gms.violations) == ([], [], [])
    assert len(gms.history) == len(gms.aspects) == report.proposals, "an aspect was written twice"
    found = {}
    for key, value in gms.aspects.items():
        metadata = dict(gms.system_metadata[key] or {})
        assert metadata.pop("runId") == report.run_id
        assert metadata.pop("lastObserved") > 1_700_000_000_000
        found[key] = (value, metadata)
    return found
