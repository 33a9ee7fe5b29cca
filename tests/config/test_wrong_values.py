"""A value that cannot be used: the message has its path and what was expected, and not the value of a secret."""

from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.config.strict import section
from crawler.errors import SettingsError
from tests.config.recipes import CANARY, recipe, refused, rest

NO_PASSWORD = "source.config: username and password must be set together. Give both there, or as MLFLOW_TRACKING"
SERVER = "`mlflow server --backend-store-uri …`"


def lite(**config: Any) -> dict[str, Any]:
    return {"type": "datahub-lite", "config": config}


WRONG: list[tuple[Any, str]] = [
    (recipe({"page_size": "many"}), "source.config.page_size: expected int, got str."),
    (recipe({"page_size": 0}), "source.config.page_size: expected int >= 1."),
    (recipe({"page_size": 50_001}), "source.config.page_size: expected int <= 50000."),
    (recipe({"page_size": 1.5}), "source.config.page_size: expected int, got float."),
    (recipe({"max_threads": -1}), "source.config.max_threads: expected int >= 1."),
    (recipe({"min_threads": 17}), "source.config: min_threads is 17, above max_threads, which is 16."),
    (recipe(sink=rest(min_threads=3, max_threads=2)), "sink.config: min_threads is 3, above max_threads, which is 2."),
    (recipe({"requests_per_second": 0}), "source.config.requests_per_second: expected float > 0"),
    (recipe({"timeout_sec": float("nan")}), "source.config.timeout_sec: expected"),
    (recipe({"timeout_sec": float("inf")}), "source.config.timeout_sec: expected float <= 1000000"),
    (recipe({"retry_max_times": -1}), "source.config.retry_max_times: expected int >= 0."),
    (recipe({"materialize_dataset_inputs": "perhaps"}), "source.config.materialize_dataset_inputs: expected bool"),
    (recipe({"env": "NOWHERE"}), "source.config.env: DataHub knows no 'NOWHERE'. Known are: CERT, CORP, DEV"),
    (recipe({"owner": {}}), "source.config.owner: there must be a key tags. Name the tags"),
    (recipe({"owner": {"tags": CANARY}}), "source.config.owner.tags: expected a list, got str."),
    (recipe({"owner": {"tag": CANARY}}), "source.config.owner: unknown key 'tag'. Did you mean 'tags'?"),
    (recipe({"owner": {"tags": ["a"], "pattern": "("}}), "source.config.owner.pattern: no regular expression: missing"),
    (
        recipe({"owner": {"tags": ["a"], "pattern": "a{99999999999}"}}),
        "source.config.owner.pattern: no regular expression",
    ),
    (recipe({"owner": {"tags": ["a"], "type": "OWNER"}}), "source.config.owner.type: DataHub knows no 'OWNER'. Known"),
    (recipe({"model_tags": ["stages"]}), "source.config.model_tags[0]: expected one of stage, alias."),
    (recipe({"username": "ann"}), NO_PASSWORD),
    (recipe({"password": CANARY}), NO_PASSWORD),
    (recipe({"username": "ann", "password": 123}), "source.config.password: expected a text in quotes, got int."),
    (recipe({"username": ["ann"]}), "source.config.username: expected str, got a list."),
    (recipe({"extra_headers": CANARY}), "source.config.extra_headers: expected a mapping, got str."),
    (recipe({"extra_headers": {"X": [CANARY]}}), "source.config.extra_headers[...]: expected a text in quotes"),
    (
        recipe({"source_mapping_to_platform": {"a": [CANARY]}}),
        "source.config.source_mapping_to_platform[...]: expected",
    ),
    (
        recipe({"stateful_ingestion": {"enabled": True}}),
        "source.config.stateful_ingestion.enabled: there is no pipeline_name",
    ),
    (
        recipe({"workspace": "a", "workspace_pattern": {"allow": ["b"]}}),
        "source.config: workspace and workspace_pattern",
    ),
    (
        recipe({"workspace_pattern": {"deny": ["a", "("]}}),
        "source.config.workspace_pattern.deny: '(' is no regular",
    ),
    (
        recipe({"workspace_pattern": {"ignore_case": 1}}),
        "source.config.workspace_pattern: unknown key 'ignore_case'. Did",
    ),
    (recipe({"workspace_pattern": "team"}), "source.config.workspace_pattern: expected a mapping, got str."),
    (
        recipe({"workspace_identity": "name"}),
        "source.config.workspace_identity: expected one of platform_instance",
    ),
    (recipe({"stateful_ingestion": True}), "source.config.stateful_ingestion: expected a mapping, got bool."),
    (recipe({"ca_certificate_path": "https://x/ca"}), "source.config.ca_certificate_path: expected a path on this"),
    (recipe({"ca_certificate_path": 1}), "source.config.ca_certificate_path: expected str, got int."),
    (recipe(sink=rest(token=[CANARY])), "sink.config.token: expected a text in quotes, got a list."),
    (recipe(sink=rest(token={CANARY: CANARY})), "sink.config.token: expected a text in quotes, got a mapping."),
    (recipe(sink=rest(max_per_batch=201)), "sink.config.max_per_batch: expected int <= 200."),
    (recipe(sink=rest(max_batch_bytes=10)), "sink.config.max_batch_bytes: expected int >= 1000."),
    (recipe(sink=rest(mode=CANARY)), "sink.config.mode: expected one of SYNC, ASYNC, ASYNC_BATCH."),
    (recipe(sink=rest(endpoint=CANARY)), "sink.config.endpoint: expected one of RESTLI, OPENAPI."),
    (recipe(sink=rest(compression=CANARY)), "sink.config.compression: expected one of none, gzip."),
    (
        recipe(sink=rest(server="gms:8080")),
        "server of DataHub: this is no http(s) address. Give the URL of its metadata",
    ),
    (recipe(sink={"config": {}}), "sink: there must be a key type."),
    (recipe(sink=[1]), "sink: expected a mapping, got a list."),  # type: ignore[arg-type]
    (recipe(sink={"type": "file", "config": [CANARY]}), "sink.config: expected a mapping, got a list."),
    (recipe(sink={"type": "file", "config": {"filename": ""}}), "sink.config.filename: expected a path, got an empty"),
    (recipe(sink=lite(type="postgres")), "sink.config.type: expected one of sqlite, duckdb."),
    (recipe(sink=lite(config={"read_only": True})), "sink.config.config.read_only: the catalog is written to."),
    (recipe(sink=lite(config={"options": {"a": 1}})), "sink.config.config.options: no options are handed on"),
    (recipe(transformers=[{"type": "x"}]), "transformers[0].type: unknown type 'x'."),
    (recipe(transformers=[{"type": "simple_add_dataset_tag"}]), "transformers[0].type: unknown type"),
    (recipe(transformers=[{"type": "set_attribution"}]), "transformers[0].type: it writes patches, which are not sent"),
    (
        recipe(transformers=[{"type": "simple_add_ownership", "config": {"is_container": True}}]),
        "transformers[0].config.is_container: owners of containers are patches, which",
    ),
    (recipe(transformers=[{"config": {}}]), "transformers[0]: there must be a key type."),
    (recipe(transformers=[{"type": "a.B", "config": CANARY}]), "transformers[0].config: expected a mapping, got str."),
    (recipe(transformers=[{"type": "a.B", "confi": CANARY}]), "transformers[0]: unknown key 'confi'. Did you mean"),
    (recipe(transformers=[CANARY]), "transformers[0]: expected a mapping, got str."),
    (recipe(reporting=[{"type": "mail"}]), "reporting[0].type: unknown type 'mail'. Known are: datahub, file."),
    (recipe(reporting=[{"type": "file"}]), "reporting[0].config: there must be a key filename."),
    (
        recipe(reporting=[{"type": "file", "config": {"filename": "s3://b/k"}}]),
        "reporting[0].config.filename: expected",
    ),
    (
        recipe(reporting=[{"type": "file", "config": {"filename": "r", "format": "xml"}}]),
        "reporting[0].config.format: expected one of json.",
    ),
    (
        recipe(reporting=[{"type": "datahub", "config": {"sink": {"type": "datahub-rest"}}}]),
        "reporting[0].config.sink: the DataHub of the sink is told.",
    ),
    (recipe(failure_log={"enabled": "perhaps"}), "failure_log.enabled: expected bool, got str."),
    (recipe(failure_log={"enabled": True, "log_config": {"file": "x"}}), "failure_log.log_config: unknown key 'file'."),
    (recipe(datahub_api={"token": CANARY}), "datahub_api: there must be a key server."),
    (recipe(datahub_api={"server": "gms"}), "server of datahub_api: this is no http(s) address."),
    (recipe(pipeline_name=["x"]), "pipeline_name: expected str, got a list."),
    (
        recipe(flags={"auto_resolve_lineage_urns": {"enabled": True, "resolve_all_platforms": True}}),
        "flags.auto_resolve_lineage_urns: URNs are not fitted to those in DataHub.",
    ),
    (recipe(flags={"generate_browse_path_v2": CANARY}), "flags.generate_browse_path_v2: expected bool, got str."),
    ({"source": {"type": "postgres"}}, "source.type: unknown type 'postgres'."),
    ({"source": "mlflow"}, "source: expected a mapping, got str."),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[case[1][:60] for case in WRONG])
