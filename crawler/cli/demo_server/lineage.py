"""The lineage of one model, read back from DataHub Lite."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from crawler.datahub.lite_catalog import open_lite_catalog
from crawler.mapping.platform import PLATFORM_URN

PRODUCTION = "urn:li:tag:mlflow_production"


class Lineage(msgspec.Struct, frozen=True):
    """The steps from the data to a model, in this order; each is (kind, name)."""

    model: str
    steps: list[tuple[str, str]]


class Catalog:
    """A DataHub Lite file, open for reading."""

    def __init__(self, path: Path) -> None:
        """Open the file."""
        self._lite = open_lite_catalog("sqlite", path, read_only=True)

    def entities(self) -> dict[str, int]:
        """Return the number of entities by type."""
        return dict(Counter(urn.split(":", 3)[2] for urn in self._lite.list_ids()))

    def lineage_of_a_production_model(self) -> Lineage:
        """Return dataset → run → model version → model of the first version in stage Production."""
        versions = sorted(urn for urn in self._lite.list_ids() if urn.startswith("urn:li:mlModel:"))
        return self._lineage(next(urn for urn in versions if PRODUCTION in self._tags(urn)))

    def close(self) -> None:
        """Close the file."""
        self._lite.close()

    def _lineage(self, version: str) -> Lineage:
        properties = self._aspect(version, "mlModelProperties")
        steps: list[tuple[str, str]] = []
        for run in properties["trainingJobs"]:
            steps += self._way_to_run(run)
        metrics = ", ".join(f"{metric['name']} {metric['value']}" for metric in properties.get("trainingMetrics", []))
        steps.append(("model version", f"{_name(version)} [Production]  {metrics}"))
        model = _name(properties["groups"][0])
        return Lineage(model, [*steps, ("registered model", model)])

    def _way_to_run(self, run: str) -> list[tuple[str, str]]:
        steps: list[tuple[str, str]] = []
        for edge in self._aspect(run, "dataProcessInstanceInput").get("inputEdges", []):
            dataset = edge["destinationUrn"]
            upstreams = self._aspect(dataset, "upstreamLineage").get("upstreams", [])
            steps += [("hosted dataset", _name(upstream["dataset"])) for upstream in upstreams]
            context = edge.get("properties", {}).get("mlflow.data.context", "")
            steps.append(("dataset", f"{_name(dataset)}  [{context}]"))
        experiment = self._aspect(self._aspect(run, "container")["container"], "containerProperties")["name"]
        name = self._aspect(run, "dataProcessInstanceProperties")["name"]
        return [*steps, ("run", f"{name}  in experiment {experiment!r}")]

    def _tags(self, urn: str) -> list[str]:
        return [tag["tag"] for tag in self._aspect(urn, "globalTags").get("tags", [])]

    def _aspect(self, urn: str, name: str) -> dict[str, Any]:
        found = (self._lite.get(urn, [name]) or {}).get(name, {})
        return found if isinstance(found, dict) else {}


def _name(urn: str) -> str:
    """Return the name in urn:li:type:(platform,name,env), with its platform unless that is MLflow."""
    platform, name, _ = urn.split("(", 1)[1].rsplit(")", 1)[0].split(",", 2)
    return name if platform == PLATFORM_URN else f"{name}  on {platform.rsplit(':', 1)[1]}"
