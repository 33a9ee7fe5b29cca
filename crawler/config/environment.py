"""Environment variables and ~/.datahubenv, with the meaning that the tools of MLflow and DataHub give them."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from crawler.config.secrets import only_secret, require_one, secret_in_file
from crawler.config.sections import MlflowSource, RestSink, override
from crawler.config.settings import Endpoint, Secret
from crawler.config.strict import section
from crawler.config.unsupported import UNSUPPORTED_IN_REST_SINK
from crawler.errors import SettingsError

_TRUE = frozenset({"1", "true", "yes"})
_FROM_ENVIRONMENT = "__from_env__"


def with_mlflow_variables(source: MlflowSource, environment: Mapping[str, str]) -> MlflowSource:
    """Return the options with MLFLOW_… variables in place of the recipe's values.

    As in MLflow, a token is ignored if both user name and password are set.
    """
    username = environment.get("MLFLOW_TRACKING_USERNAME")
    password = _secret(environment, "MLFLOW_TRACKING_PASSWORD")
    token = _secret(environment, "MLFLOW_TRACKING_TOKEN")
    if token and not (username and password):
        source = structs.replace(source, username=None, **only_secret("password", None), **only_secret("token", token))
        username = None
    elif password:
        source = structs.replace(source, **only_secret("password", password))
    insecure = environment.get("MLFLOW_TRACKING_INSECURE_TLS")
    return override(
        source,
        tracking_uri=environment.get("MLFLOW_TRACKING_URI") or None,
        registry_uri=environment.get("MLFLOW_REGISTRY_URI") or None,
        username=username or None,
        workspace=environment.get("MLFLOW_WORKSPACE") or None,
        disable_ssl_verification=insecure.lower() in _TRUE if insecure else None,
        ca_certificate_path=_path(environment, "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        client_certificate_path=_path(environment, "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    )


def with_datahub_variables(sink: RestSink, environment: Mapping[str, str]) -> RestSink:
    """Return the options with DATAHUB_… variables in place of the recipe's values.

    Only the endpoint that they name is a default.
    """
    if sink.server == _FROM_ENVIRONMENT:
        sink = structs.replace(sink, server=None)
    if token := _secret(environment, "DATAHUB_GMS_TOKEN"):
        sink = structs.replace(sink, **only_secret("token", token))
    if certificate := _path(environment, "DATAHUB_CLIENT_CERT_PATH"):
        key = _path(environment, "DATAHUB_CLIENT_KEY_PATH")
        sink = structs.replace(sink, client_certificate_path=certificate, client_key_path=key)
    return override(sink, server=datahub_url(environment), endpoint=sink.endpoint or _endpoint(environment))


def datahub_url(environment: Mapping[str, str]) -> str | None:
    """Return DATAHUB_GMS_URL, or the URL of DATAHUB_GMS_HOST, _PORT and _PROTOCOL, or None."""
    if url := environment.get("DATAHUB_GMS_URL"):
        return url
    host, port = environment.get("DATAHUB_GMS_HOST"), environment.get("DATAHUB_GMS_PORT")
    if not host:
        return None
    if host.startswith(("http://", "https://")):
        return f"{host}:{port}" if port else host
    return f"{environment.get('DATAHUB_GMS_PROTOCOL', 'http')}://{host}:{port or 8080}"


def datahubenv(environment: Mapping[str, str], home: Path, url: str | None) -> RestSink | None:
    """Return what `datahub init` wrote to ~/.datahubenv; None if DATAHUB_SKIP_CONFIG forbids to read it.

    `url` is the server that a flag names. A stored token must not be sent to another server than its own, so the
    result is None for another `url`, and if the environment names a server.
    """
    path = home / ".datahubenv"
    skipped = environment.get("DATAHUB_SKIP_CONFIG", "").lower() in _TRUE
    if skipped or datahub_url(environment) or not path.is_file():
        return None
    from crawler.config.document import read_document  # noqa: PLC0415  only this file and a recipe need YAML

    gms = read_document(path, "file").get("gms")
    if not isinstance(gms, dict):
        raise SettingsError(f"{path} has no mapping gms.", "Write it again with `datahub init`.")
    # The file has options of other tools too, so unknown ones are ignored; but not another way to sign in.
    known = {key: gms[key] for key in gms if key == "auth" or key in RestSink.__struct_fields__}
    stored = section(known, f"{path}: gms", RestSink, {"auth": UNSUPPORTED_IN_REST_SINK["auth"]})
    same = url is None or (stored.server or "").rstrip("/") == url.rstrip("/")
    return stored if stored.server and same else None


def _secret(environment: Mapping[str, str], name: str) -> Secret | None:
    """Return the variable's value, or the secret in the file that NAME_FILE names, as containers get it."""
    value, path = environment.get(name), environment.get(f"{name}_FILE")
    require_one({name: value, f"{name}_FILE": path})
    if path:
        return secret_in_file(Path(path), f"{name}_FILE")
    return Secret(value) if value else None


def _path(environment: Mapping[str, str], name: str) -> Path | None:
    path = environment.get(name)
    return Path(path) if path else None


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
