"""Environment variables and ~/.datahubenv, with the meaning that MLflow's and DataHub's own tools give them."""

from collections.abc import Mapping
from pathlib import Path

from crawler.errors import SettingsError
from crawler.recipe.document import read_document
from crawler.recipe.sections import MlflowSource, RestSink
from crawler.recipe.strict import section
from crawler.settings import Secret

_TRUE = frozenset({"1", "true", "yes"})
_FROM_ENVIRONMENT = "__from_env__"
_CLIENT_OPTIONS = frozenset(
    {
        *("server", "token", "timeout_sec", "retry_max_times", "extra_headers"),
        *("ca_certificate_path", "client_certificate_path", "client_key_path", "disable_ssl_verification"),
    }
)
"""What `gms` of ~/.datahubenv says about the connection; `datahub init` writes more there, and all of it as null."""


def apply_mlflow(source: MlflowSource, environment: Mapping[str, str]) -> None:
    """Puts MLFLOW_… variables over the recipe's options. A user and password come before a token, as in MLflow."""
    source.tracking_uri = environment.get("MLFLOW_TRACKING_URI") or source.tracking_uri
    source.registry_uri = environment.get("MLFLOW_REGISTRY_URI") or source.registry_uri
    username = environment.get("MLFLOW_TRACKING_USERNAME")
    password = environment.get("MLFLOW_TRACKING_PASSWORD")
    if username and password:
        source.username, source.password = username, Secret(password)
    elif token := environment.get("MLFLOW_TRACKING_TOKEN"):
        source.username, source.password, source.token = None, None, Secret(token)
    if environment.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in _TRUE:
        source.disable_ssl_verification = True
    if certificate := environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        source.ca_certificate_path = Path(certificate)
    if certificate := environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        source.client_certificate_path = Path(certificate)


def apply_datahub(sink: RestSink, environment: Mapping[str, str]) -> None:
    """Puts what DATAHUB_GMS_… variables say over the recipe's options."""
    if sink.server == _FROM_ENVIRONMENT:
        sink.server = None
    sink.server = datahub_url(environment) or sink.server
    if token := environment.get("DATAHUB_GMS_TOKEN"):
        sink.token = Secret(token)
    if certificate := environment.get("DATAHUB_CLIENT_CERT_PATH"):
        key = environment.get("DATAHUB_CLIENT_KEY_PATH")
        sink.client_certificate_path, sink.client_key_path = Path(certificate), Path(key) if key else None


def datahub_url(environment: Mapping[str, str]) -> str | None:
    """DATAHUB_GMS_URL, or what HOST, PORT and PROTOCOL make together."""
    if url := environment.get("DATAHUB_GMS_URL"):
        return url
    host, port = environment.get("DATAHUB_GMS_HOST"), environment.get("DATAHUB_GMS_PORT")
    if not host:
        return None
    if host.startswith(("http://", "https://")):
        return f"{host}:{port}" if port else host
    return f"{environment.get('DATAHUB_GMS_PROTOCOL', 'http')}://{host}:{port or 8080}"


def datahubenv(environment: Mapping[str, str], home: Path, url: str | None) -> RestSink | None:
    """What `datahub init` wrote to ~/.datahubenv, unless DATAHUB_SKIP_CONFIG forbids to look.

    `url` is the server that the environment or a flag names: a token stored for another one must not go there.
    """
    path = home / ".datahubenv"
    skipped = environment.get("DATAHUB_SKIP_CONFIG", "").lower() in _TRUE
    if skipped or datahub_url(environment) or not path.is_file():
        return None
    gms = read_document(path, "file").get("gms")
    if not isinstance(gms, dict):
        raise SettingsError(f"{path} has no mapping gms.", "Write it again with `datahub init`.")
    known = section({key: gms[key] for key in gms if key in _CLIENT_OPTIONS}, str(path), RestSink)
    same = url is None or (known.server or "").rstrip("/") == url.rstrip("/")
    return known if known.server and same else None
