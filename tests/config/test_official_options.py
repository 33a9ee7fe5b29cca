"""Every option of the official connector is honoured, or refused with a sentence; its recipes run unchanged."""

import ast
import inspect
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import datahub.ingestion.source
import pytest
from datahub.configuration.common import ConfigModel
from datahub.configuration.source_common import EnvConfigMixin
from datahub.emitter.mce_builder import ALL_ENV_TYPES
from datahub.ingestion.auth.registry import AuthConfig
from datahub.ingestion.graph.config import DatahubClientConfig
from datahub.ingestion.reporting.datahub_ingestion_run_summary_provider import DatahubIngestionRunSummaryProviderConfig
from datahub.ingestion.reporting.file_reporter import FileReporterConfig
from datahub.ingestion.run.pipeline_config import FlagsConfig, PipelineConfig
from datahub.ingestion.sink.datahub_lite import DataHubLiteSinkConfig
from datahub.ingestion.sink.datahub_rest import DatahubRestSink, DatahubRestSinkConfig
from datahub.ingestion.sink.file import FileSinkConfig
from datahub.ingestion.source.state.stale_entity_removal_handler import StatefulStaleMetadataRemovalConfig
from datahub.lite.duckdb_lite_config import DuckDBLiteConfig

from crawler.config import unsupported
from crawler.secrets.secret import Secret
from crawler.settings.sinks import FileSettings, LiteSettings
from scripts.official_options import OFFICIAL, RELEASE
from scripts.recipe_reference import PAGE
from tests.config.recipes import datahub as rest_settings
from tests.config.recipes import loaded, recipe, refused, rest


def mlflow_options() -> dict[str, Any]:
    """`MLflowConfig`'s own fields with their defaults, read from its source: to import it takes an MLflow client."""
    source = Path(datahub.ingestion.source.__file__).parent / "mlflow.py"
    classes = [node for node in ast.parse(source.read_text()).body if isinstance(node, ast.ClassDef)]
    config = next(each for each in classes if each.name == "MLflowConfig")
    assert [ast.unparse(base) for base in config.bases] == ["StatefulIngestionConfigBase", "EnvConfigMixin"]
    return {ast.unparse(line.target): _default(line.value) for line in config.body if isinstance(line, ast.AnnAssign)}


def _default(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call):
        return next(ast.literal_eval(each.value) for each in value.keywords if each.arg == "default")
    assert value is not None
    return ast.literal_eval(value)


MLFLOW_OPTIONS = mlflow_options()
NOT_IMPORTED = {"MLflowConfig": {*MLFLOW_OPTIONS, "env", "stateful_ingestion"}}
"""Models whose modules take an MLflow client."""
ROOTS = (PipelineConfig, StatefulStaleMetadataRemovalConfig, DatahubRestSinkConfig, DataHubLiteSinkConfig)
MORE = (AuthConfig, DuckDBLiteConfig, DatahubIngestionRunSummaryProviderConfig, FileReporterConfig)
"""What is nested in others by its type alone."""


def models(roots: Iterable[type[ConfigModel]]) -> dict[str, type[ConfigModel]]:
    """The models and all that their fields hold, by name."""
    found: dict[str, type[ConfigModel]] = {}
    wanted = list(roots)
    while wanted:
        model = wanted.pop()
        if found.setdefault(model.__name__, model) is model:
            held = [kind for field in model.model_fields.values() for kind in kinds(field.annotation)]
            wanted += [kind for kind in held if kind.__name__ not in found]
    return found


def kinds(annotation: Any) -> Iterator[type[ConfigModel]]:
    """The models within an annotation such as `Optional[List[Model]]`."""
    if isinstance(annotation, type) and issubclass(annotation, ConfigModel):
        yield annotation
    for argument in get_args(annotation):
        yield from kinds(argument)


MODELS = {name: set(model.model_fields) for name, model in models((*ROOTS, *MORE)).items()} | NOT_IMPORTED
CONFIGS = {config.model: config for config in OFFICIAL}


def test_every_official_model_is_in_the_table() -> None:
    assert version("acryl-datahub") == RELEASE
    assert MODELS.keys() - CONFIGS.keys() == set(), "a new model of options: say what becomes of them"
    assert CONFIGS.keys() - MODELS.keys() == set(), "no official model"
    assert len(CONFIGS) == len(OFFICIAL)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_official_option_is_in_the_table(name: str) -> None:
    config = CONFIGS[name]
    assert set(config.options) == MODELS[name], "say what becomes of a new option"
    assert len(config.options) == len(set(config.options))
    honoured = {option for option in config.options if config.said_of(option) is None}
    assert honoured <= set(config.struct.__struct_fields__)
    assert set(config.unsupported) <= set(config.options), "refused, but no official option"
    assert honoured & set(config.unsupported) == set()


