"""Tokens of acryl-datahub's token providers: OIDC, Azure Entra, a session of `datahub init`, and others."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret, SecretSource, TokenProvider, is_secret_key
from crawler.url_credentials import strip_text

AUTH_TYPE = "DATAHUB_AUTH_TYPE"
OAUTH_SESSION = "oauth_session"
_VARIABLES = {
    "azure_entra": {
        "tenant_id": "DATAHUB_AUTH_AZURE_TENANT_ID",
        "client_id": "DATAHUB_AUTH_AZURE_CLIENT_ID",
        "scope": "DATAHUB_AUTH_AZURE_SCOPE",
        "client_secret": "DATAHUB_AUTH_AZURE_CLIENT_SECRET",
    },
    "oidc_client_credentials": {
        "token_endpoint": "DATAHUB_AUTH_TOKEN_ENDPOINT",
        "client_id": "DATAHUB_AUTH_CLIENT_ID",
        "client_secret": "DATAHUB_AUTH_CLIENT_SECRET",
        "scope": "DATAHUB_AUTH_SCOPE",
        "audience": "DATAHUB_AUTH_AUDIENCE",
    },
}
"""The variables that give the options of providers, as acryl-datahub names them."""


def provider_of_environment(kind: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the provider that DATAHUB_AUTH_TYPE names, as a recipe has it under `auth`."""
    variables = _VARIABLES.get(kind, {})
    return {
        "type": kind,
        "config": {key: environment[name] for key, name in variables.items() if environment.get(name)},
    }


def session_of(path: Path, document: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the provider of a session that `datahub init --oauth` wrote to a file.

    None where there is a token only, or where the session cannot be renewed: the provider writes it beside the file.
    """
    session = document.get("oauth")
    if not isinstance(session, dict) or not (session.get("refresh_token") and session.get("client_id")):
        return None
    if not os.access(path.parent, os.W_OK):
        return None
    return {"type": OAUTH_SESSION, "config": {"config_file": str(path)}}


def provider_source(auth: Mapping[str, Any], option: str) -> SecretSource:
    """Return a provider, given as under `auth`, as something that can be asked again."""
    config = json.dumps(auth.get("config") or {}, default=_revealed)
    return SecretSource(option=option, provider=TokenProvider(type=str(auth.get("type")), config=Secret(config)))


def token_of_provider(provider: TokenProvider, option: str) -> Secret:
    """Return a new token. Raises SettingsError with the option's name, and without any secret."""
    from crawler.acryl import without_telemetry  # noqa: PLC0415  it takes a moment, and few need it

    with without_telemetry():
        from datahub.ingestion.auth.registry import token_provider_registry  # noqa: PLC0415
        from pydantic import ValidationError  # noqa: PLC0415
    config = json.loads(provider.config.reveal())
    try:
        token = token_provider_registry.get(provider.type).create(config).get_token().token
    except ValidationError as error:
        raise SettingsError(f"{option}: {provider.type} {_missing(error.errors(), provider.type, option)}.") from None
    except KeyError:
        known = ", ".join(sorted(token_provider_registry.mapping))
        raise SettingsError(f"{option}: unknown type {provider.type!r}.", f"Known are: {known}.") from None
    except Exception as error:  # noqa: BLE001  whatever a provider, or an import of it, raises
        told = f"{type(error).__name__}: {_without_secrets(str(error), config)}"
        raise SettingsError(f"{option}: {provider.type} gives no token: {told}") from None
    return Secret(token)


def _missing(errors: list[Any], kind: str, option: str) -> str:
    variables = _VARIABLES.get(kind, {}) if option == AUTH_TYPE else {}
    named = (".".join(map(str, each["loc"])) for each in errors)
    told = [f"{variables.get(name, name)}: {each['msg']}" for name, each in zip(named, errors, strict=True)]
    return f"cannot be used: {'; '.join(told)}"


def _without_secrets(text: str, config: Mapping[str, Any]) -> str:
    for key, value in config.items():
        if is_secret_key(key) and isinstance(value, str) and value:
            text = text.replace(value, str(Secret("")))
    return strip_text(text)


def _revealed(value: Any) -> str:
    return value.reveal() if isinstance(value, Secret) else str(value)
