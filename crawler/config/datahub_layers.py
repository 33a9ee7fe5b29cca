"""What each place says about DataHub, and to which server its credentials may go: as in DataHub's own sink."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import structs

from crawler.config.environment import FROM_ENVIRONMENT, K8S_TOKEN_FILE, datahub_variables, system_client
from crawler.config.home_files import datahubenv
from crawler.config.layers import Layer
from crawler.config.sign_in import CREDENTIALS, has_credentials
from crawler.secrets.secret import Secret
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.urls import same_server


def datahub_layers(
    flags: Layer, recipe: Layer, environment: Mapping[str, str], home: Path | None, diagnostics: Diagnostics
) -> list[Layer]:
    """Return flags, recipe, environment, ~/.datahubenv and DataHub's system client, the most important one first."""
    from_environment = recipe["server"] == FROM_ENVIRONMENT
    recipe = _with_token(recipe.without({"server"}) if from_environment else recipe)
    variables = Layer(place="environment")
    with diagnostics:
        variables = datahub_variables(environment)
    stored = Layer(place="~/.datahubenv")
    if not (from_environment or recipe["server"] or variables["server"]):
        stored = _stored(flags, environment, home)
    if not flags["server"] and (recipe["server"] or not variables["server"]):
        variables = _for_another_server(variables, recipe, environment, diagnostics)
    system = Layer(
        place="environment",
        options={"server": variables["server"], "authorization": system_client(environment)},
        names={"server": variables.origin("server"), "authorization": "DATAHUB_SYSTEM_CLIENT_ID"},
    )
    return [flags, recipe, variables, stored, system]


def _stored(flags: Layer, environment: Mapping[str, str], home: Path | None) -> Layer:
    """Return ~/.datahubenv if it names a server, and none other than the flags: it is all about that server."""
    stored = datahubenv(environment, home)
    same = flags["server"] is None or same_server(stored["server"] or "", flags["server"])
    return _with_token(stored) if stored["server"] and same else Layer(place=stored.place)


def _for_another_server(
    variables: Layer, recipe: Layer, environment: Mapping[str, str], diagnostics: Diagnostics
) -> Layer:
    """Return the variables without the credentials that DataHub's clients do not send to a server named elsewhere.

    DATAHUB_GMS_TOKEN is for the server of the environment only. DATAHUB_AUTH_TYPE is also for that of ~/.datahubenv,
    and for the recipe's if that is the environment's too.
    """
    server = recipe["server"]
    if environment.get("DATAHUB_AUTH_TYPE") and (server is None or same_server(variables["server"] or "", server)):
        return variables
    option = next((each for each in ("token", "token_file") if variables[each] is not None), None)
    if option is not None and server is not None and not has_credentials(recipe):
        name = variables.name_of(option)
        diagnostics.note(
            f"{name} is not sent to the recipe's DataHub, as in `datahub ingest`: it is for the server in "
            f"DATAHUB_GMS_URL. To send it, write {option}: ${{{name}}} under sink.config."
        )
    return variables.without(CREDENTIALS)


def _with_token(layer: Layer) -> Layer:
    """Return the layer with a token in place of `auth`, if that is a way to sign in that is known."""
    auth = layer["auth"]
    if not isinstance(auth, dict):
        return layer
    config = auth.get("config") or {}
    token, file = config.get("token"), config.get("token_file")
    if auth.get("type") == "k8s_oidc":
        token, file = None, file or K8S_TOKEN_FILE
    options: dict[str, Any] = {}
    if auth.get("type") in {"static", "pat"} and token:
        options = {"token": token if isinstance(token, Secret) else Secret(str(token))}
    elif auth.get("type") in {"pat", "k8s_oidc"} and file:
        options = {"token_file": Path(file)}
    if not options or has_credentials(layer.without({"auth"})):
        return layer
    return structs.replace(layer, options={**layer.without({"auth"}).options, **options})
