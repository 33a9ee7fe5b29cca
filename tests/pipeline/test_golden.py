"""Our crawl of the golden database beside what DataHub's own connector wrote for it (MAPPING.md, tests/golden)."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_to_file, crawl_to_gms, recipe_file, values

GOLDEN = Path(__file__).parents[1] / "golden"
OPTIONS = {
    "env": "DEV",
    "model_name_separator": "-v",
    "base_external_url": "https://mlflow.example.com/base/",
    "materialize_dataset_inputs": True,
    "source_mapping_to_platform": {"delta_table": "delta-lake", "http": "http", "hugging_face": "huggingface"},
}

Aspects = dict[tuple[str, str], list[Any]]

# What differs on purpose, row by row of MAPPING's "Where we differ": the fields that may, all others must be equal.
MAY_DIFFER = {
    ("dataProcessInstance", "dataProcessInstanceProperties"): {"customProperties", "externalUrl"},
    ("dataProcessInstance", "dataProcessInstanceOutput"): {"outputEdges"},
    ("dataProcessInstance", "dataProcessInstanceInput"): {"inputEdges"},
    ("dataset", "datasetProperties"): {"customProperties"},
    ("mlModelGroup", "mlModelGroupProperties"): {"externalUrl", "version"},
    ("container", "containerProperties"): {"externalUrl", "created", "lastModified"},
    ("mlModel", "versionProperties"): {"aliases"},
}
# Within those fields: what must hold between ours and the official value.
STILL_HOLDS: dict[str, Callable[[Any, Any], bool]] = {
    "outputEdges": lambda ours, theirs: all(edge in ours for edge in theirs),
    "inputEdges": lambda ours, theirs: _destinations(ours) == _destinations(theirs),
    # The official connector names the first of `latest_versions`, which are one a stage, as the newest.
    "version": lambda ours, theirs: int(ours.get("versionTag", 0)) > int(theirs.get("versionTag", 0)),
    "aliases": lambda ours, theirs: theirs == [] and ours != [],
}
# What the official connector does not write at all.
EXTRA = {
    ("dataProcessInstance", "dataProcessInstanceRelationships"),
    ("mlModel", "dataPlatformInstance"),
    ("mlModelGroup", "dataPlatformInstance"),
}


@pytest.mark.parametrize(
    ("official", "options", "equal", "differ", "extra"),
    [("official-default.json", {}, 287, 58, 31), ("official-options.json", OPTIONS, 311, 59, 31)],
)
async def test_every_aspect_is_equal_or_differs_on_purpose(
    golden_server: MlflowServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    official: str,
    options: dict[str, object],
    equal: int,
    differ: int,
    extra: int,
) -> None:
    recipe = recipe_file(tmp_path, golden_server.url, options)
    report, proposals = await crawl_to_file(recipe, tmp_path)
    ours = _aspects(proposals, golden_server.url)
    theirs = _aspects(json.loads((GOLDEN / official).read_text()), golden_server.url)
    assert report.failures == []
    assert [key for key, values in ours.items() if len(values) > 1] == [], "an aspect was written twice"
    assert [key for key in theirs if key not in ours] == [], "an aspect is missing"
    counts = compare(ours, theirs)
    with capsys.disabled():
        print(f"\n{official}: {dict(counts)} of {len(theirs)} official aspects")
    assert (counts["equal"], counts["differ on purpose"], counts["extra"]) == (equal, differ, extra)


async def test_both_endpoints_deliver_the_same(golden_server: MlflowServer, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, golden_server.url, OPTIONS, pipeline_name="tests")
    _, proposals = await crawl_to_file(recipe, tmp_path)
    arrived = {endpoint: await crawl_to_gms(recipe, tmp_path, endpoint) for endpoint in ("restli", "openapi")}
    assert arrived["openapi"] == arrived["restli"]
    assert {key: value for key, (value, _) in arrived["openapi"].items()} == values(proposals)
    assert all(metadata == {"pipelineName": "tests"} for _, metadata in arrived["openapi"].values())


def compare(ours: Aspects, theirs: Aspects) -> Counter[str]:
    """How many are equal, and how many differ on purpose; anything else fails."""
    counts: Counter[str] = Counter()
    for key, (value,) in ours.items():
        kind = (key[0].split(":")[2], key[1])
        if key not in theirs:
            assert kind in EXTRA, f"nothing official at {key}"
            counts["extra"] += 1
        elif value in theirs[key]:
            counts["equal"] += 1
        else:
            allowed = MAY_DIFFER.get(kind, set())
            near = [other for other in theirs[key] if _without(value, allowed) == _without(other, allowed)]
            assert any(_still_holds(value, other) for other in near), key
            counts["differ on purpose"] += 1
    return counts


async def test_runs_carry_what_the_official_connector_loses(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url, OPTIONS), tmp_path)
    ours = _aspects(proposals, golden_server.url)
    runs = [value[0] for key, value in ours.items() if key[1] == "dataProcessInstanceProperties"]
    assert all(run["customProperties"]["mlflow.source.name"] == "train.py" for run in runs)
    assert all(run["externalUrl"].startswith("https://mlflow.example.com/base/#/experiments/") for run in runs)
    aliases = Counter(
        alias["versionTag"]
        for key, value in ours.items()
        if key[1] == "versionProperties"
        for alias in value[0]["aliases"]
    )
    assert aliases == {"champion": 4, "shadow": 4, "next": 4}
    uses = [
        edge.get("properties", {}).get("mlflow.data.context")
        for key, value in ours.items()
        if key[1] == "dataProcessInstanceInput"
        for edge in value[0]["inputEdges"]
    ]
    assert {"training", "eval", None} == set(uses)


def _aspects(proposals: list[dict[str, Any]], url: str) -> Aspects:
    """Values by (URN, aspect); lists without a meaning of their own order in one order, URLs with a placeholder."""
    found: Aspects = defaultdict(list)
    for proposal in proposals:
        text = json.dumps(proposal["aspect"]["json"]).replace(url, "{tracking_uri}")
        found[proposal["entityUrn"], proposal["aspectName"]].append(in_order(json.loads(text)))
    return found


def in_order(value: Any) -> Any:
    """The value with lists without a meaning of their own order in one order."""
    if isinstance(value, dict):
        return {key: in_order(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted(map(in_order, value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _still_holds(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    return all(
        holds(ours[field], theirs[field]) or ours[field] == theirs[field]
        for field, holds in STILL_HOLDS.items()
        if field in theirs
    )


def _destinations(edges: list[dict[str, Any]]) -> set[str]:
    return {edge["destinationUrn"] for edge in edges}


def _without(value: dict[str, Any], fields: set[str]) -> dict[str, Any]:
    return {key: item for key, item in value.items() if key not in fields}
