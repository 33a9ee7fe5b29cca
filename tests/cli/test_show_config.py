"""`crawl --show-config`: where each setting is from, nothing secret, and no crawl."""

from pathlib import Path

import pytest
import yaml

from crawler.cli.main import main
from crawler.config.sections.sink import RestSink
from crawler.config.sections.source import MlflowSource
from tests.config.recipes import CANARY, recipe, rest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(
    folder: Path, capsys: pytest.CaptureFixture[str], document: object = None, *flags: str
) -> dict[str, tuple[str, str]]:
    """Value and origin of each setting."""
    if document is not None:
        (folder / "recipe.yml").write_text(yaml.safe_dump(document))
        flags = ("-c", "recipe.yml", *flags)
    assert main(["crawl", "--show-config", *flags]) == 0
    out, err = capsys.readouterr()
    assert CANARY not in out + err
    cells = [[cell.strip() for cell in line.split("  ") if cell] for line in out.splitlines()]
    return {path: (value, origin) for path, value, origin in ([cell for cell in row if cell] for row in cells)}


def test_each_setting_is_there_with_its_origin(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", CANARY)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/ca.pem")
    monkeypatch.setenv("HTTPS_PROXY", f"http://u:{CANARY}@proxy:3128")
    source = {"tracking_uri": "https://mlflow/ml", "max_threads": 3, "extra_headers": {"X": CANARY}}
    sink = rest(server=f"http://ann:{CANARY}@gms:8080", auth={"type": "pat", "config": {"x": CANARY}})
    found = shown(home, capsys, recipe(source, sink, pipeline_name="p"), "--page-size", "9", "--max-duration", "1m")
    expected = {
        "sink.type": ("datahub-rest", "recipe"),
        "pipeline_name": ("p", "recipe"),
        "source.config.tracking_uri": ("https://mlflow/ml", "recipe"),
        "source.config.registry_uri": ("http://registry", "MLFLOW_REGISTRY_URI"),
        "source.config.token": ("***", "MLFLOW_TRACKING_TOKEN"),
        "source.config.max_threads": ("3", "recipe"),
        "source.config.extra_headers": ("X: ***", "recipe"),
        "source.config.page_size": ("9", "--page-size"),
        "source.config.ca_certificate_path": ("/ca.pem", "REQUESTS_CA_BUNDLE"),
        "source.config.env": ("PROD", "default"),
        "credentials of MLflow": ("a token", "MLFLOW_TRACKING_TOKEN"),
        "proxy of MLflow": ("http://proxy:3128", "HTTPS_PROXY"),
        "sink.config.server": ("http://gms:8080", "recipe"),
        "credentials of DataHub": ("the user info of its URL", "recipe"),
        "proxy of DataHub": ("-", "default"),
        "--max-duration": ("60", "flag"),
        "--grace": ("25", "default"),
    }
    assert {path: found[path] for path in expected} == expected
    assert {f"source.config.{name}" for name in MlflowSource.__struct_fields__} <= set(found)
    assert {f"sink.config.{name}" for name in RestSink.__struct_fields__} <= set(found)


