"""Environment variables, with the meaning that the clients of MLflow and DataHub give them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.config.layers import Layer, variables_layer
from crawler.config.secret_options import require_one
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.secrets.token_providers import AUTH_TYPE, provider_of_environment
from crawler.settings.sinks import Endpoint

FROM_ENVIRONMENT = "__from_env__"
K8S_TOKEN_FILE = Path("/var/run/secrets/eks.amazonaws.com/serviceaccount/token")
"""Where DataHub's own provider k8s_oidc looks for a token, unless it is told otherwise."""
CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")

_TRUE = frozenset({"1", "true", "yes"})
_Given = dict[str, tuple[str, Any]]


def is_true(environment: Mapping[str, str], name: str) -> bool:
    """True if a variable switches something on."""
    return environment.get(name, "").lower() in _TRUE


def mlflow_variables(environment: Mapping[str, str], stored: Layer) -> Layer:
    """Return what MLFLOW_… variables say of the source.

    As in MLflow's client, what they leave out of user name and password is in `stored`, of ~/.mlflow/credentials, and
    a token counts only where there are not both. Where `stored` has both, they are left to it: it names no server.
    """
    given: _Given = {
        "tracking_uri": ("MLFLOW_TRACKING_URI", environment.get("MLFLOW_TRACKING_URI") or None),
        "registry_uri": ("MLFLOW_REGISTRY_URI", environment.get("MLFLOW_REGISTRY_URI") or None),
        "workspace": ("MLFLOW_WORKSPACE", environment.get("MLFLOW_WORKSPACE") or None),
        "ca_certificate_path": _ca_certificates(environment, "MLFLOW_TRACKING_SERVER_CERT_PATH"),
        "client_certificate_path": _path(environment, "MLFLOW_TRACKING_CLIENT_CERT_PATH"),
    }
    if insecure := environment.get("MLFLOW_TRACKING_INSECURE_TLS"):
        given["disable_ssl_verification"] = "MLFLOW_TRACKING_INSECURE_TLS", insecure.lower() in _TRUE
    return variables_layer(given | _mlflow_sign_in(environment, stored))


def _mlflow_sign_in(environment: Mapping[str, str], stored: Layer) -> _Given:
    username = environment.get("MLFLOW_TRACKING_USERNAME")
    password = _secret(environment, "MLFLOW_TRACKING_PASSWORD", "password")
    of_file = {option: (stored.place, stored[option]) for option in ("username", "password")}
    name = ("MLFLOW_TRACKING_USERNAME", username) if username else of_file["username"]
    secret = password or ({"password": of_file["password"]} if stored["password"] else {})
    if not (name[1] and secret):
        return _secret(environment, "MLFLOW_TRACKING_TOKEN", "token")
    return {"username": name, **secret} if username or password else {}


def datahub_variables(environment: Mapping[str, str]) -> Layer:
    """Return what DATAHUB_… variables say of the sink; DATAHUB_AUTH_TYPE says how to sign in, above a token."""
    given: _Given = {
        "server": datahub_url(environment),
        "endpoint": ("DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT", _endpoint(environment)),
        "ca_certificate_path": _ca_certificates(environment),
        "client_certificate_path": _path(environment, "DATAHUB_CLIENT_CERT_PATH"),
        "client_key_path": _path(environment, "DATAHUB_CLIENT_KEY_PATH"),
    }
    return variables_layer(given | (_datahub_sign_in(environment) or _datahub_token(environment)))


def datahub_url(environment: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the URL of DataHub and the variable that has it.

    As in DataHub's client, DATAHUB_GMS_HOST with DATAHUB_GMS_PORT counts before DATAHUB_GMS_URL. A port that is no
    number is not meant: Kubernetes sets DATAHUB_GMS_PORT for every service called datahub-gms.
    """
    host, port = environment.get("DATAHUB_GMS_HOST"), environment.get("DATAHUB_GMS_PORT", "")
    port = port if port.isdecimal() else ""
    url = environment.get("DATAHUB_GMS_URL")
    if url and not (host and port):
        return "DATAHUB_GMS_URL", url
    if not host:
        return "DATAHUB_GMS_URL", None
    if host.startswith(("http://", "https://")):
        return "DATAHUB_GMS_HOST", f"{host}:{port}" if port else host
    return "DATAHUB_GMS_HOST", f"{environment.get('DATAHUB_GMS_PROTOCOL', 'http')}://{host}:{port or 8080}"


def system_client(environment: Mapping[str, str]) -> Secret | None:
    """Return what DataHub's client puts into the header Authorization for its system's own account."""
    name, secret = environment.get("DATAHUB_SYSTEM_CLIENT_ID"), environment.get("DATAHUB_SYSTEM_CLIENT_SECRET")
    return None if name is None or secret is None else Secret(f"Basic {name}:{secret}")


def _datahub_token(environment: Mapping[str, str]) -> _Given:
    return _secret(environment, "DATAHUB_GMS_TOKEN", "token")


def _datahub_sign_in(environment: Mapping[str, str]) -> _Given:
    """Return the way to sign in that DATAHUB_AUTH_TYPE names; empty if there is none."""
    kind = environment.get(AUTH_TYPE)
    if not kind:
        return {}
    file = environment.get("DATAHUB_AUTH_TOKEN_FILE")
    if file and kind in {"pat", "k8s_oidc"}:
        return {"token_file": ("DATAHUB_AUTH_TOKEN_FILE", Path(file))}
    if kind == "k8s_oidc":
        return {"token_file": (AUTH_TYPE, K8S_TOKEN_FILE)}
    if kind == "pat" and (token := _datahub_token(environment)):
        return token
    return {"auth": (AUTH_TYPE, provider_of_environment(kind, environment))}


def _secret(environment: Mapping[str, str], name: str, option: str) -> _Given:
    """Return the variable's value, or the file that NAME_FILE names, as containers get it; empty if there is none."""
    value, path = environment.get(name), environment.get(f"{name}_FILE")
    require_one({name: value, f"{name}_FILE": path})
    if path:
        return {f"{option}_file": (f"{name}_FILE", Path(path))}
    return {option: (name, Secret(value))} if value else {}


def _ca_certificates(environment: Mapping[str, str], *names: str) -> tuple[str, Path | None]:
    """Return the certificates to trust, by the variables that requests reads; the client's own comes before them."""
    for name in (*names, *CA_VARIABLES):
        if environment.get(name):
            return _path(environment, name)
    return CA_VARIABLES[0], None


def _path(environment: Mapping[str, str], name: str) -> tuple[str, Path | None]:
    path = environment.get(name)
    return name, Path(path) if path else None


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
