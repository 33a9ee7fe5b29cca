"""Recipes of `datahub ingest`: honoured, or refused with a sentence; and what wins over what."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from datahub.configuration.config_loader import EnvResolver
from datahub.emitter.mce_builder import ALL_ENV_TYPES
from datahub.ingestion.run.pipeline_config import PipelineConfig
from datahub.ingestion.sink.datahub_lite import DataHubLiteSinkConfig
from datahub.ingestion.sink.datahub_rest import DatahubRestSinkConfig
from datahub.ingestion.sink.file import FileSinkConfig
from datahub.ingestion.source.state.stale_entity_removal_handler import StatefulStaleMetadataRemovalConfig
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crawler.errors import ExitCode, SettingsError
from crawler.recipe import Flags, load, sections
from crawler.recipe.document import expand
from crawler.settings import FileSettings, LiteSettings, RestSettings, Secret, Settings

CANARY = "c4n4ry-s3cr3t"
MLFLOW_OPTIONS = {
    *("tracking_uri", "registry_uri", "model_name_separator", "base_external_url", "materialize_dataset_inputs"),
    *("source_mapping_to_platform", "username", "password", "env", "stateful_ingestion"),
}
"""`MLflowConfig.model_fields` of acryl-datahub 1.7.0.17; its module cannot be imported without an old MLflow client."""


def recipe(source: dict[str, Any] | None = None, sink: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    config = {"tracking_uri": "http://mlflow:5000", **(source or {})}
    return {"source": {"type": "mlflow", "config": config}, **({"sink": sink} if sink else {}), **more}


def rest(**config: Any) -> dict[str, Any]:
    return {"type": "datahub-rest", "config": {"server": "http://gms:8080", **config}}


def loaded(folder: Path, content: Any, env: dict[str, str] | None = None, **flags: Any) -> Settings:
    path = folder / "recipe.yml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load(path, env or {}, Flags(**flags), home=folder)


def refused(folder: Path, content: Any, env: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        loaded(folder, content, env)
    assert caught.value.exit_code == ExitCode.USAGE
    return str(caught.value)


def names(struct: type) -> set[str]:
    return set(struct.__struct_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("official", "ours", "refusals"),
    [
        (MLFLOW_OPTIONS, sections.MlflowSource, {}),
        (StatefulStaleMetadataRemovalConfig.model_fields, sections.StatefulIngestion, {}),
        (DatahubRestSinkConfig.model_fields, sections.RestSink, sections.REFUSED_IN_REST_SINK),
        (FileSinkConfig.model_fields, sections.FileSink, {}),
        (DataHubLiteSinkConfig.model_fields, sections.LiteSink, sections.REFUSED_IN_LITE_SINK),
        (PipelineConfig.model_fields, sections.Pipeline, sections.REFUSED_IN_PIPELINE),
    ],
    ids=["source", "stateful_ingestion", "datahub-rest", "file", "datahub-lite", "pipeline"],
)
def test_every_official_option_is_honoured_or_refused(official: Any, ours: type, refusals: dict[str, Any]) -> None:
    assert set(official) - names(ours) - set(refusals) == set()
    for refusal in refusals.values():
        assert refusal.why.endswith(".")


def test_official_defaults_written_out_are_accepted(tmp_path: Path) -> None:
    stateful = StatefulStaleMetadataRemovalConfig().model_dump()
    sink = DatahubRestSinkConfig(server="http://gms:8080").model_dump(mode="json", exclude_none=True)
    source = {"env": "PROD", "model_name_separator": "_", "stateful_ingestion": stateful, "registry_uri": None}
    document = recipe(source, {"type": "datahub-rest", "config": sink}, pipeline_name="p", run_id="__DEFAULT_RUN_ID")
    assert isinstance(loaded(tmp_path, {**document, "reporting": [], "transformers": None}).sink, RestSettings)


@pytest.mark.parametrize("env", sorted(ALL_ENV_TYPES))
def test_every_official_env_is_known(env: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"env": env.lower()})).mapping.env == env


def test_what_the_official_sink_takes_in_any_case_is_taken(tmp_path: Path) -> None:
    sink = loaded(tmp_path, recipe(sink=rest(mode="sync", endpoint="Restli"))).sink
    assert isinstance(sink, RestSettings)
    assert not sink.asynchronous


def test_what_is_switched_off_is_harmless(tmp_path: Path) -> None:
    off = {"enabled": False, "log_config": None}
    assert loaded(tmp_path, recipe(failure_log=off, recording={"enabled": False, "s3_upload": False})).notes
    assert "failure_log" in refused(tmp_path, recipe(failure_log={"enabled": True}))


EXAMPLES = [
    """
source:
  type: mlflow
  config:
    tracking_uri: 'http://localhost:5000'
sink:
  type: datahub-rest
  config:
    server: http://localhost:8080
    token: ${DATAHUB_TOKEN}
""",
    """
source:
  type: mlflow
  config:
    tracking_uri: http://m/
    username: ${USER_NAME:-ann}
    password: pw
    env: dev
    stateful_ingestion:
      enabled: false
