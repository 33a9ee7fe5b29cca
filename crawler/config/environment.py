"""Environment variables and ~/.datahubenv, with the meaning that MLflow's and DataHub's own tools give them."""

from collections.abc import Mapping
from pathlib import Path

from crawler.config.secrets import require_one, secret_in_file
from crawler.config.sections import MlflowSource, RestSink
from crawler.config.settings import Endpoint, Secret
from crawler.config.strict import section
from crawler.config.unsupported import REFUSED_IN_REST_SINK
from crawler.errors import SettingsError

_TRUE = frozenset({"1", "true", "yes"})
_FROM_ENVIRONMENT = "__from_env__"


def apply_mlflow(source: MlflowSource, environment: Mapping[str, str]) -> None:
    """Puts MLFLOW_… variables over the recipe's options. A user and password come before a token, as in MLflow."""
    source.tracking_uri = environment.get("MLFLOW_TRACKING_URI") or source.tracking_uri
    source.registry_uri = environment.get("MLFLOW_REGISTRY_URI") or source.registry_uri
    username = environment.get("MLFLOW_TRACKING_USERNAME")
    password = _secret(environment, "MLFLOW_TRACKING_PASSWORD")
    token = _secret(environment, "MLFLOW_TRACKING_TOKEN")
    if token and not (username and password):
        source.username = None
        source.take_password(None)
        source.take_token(token)
    else:
        source.username = username or source.username
        if password:
            source.take_password(password)
    if insecure := environment.get("MLFLOW_TRACKING_INSECURE_TLS"):
        source.disable_ssl_verification = insecure.lower() in _TRUE
    if certificate := environment.get("MLFLOW_TRACKING_SERVER_CERT_PATH"):
        source.ca_certificate_path = Path(certificate)
    if certificate := environment.get("MLFLOW_TRACKING_CLIENT_CERT_PATH"):
        source.client_certificate_path = Path(certificate)


def apply_datahub(sink: RestSink, environment: Mapping[str, str]) -> None:
    """Puts what DATAHUB_GMS_… variables say over the recipe's options; the endpoint that they name is a default."""
    if sink.server == _FROM_ENVIRONMENT:
        sink.server = None
    sink.server = datahub_url(environment) or sink.server
    if token := _secret(environment, "DATAHUB_GMS_TOKEN"):
        sink.take_token(token)
    if certificate := environment.get("DATAHUB_CLIENT_CERT_PATH"):
        key = environment.get("DATAHUB_CLIENT_KEY_PATH")
        sink.client_certificate_path, sink.client_key_path = Path(certificate), Path(key) if key else None
    sink.endpoint = sink.endpoint or _endpoint(environment)


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    """What the variable holds, or the file that NAME_FILE names, as containers get their secrets."""
    value, path = environment.get(name), environment.get(f"{name}_FILE")
    require_one({name: value, f"{name}_FILE": path})
    if path:
        return secret_in_file(Path(path), f"{name}_FILE")
    return Secret(value) if value else None


def _endpoint(environment: Mapping[str, str]) -> Endpoint | None:
    name = environment.get("DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT")
    if not name:
        return None
    try:
        return Endpoint(name)
    except ValueError:
        raise SettingsError(
            f"DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT: DataHub has no endpoint {name!r}.", "Set RESTLI or OPENAPI."
        ) from None


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
    from crawler.config.document import read_document  # noqa: PLC0415  only this file and a recipe need YAML

    gms = read_document(path, "file").get("gms")
    if not isinstance(gms, dict):
        raise SettingsError(f"{path} has no mapping gms.", "Write it again with `datahub init`.")
    # Other tools' options stand there too, so what we do not know is left alone; but not another way to sign in.
    concerns = {key: gms[key] for key in gms if key == "auth" or key in RestSink.__struct_fields__}
    stored = section(concerns, f"{path}: gms", RestSink, {"auth": REFUSED_IN_REST_SINK["auth"]})
    same = url is None or (stored.server or "").rstrip("/") == url.rstrip("/")
    return stored if stored.server and same else None