def test_what_stands_beside_source_and_sink(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    transformers = [
        {"type": "simple_add_dataset_tags", "config": {"tag_urns": [CANARY]}},
        {"type": "my.Own", "config": {"token": CANARY}},
    ]
    sink = rest(server="http://gms")
    found = shown(home, capsys, recipe(None, sink, transformers=transformers, pipeline_name="p"))
    assert found["transformers"] == ("simple_add_dataset_tags, my.Own", "recipe")
    assert found["datahub_api.server"] == ("http://gms", "sink.config.server")
    assert found["Ingestion page"] == ("shown", "default")
    reporting = [{"type": "datahub"}, {"type": "file", "config": {"filename": "report.json"}}]
    api = {"server": f"http://ann:{CANARY}@other"}
    more = recipe(None, sink, transformers=transformers, datahub_api=api, reporting=reporting)
    found = shown(home, capsys, more)
    assert found["datahub_api.server"] == ("http://other", "recipe")
    assert found["Ingestion page"] == ("shown", "recipe")
    assert found["reporting file"] == ("report.json", "recipe")
    found = shown(home, capsys, recipe(None, sink, pipeline_name="p"), "--no-default-report")
    assert found["Ingestion page"] == ("not shown", "default")
    assert found["transformers"] == ("-", "default")


def test_every_place_is_named(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".datahubenv").write_text(f"gms: {{server: 'http://stored', token: {CANARY}, timeout_sec: 9}}")
    (home / ".netrc").write_text(f"machine mlflow login ann password {CANARY}")
    (home / ".netrc").chmod(0o600)
    found = shown(home, capsys, None, "--mlflow-uri", "http://mlflow")
    assert found["source.config.tracking_uri"] == ("http://mlflow", "--mlflow-uri")
    assert found["credentials of MLflow"] == ("user name 'ann'", "~/.netrc")
    assert found["sink.config.server"] == ("http://stored", "~/.datahubenv")
    assert found["sink.config.timeout_sec"] == ("9", "~/.datahubenv")
    assert found["credentials of DataHub"] == ("a token", "~/.datahubenv")
    monkeypatch.setenv("DATAHUB_GMS_HOST", "gms")
    monkeypatch.setenv("DATAHUB_SYSTEM_CLIENT_ID", "system")
    monkeypatch.setenv("DATAHUB_SYSTEM_CLIENT_SECRET", CANARY)
    found = shown(home, capsys, None, "--mlflow-uri", "http://mlflow")
    assert found["sink.config.server"] == ("http://gms:8080", "DATAHUB_GMS_HOST")
    assert found["credentials of DataHub"][1] == "DATAHUB_SYSTEM_CLIENT_ID"


@pytest.mark.parametrize(
    ("flags", "type_", "origin"),
    [
        ((), "file", "default"),
        (("-o", "x.json"), "file", "--output"),
        (("--sink", "lite"), "datahub-lite", "--sink"),
        (("--datahub-url", "http://gms"), "datahub-rest", "--datahub-url"),
    ],
)
def test_the_sink_and_who_chose_it(
    flags: tuple[str, ...], type_: str, origin: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shown(home, capsys, None, "--mlflow-uri", "http://mlflow", *flags)["sink.type"] == (type_, origin)


def test_a_command_that_gives_a_secret_is_not_shown_whole(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(home, capsys, recipe({"token_command": f"echo {CANARY}"}))
    assert found["source.config.token_command"] == ("echo …", "recipe")


def test_what_is_wrong_is_said_instead(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "recipe.yml").write_text(yaml.safe_dump(recipe({"page_size": 0, "max_thread": 1}, rest(token=3))))
    assert main(["crawl", "--show-config", "-c", "recipe.yml"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("mlflow-datahub-crawler: error: 3 settings are wrong:\n- source.config: unknown key")
    assert "\n- source.config.page_size: expected int >= 1.\n- sink.config.token: expected a text in quotes" in told


def test_how_less_than_everything_is_read(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = recipe({"incremental": {"full_every": "1d"}, "changed_only": False}, rest())
    found = shown(home, capsys, document, "--incremental", "--changed-only", "--verify-every", "2h")
    assert found["source.config.incremental"] == ("full_every: 1d, enabled: true", "--incremental")
    assert found["source.config.changed_only"] == ("true", "--changed-only")
    assert found["source.config.verify_every"] == ("7200", "--verify-every")
    assert shown(home, capsys, document)["source.config.incremental"] == ("full_every: 1d", "recipe")


@pytest.mark.parametrize(
    "option", ["workspace_pattern", "experiment_pattern", "registered_model_pattern", "run_name_pattern"]
)
def test_what_chooses_is_shown(option: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    choice: dict[str, object] = {option: {"deny": ["tmp"]}, "owner": {"tags": ["owner"]}, "include": {"runs": False}}
    found = shown(home, capsys, recipe(choice))
    assert found[f"source.config.{option}"] == ("deny: ['tmp']", "recipe")
    assert found["source.config.owner"] == ("tags: ['owner']", "recipe")
    assert found["source.config.include"] == ("runs: false", "recipe")
