"""Every option that is honoured changes the settings, and the one that it should."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from crawler.config.secret_options import secret_options
from crawler.config.sections.sink import RestSink
from crawler.config.sections.source import MlflowSource
from crawler.secrets.secret import Secret
from crawler.settings.crawl import Settings
from crawler.settings.mapping import OwnerSettings
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Include
from crawler.settings.sinks import Confirm, Endpoint
from tests.config.recipes import datahub, loaded, recipe, rest

MLFLOW: dict[str, tuple[Any, str, Any]] = {
    "tracking_uri": ("https://m/base/", "mlflow.tracking.url", "https://m/base"),
    "registry_uri": ("https://r/", "mlflow.registry.url", "https://r"),
    "model_name_separator": ("-", "mapping.model_name_separator", "-"),
    "base_external_url": ("https://ui/", "mapping.ui_url", "https://ui/"),
    "materialize_dataset_inputs": ("true", "mapping.materialize_dataset_inputs", True),
    "source_mapping_to_platform": ({"A": "b"}, "mapping.source_mapping_to_platform", {"A": "b"}),
    "owner": (
        {"tags": ["owner"], "pattern": "(.+)@", "user_domain": "@example.com", "type": "business_owner"},
        "mapping.owner",
        OwnerSettings(tags=("owner",), pattern="(.+)@", user_domain="example.com", type="BUSINESS_OWNER"),
    ),
    "model_tags": (["alias", "stage", "alias"], "mapping.model_tags", ("stage", "alias")),
    "link_to_mlflow": (True, "mapping.link_to_mlflow", True),
    "keep_url_credentials": (True, "mapping.keep_url_credentials", True),
    "env": ("qa", "mapping.env", "QA"),
    "platform_instance": ("east", "mapping.platform_instance", "east"),
    "workspace": ("team-a", "mlflow.workspace", "team-a"),
    "experiment_pattern": ({"deny": ["tmp"]}, "selection.experiment_pattern.deny", ("tmp",)),
    "registered_model_pattern": ({"allow": ["a", "b"]}, "selection.registered_model_pattern.allow", ("a", "b")),
    "run_name_pattern": ({"ignoreCase": "false"}, "selection.run_name_pattern.ignoreCase", False),
    "run_filter": (" metrics.loss < 1 ", "selection.run_filter", "metrics.loss < 1"),
    "runs_since": (date(2026, 1, 2), "selection.runs_since", "2026-01-02"),
    "max_runs_per_experiment": ("5", "selection.max_runs_per_experiment", 5),
    "lifecycle": ("all", "selection.lifecycle", "all"),
    "metric_history": ("all", "selection.metric_history", "all"),
    "max_metric_points": ("500", "selection.max_metric_points", 500),
    "workspace_pattern": (
        {"allow": ["a"], "deny": ["b"], "ignoreCase": False},
        "selection.workspace_pattern",
        AllowDenyPattern(allow=("a",), deny=("b",), ignoreCase=False),
    ),
    "workspace_identity": ("prefix", "mapping.workspace_identity", "prefix"),
    "page_size": ("77", "mlflow.page_size", 77),
    "min_threads": (3, "mlflow.tracking.min_concurrency", 3),
    "max_threads": (3, "mlflow.tracking.concurrency", 3),
    "requests_per_second": ("2.5", "mlflow.tracking.requests_per_second", 2.5),
    "timeout_sec": (5, "mlflow.tracking.timeout", 5.0),
    "retry_max_times": (0, "mlflow.tracking.attempts", 1),
    "patience_sec": (0, "mlflow.tracking.patience", 0.0),
    "token_command": ("echo t", "mlflow.tracking.token", Secret("t")),
    "token": ("t", "mlflow.tracking.token", Secret("t")),
    "extra_headers": ({"X": "v"}, "mlflow.tracking.headers", {"X": Secret("v")}),
    "ca_certificate_path": ("/ca", "mlflow.tracking.tls.ca_certificate", Path("/ca")),
    "client_certificate_path": ("/c", "mlflow.tracking.tls.client_certificate", Path("/c")),
    "client_key_path": ("~/k", "mlflow.tracking.tls.client_key", Path("~/k").expanduser()),
    "disable_ssl_verification": (True, "mlflow.tracking.tls.verify", False),
}
"""`username` and `password` come together, a file must be there, `stateful_ingestion` and `include` are sections,
and some options need a state; they have tests of their own.
"""
REST: dict[str, tuple[Any, str, Any]] = {
    "server": ("https://g/", "sink.server.url", "https://g"),
    "token": ("t", "sink.server.token", Secret("t")),
    "mode": ("SYNC", "sink.asynchronous", False),
    "endpoint": ("OpenAPI", "sink.endpoint", Endpoint.OPENAPI),
    "min_threads": (2, "sink.server.min_concurrency", 2),
    "max_threads": ("2", "sink.server.concurrency", 2),
    "max_per_batch": (9, "sink.batch_size", 9),
    "timeout_sec": (1.5, "sink.server.timeout", 1.5),
    "retry_max_times": (2, "sink.server.attempts", 3),
    "patience_sec": ("90", "sink.server.patience", 90.0),
    "token_command": ("echo t", "sink.server.token", Secret("t")),
    "confirm": ("stored", "sink.confirm", Confirm.STORED),
    "confirm_wait": ("2m", "sink.confirm_wait", 120.0),
    "max_unconfirmed": ("5MB", "sink.max_unconfirmed", 5_000_000),
    "compression": ("gzip", "sink.gzip", True),
    "max_batch_bytes": (5000, "sink.batch_bytes", 5000),
    "extra_headers": ({"X": "v"}, "sink.server.headers", {"X": Secret("v")}),
    "ca_certificate_path": ("/ca", "sink.server.tls.ca_certificate", Path("/ca")),
    "client_certificate_path": ("/c", "sink.server.tls.client_certificate", Path("/c")),
    "client_key_path": ("/k", "sink.server.tls.client_key", Path("/k")),
    "disable_ssl_verification": ("true", "sink.server.tls.verify", False),
}


def at(found: Settings, path: str) -> Any:
    value: Any = found
    for name in path.split("."):
        value = getattr(value, name, None)
    return value


def test_no_option_is_forgotten_here() -> None:
    of_a_state = {"changed_only", "incremental", "verify_every"}
    alone = {"username", *secret_options("password"), "token_file", "stateful_ingestion", "include", *of_a_state}
    assert set(MLFLOW) | alone == set(MlflowSource.__struct_fields__)
    assert set(REST) | {"token_file", "auth"} == set(RestSink.__struct_fields__)


@pytest.mark.parametrize("option", MLFLOW)
def test_an_option_of_mlflow(option: str, tmp_path: Path) -> None:
    value, path, expected = MLFLOW[option]
    assert at(loaded(tmp_path, recipe()), path) != expected
    assert at(loaded(tmp_path, recipe({option: value})), path) == expected


@pytest.mark.parametrize("option", REST)
def test_an_option_of_datahub(option: str, tmp_path: Path) -> None:
    value, path, expected = REST[option]
    assert at(loaded(tmp_path, recipe(sink=rest())), path) != expected
    assert at(loaded(tmp_path, recipe(sink=rest(**{option: value}))), path) == expected


@pytest.mark.parametrize("registry_uri", ["http://mlflow:5000", "http://mlflow:5000/", "", None])
def test_the_same_registry_is_none(registry_uri: str | None, tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"registry_uri": registry_uri})).mlflow.registry is None


def test_links_lead_to_the_tracking_server_by_default(tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"registry_uri": "http://r"})).mapping.ui_url == "http://mlflow:5000"


U, P, T = ("MLFLOW_TRACKING_USERNAME", "u"), ("MLFLOW_TRACKING_PASSWORD", "p"), ("MLFLOW_TRACKING_TOKEN", "t")
BASIC = {"username": "ann", "password": "pw"}


@pytest.mark.parametrize(
    ("source", "env", "expected"),
    [
        (BASIC, {}, ("ann", "pw", None)),
        (BASIC | {"token": "rt"}, {}, ("ann", "pw", None)),
        ({"token": "rt"}, {}, (None, None, "rt")),
        ({}, dict([U, P, T]), ("u", "p", None)),
        ({}, dict([T]), (None, None, "t")),
        ({}, dict([U, T]), (None, None, "t")),
        ({}, dict([U]), (None, None, None)),
        (BASIC, dict([T]), ("ann", "pw", None)),
        (BASIC, dict([U, P, T]), ("ann", "pw", None)),
        ({"token": "rt"}, dict([U, P]), (None, None, "rt")),
        ({"tracking_uri": "http://a%40b:p%3Aw@m"}, {}, ("a@b", "p:w", None)),
        ({"tracking_uri": "http://a:b@m"} | BASIC, {}, ("a", "b", None)),
        ({"tracking_uri": "http://a@m"}, dict([T]), ("a", "", None)),
    ],
)
def test_which_credentials_mlflow_sees(
    source: dict[str, str], env: dict[str, str], expected: tuple[str | None, str | None, str | None], tmp_path: Path
) -> None:
    server = loaded(tmp_path, recipe(source), env).mlflow.tracking
    found = (server.username, server.password and server.password.reveal(), server.token and server.token.reveal())
    assert found == expected


@pytest.mark.parametrize(
    ("value", "insecure"), [("true", True), ("TRUE", True), ("1", True), ("false", False), ("0", False), ("", False)]
)
def test_insecure_tls_from_the_environment(value: str, insecure: bool, tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_INSECURE_TLS": value}
    assert loaded(tmp_path, recipe(), env).mlflow.tracking.tls.verify is not insecure
    for given in (True, False):
        found = loaded(tmp_path, recipe({"disable_ssl_verification": given}), env)
        assert found.mlflow.tracking.tls.verify is not given
    found = loaded(tmp_path, recipe({"ca_certificate_path": "/ca"}), env)
    assert found.mlflow.tracking.tls.verify, "a recipe that names a CA is not switched off by a variable"


def test_certificates_from_the_environment(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem", "MLFLOW_TRACKING_CLIENT_CERT_PATH": "/me.pem"}
    tls = loaded(tmp_path, recipe(), env).mlflow.tracking.tls
    assert (tls.ca_certificate, tls.client_certificate) == (Path("/ca.pem"), Path("/me.pem"))


def test_user_info_of_datahub(tmp_path: Path) -> None:
    server = datahub(loaded(tmp_path, recipe(sink=rest(server="http://u:p%25w@gms/x/")))).server
    assert (server.url, server.username, server.password) == ("http://gms/x", "u", Secret("p%w"))
    server = datahub(loaded(tmp_path, recipe(sink=rest(server="http://u:pw@gms", token="t")))).server
    assert (server.username, server.password, server.token) == ("u", Secret("pw"), None), "as requests decides"


def test_each_crawl_has_a_run_id_of_its_own(tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe()).run_id != loaded(tmp_path, recipe()).run_id
    found = loaded(tmp_path, recipe(run_id="mine", pipeline_name="nightly"))
    assert (found.run_id, found.pipeline_name) == ("mine", "nightly")


@pytest.mark.parametrize("kind", Include.__struct_fields__)
def test_each_kind_can_be_included_or_left_out(tmp_path: Path, kind: str) -> None:
    default = getattr(loaded(tmp_path, recipe()).selection.include, kind)
    changed = loaded(tmp_path, recipe({"include": {kind: not default}}))
    assert getattr(changed.selection.include, kind) is not default