sink:
  type: file
  config:
    filename: ./out.json
""",
    """
pipeline_name: nightly
run_id: mine
source:
  type: mlflow
  config:
    tracking_uri: https://m
    materialize_dataset_inputs: 'true'
    source_mapping_to_platform:
      huggingface: custom
sink:
  type: datahub-lite
  config:
    type: sqlite
    config:
      file: lite.db
""",
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_recipes_of_the_official_connector_run_unchanged(example: str, tmp_path: Path) -> None:
    assert loaded(tmp_path, example, {"DATAHUB_TOKEN": "t"}).mapping.env in ("PROD", "DEV")


KEYS = [
    *((key, ("source", "config", key)) for key in names(sections.MlflowSource)),
    *((key, ("sink", "config", key)) for key in names(sections.RestSink)),
    *((key, (key,)) for key in names(sections.Pipeline)),
]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([each for each in KEYS if len(each[0]) >= 4]), st.data())
def test_a_misspelt_key_names_the_right_one(tmp_path: Path, case: tuple[str, tuple[str, ...]], data: Any) -> None:
    key, path = case
    position = data.draw(st.integers(0, len(key) - 1))
    wrong = data.draw(st.sampled_from([key[:position] + key[position + 1 :], key[:position] + "q" + key[position:]]))
    known = {each for each, other in KEYS if other[:-1] == path[:-1]}
    if wrong in known:
        return
    document = recipe(sink=rest())
    section = document
    for step in path[:-1]:
        section = section[step]
    section[wrong] = "x"
    message = refused(tmp_path, document)
    assert repr(wrong) in message
    assert ".".join(path[:-1]) in message
    assert f"Did you mean {key!r}?" in message


WRONG: list[tuple[dict[str, Any], str]] = [
    (recipe({"page_size": "many"}), "source.config.page_size: expected int, got str"),
    (recipe({"page_size": 0}), "source.config.page_size: expected int >= 1"),
    (recipe({"page_size": 50_001}), "source.config.page_size: expected int <= 50000"),
    (recipe({"env": "NOWHERE"}), "source.config.env"),
    (recipe({"username": "ann"}), "username and password must be set together"),
    (recipe({"password": CANARY}), "username and password must be set together"),
    (recipe({"stateful_ingestion": {"enabled": True}}), "source.config.stateful_ingestion.enabled"),
    (recipe({"tracking_uri": "databricks"}), "for Databricks give https://WORKSPACE"),
    (recipe({"tracking_uri": "sqlite:///x.db"}), "mlflow server --backend-store-uri"),
    (recipe({"source_mapping_to_platform": {"a": [CANARY]}}), "source.config.source_mapping_to_platform"),
    (recipe(sink=rest(token=[CANARY])), "sink.config.token"),
    (recipe(sink=rest(max_per_batch=201)), "sink.config.max_per_batch: expected int <= 200"),
    (recipe(sink=rest(endpoint="OPENAPI")), "sink.config.endpoint: only the Rest.li endpoint"),
    (recipe(sink=rest(mode="FAST")), "sink.config.mode"),
    (recipe(sink={"type": "kafka"}), "sink.type: unknown type 'kafka'"),
    (recipe(sink={"type": "datahub_rest", "config": {}}), "Did you mean 'datahub-rest'?"),
    (recipe(sink={"type": "file", "config": {}, "conf": 1}), "sink: unknown key 'conf'"),
    (recipe(transformers=[{"type": "x"}]), "transformers: transformers are not run"),
    ({"source": {"type": "postgres", "config": {}}}, "source.type: unknown type 'postgres'"),
    ({"source": "mlflow"}, "source"),
]


@pytest.mark.parametrize(("document", "message"), WRONG, ids=[case[1][:40] for case in WRONG])
def test_what_cannot_be_used_is_said_with_its_path(document: dict[str, Any], message: str, tmp_path: Path) -> None:
    told = refused(tmp_path, document)
    assert message in told
    assert CANARY not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("source: [", "line 1"),
        ("source: {type: mlflow}\nsource: {}\n", "the key source is given twice (line 2"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("- 1", "is no mapping"),
        ("", "is no mapping"),
        ("a: \x00", "is not YAML"),
    ],
)
def test_what_is_no_recipe(content: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, content)


def test_a_recipe_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Is a directory"):
        load(tmp_path, {}, Flags())
    binary = tmp_path / "binary.yml"
    binary.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(SettingsError, match="is not YAML"):
        load(binary, {}, Flags())


def test_later_settings_win(tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text("gms: {server: 'http://env-file:1', token: file-token}")
    plain = recipe()
    assert _server(loaded(tmp_path, plain)) == "http://env-file:1"
    assert _server(loaded(tmp_path, recipe(sink=rest()))) == "http://gms:8080"
    assert _server(loaded(tmp_path, recipe(sink=rest()), {"DATAHUB_GMS_URL": "http://env:2"})) == "http://env:2"
    env = {"DATAHUB_GMS_URL": "http://env:2", "MLFLOW_TRACKING_URI": "http://env-mlflow"}
    found = loaded(tmp_path, plain, env, datahub_url="http://flag:3", mlflow_uri="http://flag-mlflow")
    assert (_server(found), found.mlflow.tracking.url) == ("http://flag:3", "http://flag-mlflow")
    assert loaded(tmp_path, plain, env).mlflow.tracking.url == "http://env-mlflow"
    assert _server(loaded(tmp_path, plain, {"DATAHUB_GMS_HOST": "h", "DATAHUB_GMS_PORT": "9"})) == "http://h:9"


def _server(found: Settings) -> str:
    assert isinstance(found.sink, RestSettings)
    return found.sink.server.url


def test_which_sink(tmp_path: Path) -> None:
    file = recipe(sink={"type": "file", "config": {"filename": "a.json"}})
    env = {"DATAHUB_GMS_URL": "http://gms"}
    assert loaded(tmp_path, file, env).sink == FileSettings(path=Path("a.json"))
    assert loaded(tmp_path, file, env, output=Path("b.json")).sink == FileSettings(path=Path("b.json"))
    assert loaded(tmp_path, recipe(sink=rest()), output=Path("b.json")).sink == FileSettings(path=Path("b.json"))
    assert isinstance(loaded(tmp_path, file, env, sink="rest").sink, RestSettings)
    lite = loaded(tmp_path, recipe(), sink="lite").sink
    assert lite == LiteSettings(path=tmp_path / ".datahub/lite/datahub.db")
    nothing = loaded(tmp_path, recipe())
    assert nothing.sink == FileSettings(path=Path("mlflow-datahub.json"))
    assert "No DataHub is configured" in nothing.notes[0]
    assert loaded(tmp_path, recipe(), {**env, "DATAHUB_SKIP_CONFIG": "true"}).notes == ()


def test_credentials_as_mlflow_takes_them(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_USERNAME": "u", "MLFLOW_TRACKING_PASSWORD": "p", "MLFLOW_TRACKING_TOKEN": "t"}
    server = loaded(tmp_path, recipe(), env).mlflow.tracking
    assert (server.username, server.password, server.token) == ("u", Secret("p"), None)
    server = loaded(tmp_path, recipe(), {"MLFLOW_TRACKING_TOKEN": "t"}).mlflow.tracking
    assert (server.username, server.token) == (None, Secret("t"))
    env = {"MLFLOW_TRACKING_INSECURE_TLS": "true", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}
    tls = loaded(tmp_path, recipe(), env).mlflow.tracking.tls
    assert (tls.verify, tls.ca_certificate) == (False, Path("/ca.pem"))


def test_secrets_are_never_shown(tmp_path: Path) -> None:
    source = {"tracking_uri": f"https://user:{CANARY}@mlflow/base/", "extra_headers": {"X-Key": CANARY}}
    found = loaded(tmp_path, recipe(source, rest(token=CANARY, server=f"http://u:{CANARY}@gms")))
    assert CANARY not in repr(found) + str(found)
    server = found.mlflow.tracking
    assert (server.url, server.username, server.password) == ("https://mlflow/base", "user", Secret(CANARY))
    assert found.mapping.ui_url == "https://mlflow/base"


def test_urls(tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"registry_uri": "http://mlflow:5000/"})).mlflow.registry is None
    other = loaded(tmp_path, recipe({"registry_uri": "http://other"})).mlflow.registry
    assert other is not None
    assert other.url == "http://other"
    assert loaded(tmp_path, recipe({"base_external_url": "https://ui/"})).mapping.ui_url == "https://ui/"


def test_numbers_may_come_from_variables(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe({"page_size": "${PAGE}", "max_threads": "${THREADS:-3}"}), {"PAGE": "77"})
    assert (found.mlflow.page_size, found.mlflow.tracking.concurrency) == (77, 3)


def test_an_unset_variable_is_named(tmp_path: Path) -> None:
    message = refused(tmp_path, recipe({"username": "u", "password": "${NOT_THERE}"}))
    assert "source.config.password" in message
    assert "NOT_THERE" in message


texts = st.text(st.sampled_from("$${}}AB:-=?+\\ x_'\"`()") | st.characters(exclude_categories=["Cs"]), max_size=16)


@settings(max_examples=400, deadline=None)
@given(texts, st.dictionaries(st.sampled_from("AB"), texts.filter(lambda text: "\0" not in text)))
def test_expansion_is_the_official_one_and_fails_only_with_a_sentence(text: str, env: dict[str, str]) -> None:
    try:
        expanded = expand({"key": text}, env)["key"]
    except SettingsError:
        return
    assert expanded == EnvResolver(env).resolve({"key": text})["key"]


def test_expansion_cannot_change_the_structure(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe({"model_name_separator": "${X}"}), {"X": "a: {b: [c"})
    assert found.mapping.model_name_separator == "a: {b: [c"