def test_what_cannot_be_used_is_said_with_its_path(document: Any, message: str, tmp_path: Path) -> None:
    told = refused(tmp_path, document)
    assert told.startswith(message)
    assert CANARY not in told


@pytest.mark.parametrize("option", ["tracking_uri", "registry_uri"])
@pytest.mark.parametrize(
    "uri",
    [
        *(
            "file:///mlruns",
            "sqlite:///mlflow.db",
            f"postgresql://u:{CANARY}@db/mlflow",
            "mlruns",
            "./mlruns",
            "/mlruns",
        ),
        *("http://", "ftp://mlflow", "http://my host"),
    ],
)
def test_what_is_no_server_ends_in_what_to_do(option: str, uri: str, tmp_path: Path) -> None:
    told = refused(tmp_path, recipe({option: uri}))
    assert told.startswith(f"{option}: this is no http(s) address. Start a server with {SERVER}")
    assert "for Databricks give https://WORKSPACE and a token" in told
    assert CANARY not in told


@pytest.mark.parametrize("option", ["tracking_uri", "registry_uri"])
@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("databricks", "signing in by a profile of Databricks is not supported. Give https://WORKSPACE"),
        ("databricks://profile", "signing in by a profile of Databricks is not supported. Give https://WORKSPACE"),
        ("databricks-uc", "Unity Catalog's registry is not supported. Leave registry_uri out."),
        ("uc:https://h", "Unity Catalog's registry is not supported. Leave registry_uri out."),
        ("arn:aws:sagemaker:eu-west-1:1:mlflow-tracking-server/x", "a server of SageMaker wants signed requests"),
        ("azureml://westeurope/mlflow/v1.0/x", "this scheme is not supported. Give the workspace's URL with https://"),
    ],
)
def test_services_that_want_another_way_to_sign_in_are_named(option: str, uri: str, told: str, tmp_path: Path) -> None:
    assert refused(tmp_path, recipe({option: uri})).startswith(f"{option}: {told}")
    if option == "tracking_uri":
        document = {"source": {"type": "mlflow"}}
        assert refused(tmp_path, document, {"MLFLOW_TRACKING_URI": uri}).startswith(f"{option}: {told}")


