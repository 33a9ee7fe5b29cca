"""One recipe, with all that recipes of `datahub ingest` usually have, by DataHub's own command and by ours."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gms.server import Gms
from tests.pipeline.test_golden import Aspects, compare, in_order
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run
from tests.support.official import datahub, with_mlflow

TAGS = ["urn:li:tag:from-mlflow", "urn:li:tag:ml"]
RECIPE = """
pipeline_name: nightly
run_id: {run_id}
datahub_api:
  server: {gms}
  timeout_sec: 30
source:
  type: mlflow
  config:
    tracking_uri: {mlflow}
    env: PROD
    base_external_url: https://mlflow.example.com/
    materialize_dataset_inputs: true
    source_mapping_to_platform: {{delta_table: delta-lake, http: http, hugging_face: huggingface}}
    stateful_ingestion:
      enabled: false
      remove_stale_metadata: true
transformers:
  - type: simple_add_dataset_tags
    config:
      semantics: PATCH
      tag_urns: {tags}
  - type: simple_add_dataset_properties
    config:
      properties: {{team: ml, cost_center: "42"}}
reporting:
  - type: datahub
    config: {{report_recipe: true}}
  - type: file
    config: {{filename: report.json, format: json}}
flags:
  generate_browse_path_v2: true
  report_failure_sample_size: 20
  set_system_metadata_pipeline_name: false
failure_log:
  enabled: true
  log_config: {{filename: failed.json}}
sink:
  type: datahub-rest
  config:
    server: {gms}
    mode: ASYNC_BATCH
    endpoint: RESTLI
    max_threads: 4
    max_pending_requests: 500
    max_per_batch: 50
    min_process_interval_seconds: 1
    timeout_sec: 30
    retry_max_times: 2
    retry_status_codes: [429, 502, 503]
    pool_connections: 4
    pool_maxsize: 4
    default_emit_mode: ASYNC
    tcp_keepalive: true
"""
# Before 1.7.0, as which `status` is written whole by both.
VERSION = "v1.6.0"


def recipe_in(folder: Path, server: MlflowServer, gms: Gms) -> Path:
    folder.mkdir()
    path = folder / "recipe.yml"
    path.write_text(RECIPE.format(run_id="usual", gms=gms.url, mlflow=server.url, tags=json.dumps(TAGS)))
    assert isinstance(yaml.safe_load(path.read_text()), dict)
    return path


def written(gms: Gms, server: MlflowServer) -> Aspects:
    """All values of each aspect; of the Ingestion page only what does not tell of times and of the crawl itself."""
    found: Aspects = {}
    for urn, name, value in gms.history:
        text = json.dumps(value).replace(gms.url, "{gms}").replace(server.url, "{mlflow}")
        found.setdefault((urn, name), []).append(in_order(json.loads(text)))
    return found


@pytest.mark.slow
async def test_it_writes_the_same(
    golden_server: MlflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with Gms(version=VERSION) as gms:
        recipe = recipe_in(tmp_path / "official", golden_server, gms)
        ended = await datahub("ingest", "run", "-c", recipe, home=recipe.parent, gms=gms.url, python=with_mlflow())
        assert ended.code == 0, ended.output
        theirs, their_metadata = written(gms, golden_server), gms.system_metadata
        their_report = json.loads((recipe.parent / "report.json").read_bytes())
    async with Gms(version=VERSION) as gms:
        recipe = recipe_in(tmp_path / "ours", golden_server, gms)
        code, _, errors = await run("crawl", "-c", recipe, "--no-progress", folder=recipe.parent)
        assert code == 0, errors
        mine, my_metadata = written(gms, golden_server), gms.system_metadata
        my_report = json.loads((recipe.parent / "report.json").read_bytes())
    page, their_page = apart(mine), apart(theirs)
    assert page.keys() == their_page.keys(), "the Ingestion page shows one source and one run"
    assert [key for key, values in mine.items() if len(values) > 1] == [], "an aspect was written twice"
    assert [key for key in theirs if key not in mine] == [], "an aspect is missing"
    counts = compare(mine, theirs)
    with capsys.disabled():
        print(f"\nthe usual recipe: {dict(counts)} of {len(theirs)} official aspects")
    assert_transformed(mine, theirs)
    # What a transformer adds at the end has no run id there; here a rollback finds it, too.
    labelled = {key for key in theirs if key[1] != "tagKey"}
    assert {key: labels(their_metadata[key]) for key in labelled} == {key: {"runId": "usual"} for key in labelled}
    assert {key: labels(my_metadata[key]) for key in mine} == {key: {"runId": "usual"} for key in mine}
    assert my_report.keys() >= their_report.keys()
    assert {part: set(their_report[part]) - set(my_report[part]) for part in ("source", "sink")} == {
        "source": set(),
        "sink": set(),
    }


def apart(aspects: Aspects) -> Aspects:
    """Take what is about the crawl itself out of what it wrote."""
    about = [key for key in aspects if key[0].startswith(("urn:li:dataHubIngestionSource", "urn:li:dataHubExecution"))]
    return {key: aspects.pop(key) for key in about}


def labels(metadata: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (metadata or {}).items() if name in {"runId", "pipelineName"}}


def assert_transformed(mine: Aspects, theirs: Aspects) -> None:
    datasets = {urn for urn, _ in theirs if urn.startswith("urn:li:dataset:")}
    assert datasets
    for found in (mine, theirs):
        for urn in datasets:
            (tags,) = distinct(found[urn, "globalTags"])
            assert [each["tag"] for each in tags["tags"]] == TAGS
            for properties in found[urn, "datasetProperties"]:
                assert properties["customProperties"].items() >= {"team": "ml", "cost_center": "42"}.items()
    for tag in TAGS:
        assert mine[tag, "tagKey"] == theirs[tag, "tagKey"]


def distinct(values: Iterable[Any]) -> list[Any]:
    return list({json.dumps(each, sort_keys=True): each for each in values}.values())
