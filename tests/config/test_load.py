"""Loading settings from Python: a path or a mapping, and the process's own environment where none is given."""

import doctest
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

import crawler.config.load
from crawler.config.flags import Flags
from crawler.config.load import load, load_delivery
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Endpoint, FileSettings
from tests.config.recipes import datahub, recipe, rest

NAMES = ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "DATAHUB_GMS_URL", "DATAHUB_GMS_HOST", "DATAHUB_GMS_TOKEN")


@pytest.fixture(autouse=True)
def no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def without_run_id(settings: Settings) -> dict[str, object]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__ if name != "run_id"}


def test_a_mapping_a_text_and_a_path_mean_the_same(tmp_path: Path) -> None:
    document = recipe({"page_size": 7}, rest(token="t"))
    path = tmp_path / "recipe.yml"
    path.write_text(yaml.safe_dump(document))
    found = load(document)
    assert datahub(found).server.token == Secret("t")
    for other in (path, str(path), MappingProxyType(document)):
        assert without_run_id(load(other)) == without_run_id(found)
    assert document == recipe({"page_size": 7}, rest(token="t"))


def test_the_environment_is_the_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://env")
    monkeypatch.setenv("DATAHUB_GMS_URL", "http://gms")
    monkeypatch.setenv("INSTANCE", "east")
    found = load(recipe({"platform_instance": "${INSTANCE}"}))
    assert (found.mlflow.tracking.url, found.mapping.platform_instance) == ("http://mlflow:5000", "east")
    assert datahub(found).server.url == "http://gms"
    assert load().mlflow.tracking.url == "http://env"
    assert load_delivery().sink == found.sink
    with pytest.raises(SettingsError, match="No MLflow server is given"):
        load(environment={})


def test_flags_are_none_by_default() -> None:
    assert load(recipe()).dry_run is False
    assert load(recipe(), flags=Flags(dry_run=True)).dry_run is True


def test_values_may_be_what_settings_hold() -> None:
    found = load(recipe({"token": Secret("t"), "ca_certificate_path": Path("ca")}, rest(endpoint=Endpoint.OPENAPI)))
    assert (found.mlflow.tracking.token, found.mlflow.tracking.tls.ca_certificate) == (Secret("t"), Path("ca"))
    assert datahub(found).endpoint is Endpoint.OPENAPI
    sink = {"type": "file", "config": {"filename": Path("out.json")}}
    assert load(recipe(sink=sink)).sink == FileSettings(path=Path("out.json"))


def test_its_example_runs() -> None:
    assert doctest.testmod(crawler.config.load).failed == 0