@pytest.mark.parametrize("uri", [None, "", "${NOT_GIVEN:-}"])
def test_no_server_at_all(uri: str | None, tmp_path: Path) -> None:
    told = refused(tmp_path, recipe({"tracking_uri": uri}))
    assert told.startswith("No MLflow server is given. Use --mlflow-uri, MLFLOW_TRACKING_URI, or tracking_uri")
    with pytest.raises(SettingsError, match="No MLflow server is given"):
        load(None, {}, Flags(), home=tmp_path)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"page_size": "0"}, "--page-size: expected int >= 1."),
        ({"page_size": "50001"}, "--page-size: expected int <= 50000."),
        ({"mlflow_concurrency": "0"}, "--mlflow-concurrency: expected int >= 1."),
        ({"mlflow_rps": "0"}, "--mlflow-rps: expected float > 0"),
        ({"mlflow_rps": "inf"}, "--mlflow-rps: expected float <= 1000000"),
        ({"datahub_concurrency": "x"}, "--datahub-concurrency: expected int, got str."),
        ({"batch_size": "201"}, "--batch-size: expected int <= 200."),
        ({"sink": "kafka"}, "--sink: expected one of rest, file, lite."),
        ({"output": "s3://bucket/x"}, "--output: expected a path on this machine, got a URL."),
    ],
)
def test_flags(flags: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        section(flags, "flags", Flags)
    assert str(caught.value).startswith(message)