def test_every_official_option_is_on_the_page() -> None:
    page = PAGE.read_text().partition("## Every option of")[2]
    assert page.count("\n| ") == 2 + sum(len(names) for names in MODELS.values())


@pytest.mark.parametrize("name", CONFIGS)
def test_a_refusal_says_why_and_what_to_do(name: str) -> None:
    config = CONFIGS[name]
    for refusal in filter(None, map(config.said_of, config.options)):
        assert refusal.why.endswith(".")
        assert refusal.without_effect or any(
            word in refusal.why for word in ("Leave", "Give", "Set", "Write", "Crawl", "use mode")
        )


SWITCHED_ON: dict[str, Any] = {
    "recording": {"enabled": True},
    "auto_resolve_lineage_urns": {"enabled": True, "resolve_all_platforms": True},
}
NAMED = [
    *((f"{key}", recipe(**{key: SWITCHED_ON.get(key, ["x"])})) for key in unsupported.UNSUPPORTED_IN_PIPELINE),
    *((f"flags.{key}", recipe(flags={key: SWITCHED_ON.get(key, "x")})) for key in unsupported.UNSUPPORTED_IN_FLAGS),
    *(
        (f"source.{key}", recipe() | {"source": recipe()["source"] | {key: "x"}})
        for key in ("extractor", "extractor_config")
    ),
    *((f"sink.config.{key}", recipe(sink=rest(**{key: "x"}))) for key in unsupported.UNSUPPORTED_IN_REST_SINK),
]
WITHOUT_EFFECT = {
    f"{path}.{key}"
    for path, there in [
        ("flags", unsupported.UNSUPPORTED_IN_FLAGS),
        ("sink.config", unsupported.UNSUPPORTED_IN_REST_SINK),
    ]
    for key in there
    if there[key].without_effect
}
REFUSED = [case for case in NAMED if case[0] not in WITHOUT_EFFECT]
ACCEPTED = [case for case in NAMED if case[0] in WITHOUT_EFFECT]


@pytest.mark.parametrize(("place", "document"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_refused_is_named(place: str, document: Any, tmp_path: Path) -> None:
    assert refused(tmp_path, document).startswith(f"{place}: ")


@pytest.mark.parametrize(("place", "document"), ACCEPTED, ids=[case[0] for case in ACCEPTED])
def test_what_changes_nothing_is_accepted_with_one_line(place: str, document: Any, tmp_path: Path) -> None:
    notes = [note for note in loaded(tmp_path, document).notes if note.startswith(place)]
    assert len(notes) == 1
    assert notes[0].startswith(f"{place} has no effect: ")


def test_what_the_official_sink_ignores_is_without_effect() -> None:
    """The sink does not hand these on to its emitter, or uses them for its threads and connections only."""
    source = inspect.getsource(DatahubRestSink)
    for key in ("openapi_ingestion", "default_emit_mode"):
        assert f"config.{key}" not in source
    assert "sink.config.max_pending_requests" in WITHOUT_EFFECT


def test_kafka_is_not_there_and_what_to_use_is_said(tmp_path: Path) -> None:
    told = refused(tmp_path, recipe(sink={"type": "datahub-kafka", "config": {"connection": {"bootstrap": "b"}}}))
    assert told.startswith(
        "sink.type: the sink datahub-kafka is not there. Write to DataHub's REST API with datahub-rest"
    )


def test_official_defaults_written_out_are_accepted(tmp_path: Path) -> None:
    stateful = StatefulStaleMetadataRemovalConfig().model_dump()
    source = MLFLOW_OPTIONS | {"env": EnvConfigMixin().env, "stateful_ingestion": stateful}
    document = recipe(
        source | {"tracking_uri": "http://mlflow"},
        {"type": "datahub-rest", "config": DatahubRestSinkConfig(server="http://gms:8080").model_dump(mode="json")},
    )
    document["source"] |= {"extractor": "generic", "extractor_config": {}}
    whole = PipelineConfig.model_validate({"source": {"type": "mlflow"}}).model_dump(mode="json")
    assert isinstance(whole.pop("flags"), dict)
    document = whole | document | {"flags": FlagsConfig().model_dump(), "run_id": "__DEFAULT_RUN_ID"}
    found = loaded(tmp_path, document)
    assert rest_settings(found).batch_size == 100
    assert found.run_id.startswith("mlflow-")


def test_official_defaults_of_the_other_sinks_are_accepted(tmp_path: Path) -> None:
    file = FileSinkConfig(filename="x.json").model_dump()
    assert loaded(tmp_path, recipe(sink={"type": "file", "config": file})).sink == FileSettings(path=Path("x.json"))
    catalog = DuckDBLiteConfig(file="x.db").model_dump()
    lite = DataHubLiteSinkConfig(config=catalog).model_dump()
    found = loaded(tmp_path, recipe(sink={"type": "datahub-lite", "config": lite})).sink
    assert found == LiteSettings(path=Path("x.db"))


def test_the_client_file_of_datahub_init_is_accepted(tmp_path: Path) -> None:
    import yaml  # noqa: PLC0415

    gms = DatahubClientConfig(server="http://gms", token="t").model_dump(mode="json")
    (tmp_path / ".datahubenv").write_text(yaml.safe_dump({"gms": gms}))
    assert rest_settings(loaded(tmp_path, recipe())).server.token == Secret("t")
    gms["auth"] = {"type": "oauth"}
    (tmp_path / ".datahubenv").write_text(yaml.safe_dump({"gms": gms | {"token": None}}))
    assert ".datahubenv: gms.auth: unknown type 'oauth'." in refused(tmp_path, recipe())


@pytest.mark.parametrize("env", sorted(ALL_ENV_TYPES))
def test_every_official_env_is_known(env: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"env": env.lower()})).mapping.env == env


