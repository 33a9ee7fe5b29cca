"""Crawls with stale removal, one after the other, from a double of MLflow into the double of GMS."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CrawlerError
from crawler.mapping.experiments import container_urn
from crawler.mapping.model_versions import model_urn
from crawler.mapping.registered_models import model_group_urn
from crawler.mlflow.entities import Experiment
from crawler.pipeline.crawl import crawl
from crawler.removal.checkpoint_state import OFFICIAL_JOB, OWN_JOB, checkpoint, decode_checkpoint, job_urn
from crawler.settings.mapping import MappingSettings
from crawler.telemetry.events import Listener
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.dialect import Dialect, run, version
from tests.support.crawls import recipe_file

MAPPING = MappingSettings(ui_url="http://mlflow")
JOB = job_urn("datahub", "tests", OFFICIAL_JOB)
OWN = job_urn("datahub", "tests", OWN_JOB)
CHECKPOINT = "datahubIngestionCheckpoint"
TAG = "urn:li:tag:mlflow_production"


def experiment(name: str) -> str:
    """The URN of an experiment."""
    return container_urn(Experiment("0", name), MAPPING)


def group(name: str) -> str:
    """The URN of a registered model."""
    return model_group_urn(name, MAPPING)


def model(name: str, number: int) -> str:
    """The URN of a version."""
    return model_urn(name, str(number), MAPPING)


def dataset(name: str, platform: str = "mlflow") -> str:
    """The URN of a dataset."""
    return f"urn:li:dataset:(urn:li:dataPlatform:{platform},{name},PROD)"


def run_with_dataset(run_id: str, start: int, experiment_id: str, *names: str, source_type: str = "local") -> Any:
    """A run with inputs."""
    inputs = [{"dataset": {"name": name, "digest": "1", "source_type": source_type}} for name in names]
    return run(run_id, start, experiment_id) | {"inputs": {"dataset_inputs": inputs}}


CHURN = {group("churn"), model("churn", 1)}
SECOND = {experiment("second"), dataset("only second")}
"""What is only there while the model churn, or the second experiment, is."""


def removed(gms: Gms) -> set[str]:
    """The entities that are marked as removed, but for the checkpoint's own."""
    return {urn for (urn, name), value in gms.aspects.items() if name == "status" and value["removed"]} - {JOB, OWN}


def kept_checkpoint(gms: Gms, job: str = JOB) -> list[str]:
    """The URNs of the newest checkpoint in DataHub."""
    return decode_checkpoint(json.dumps(gms.aspects[job, CHECKPOINT]))


def put_checkpoint(gms: Gms, urns: Iterable[str], job: str = JOB) -> None:
    """As if a crawl before had listed these."""
    aspect = checkpoint(urns, pipeline_name="tests", run_id="before", time=1)
    value = msgspec.to_builtins(aspect)
    gms.aspects[job, CHECKPOINT] = value
    gms.history.append((job, CHECKPOINT, value))


class World:
    """Both servers, and a recipe."""

    def __init__(self, dialect: Dialect, url: str, gms: Gms, folder: Path) -> None:
        self.dialect = dialect
        self.url = url
        self.gms = gms
        self.folder = folder
        self.source: dict[str, Any] = {"retry_max_times": 0, "patience_sec": 0}
        self.stateful: dict[str, Any] = {"enabled": True, "fail_safe_threshold": 100}
        self.sink: dict[str, Any] = {
            "type": "datahub-rest",
            "config": {"server": gms.url, "retry_max_times": 0, "patience_sec": 0},
        }
        self.flags: dict[str, Any] = {}

    async def crawl(self, *, stop: asyncio.Event | None = None, listeners: Iterable[Listener] = ()) -> Report:
        """One crawl; its report, finished also where it ended by an error."""
        options = {**self.source, "stateful_ingestion": self.stateful}
        path = recipe_file(self.folder, self.url, options, self.sink, "tests")
        settings = load(path, {}, Flags(**self.flags), home=self.folder)
        report = Report(settings.run_id)
        try:
            await crawl(settings, report=report, stop=stop, listeners=listeners)
        except CrawlerError as error:
            report.finish("interrupted" if stop is not None else "failed")
            report.status += f": {error.code}"
            return report
        report.finish()
        return report


@asynccontextmanager
async def world(folder: Path, **behaviour: Any) -> AsyncIterator[World]:
    """Two models with versions, two experiments, three runs, two datasets, one of them hosted elsewhere."""
    dialect = Dialect()
    dialect.models = [{"name": "fraud"}, {"name": "churn"}]
    dialect.versions = [version("fraud", "1", "r0"), version("fraud", "2", ""), version("churn", "1", "")]
    dialect.experiments = [{"experiment_id": "1", "name": "first"}, {"experiment_id": "2", "name": "second"}]
    dialect.runs = [
        run_with_dataset("r0", 1_000, "1", "shared"),
        run_with_dataset("r1", 1_001, "1", "bucket", source_type="s3"),
        run_with_dataset("r2", 1_002, "2", "shared", "only second"),
    ]
    async with dialect.serve() as url, Gms(**behaviour) as gms:
        yield World(dialect, url, gms, folder)


def delete_experiment(dialect: Dialect, name: str) -> None:
    """As MLflow does: the experiment stays listed as deleted, with all of its runs."""
    (found,) = (each for each in dialect.experiments if each["name"] == name)
    found["lifecycle_stage"] = "deleted"
    for each in dialect.runs:
        if each["info"]["experiment_id"] == found["experiment_id"]:
            each["info"]["lifecycle_stage"] = "deleted"


def purge_experiment(dialect: Dialect, name: str) -> None:
    """As `mlflow gc` does, or as MLflow hides what an account may not read."""
    (found,) = (each for each in dialect.experiments if each["name"] == name)
    dialect.experiments.remove(found)
    dialect.runs = [each for each in dialect.runs if each["info"]["experiment_id"] != found["experiment_id"]]


def delete_model(dialect: Dialect, name: str) -> None:
    """With its versions."""
    dialect.models = [each for each in dialect.models if each["name"] != name]
    dialect.versions = [each for each in dialect.versions if each["name"] != name]