def test_what_the_official_sink_takes_in_any_case_is_taken(tmp_path: Path) -> None:
    assert not rest_settings(loaded(tmp_path, recipe(sink=rest(mode="sync", endpoint="Restli")))).asynchronous
    assert rest_settings(loaded(tmp_path, recipe(sink=rest(mode="Async_Batch")))).asynchronous


def test_what_is_switched_off_is_harmless(tmp_path: Path) -> None:
    off = {"enabled": False, "log_config": None}
    found = loaded(tmp_path, recipe(failure_log=off, recording={"enabled": False, "s3_upload": False}))
    assert found.dead_letters is None


EXAMPLES = {
    "quickstart": """
source:
  type: mlflow
  config:
    # Coordinates
    tracking_uri: "http://127.0.0.1:5000"
sink:
  type: datahub-rest
  config:
    server: "http://localhost:8080"
    token: ${DATAHUB_TOKEN}
""",
    "credentials": """
source:
  type: mlflow
  config:
    tracking_uri: https://mlflow.example.com/
    registry_uri: https://mlflow.example.com
    username: "${MLFLOW_USER:-ann}"
    password: "${MLFLOW_PASSWORD}"
    env: dev
    base_external_url: https://ui.example.com
    stateful_ingestion:
      enabled: false
sink:
  type: file
  config:
    filename: ./out.json
""",
    "lineage": """
pipeline_name: nightly
run_id: mine
source:
  type: "mlflow"
  config:
    tracking_uri: http://mlflow
    model_name_separator: "-"
    materialize_dataset_inputs: true
    source_mapping_to_platform:
      huggingface: custom
      http: s3
""",
    "tuned sink": """
source: {type: mlflow, config: {tracking_uri: http://mlflow, stateful_ingestion: null}}
sink:
  type: datahub-rest
  config:
    server: https://company.acryl.io/gms
    token: "${DATAHUB_TOKEN}"
    mode: ASYNC
    max_threads: 15
    timeout_sec: 30
    retry_max_times: 3
    retry_status_codes:
    disable_ssl_verification: true
    extra_headers: {X-Team: ml}
transformers: []
""",
    "lite": """
source: &source
  type: mlflow
  config: {tracking_uri: http://mlflow}
sink:
  type: datahub-lite
  config:
    type: sqlite
    config:
      file: lite.db
""",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_recipes_of_the_official_connector_run_unchanged(name: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, EXAMPLES[name], {"DATAHUB_TOKEN": "t", "MLFLOW_PASSWORD": "p"})
    match name:
        case "quickstart":
            assert rest_settings(found).server.token == Secret("t")
        case "credentials":
            assert (found.mapping.env, found.mapping.ui_url) == ("DEV", "https://ui.example.com")
            assert (found.mlflow.tracking.username, found.mlflow.tracking.password) == ("ann", Secret("p"))
            assert (found.mlflow.registry, found.sink) == (None, FileSettings(path=Path("out.json")))
        case "lineage":
            assert (found.pipeline_name, found.run_id, found.mapping.model_name_separator) == ("nightly", "mine", "-")
            assert found.mapping.source_mapping_to_platform == {"huggingface": "custom", "http": "s3"}
        case "tuned sink":
            server = rest_settings(found).server
            assert (server.concurrency, server.timeout, server.attempts, server.tls.verify) == (15, 30, 4, False)
        case "lite":
            assert found.sink == LiteSettings(path=Path("lite.db"))
