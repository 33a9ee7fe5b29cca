"""The settings of MLflow and of the mapping, from `source` of a recipe, MLflow's variables and flags."""

from collections.abc import Mapping
from typing import Any

from crawler.config.connection import connection_settings, require_bounds
from crawler.config.environment import with_mlflow_variables
from crawler.config.flags import Flags
from crawler.config.secrets import find_secret, has_secret, require_one_secret
from crawler.config.sections import MlflowSource, Options, StatefulIngestion, Typed, override
from crawler.config.settings import MappingSettings, MlflowSettings, Secret, ServerSettings
from crawler.config.strict import choose, section
from crawler.config.unsupported import STATE_UNSUPPORTED, UNSUPPORTED_IN_SOURCE
from crawler.config.urls import Address, parse_address
from crawler.errors import SettingsError

_ENVS = frozenset(
    "CERT CORP DEV EI NON_PROD PRD PRE PROD QA RVW SANDBOX SBX SIT STG TEST TST UAT".split()  # noqa: SIM905
)
_SERVER_HINT = (
    "Start a server with `mlflow server --backend-store-uri …` and give its URL; for Databricks give "
    "https://WORKSPACE and a token."
)


def source_options(source: Options, environment: Mapping[str, str], flags: Flags) -> MlflowSource:
    """Return the options of the recipe's source; the environment wins over the recipe, flags over both."""
    options = override(
        with_mlflow_variables(_from_recipe(source) if source else MlflowSource(), environment),
        tracking_uri=flags.mlflow_uri,
        page_size=flags.page_size,
        max_threads=flags.mlflow_concurrency,
        patience_sec=flags.patience,
        requests_per_second=flags.mlflow_rps,
    )
    if bool(options.username) != has_secret(options, "password"):
        raise SettingsError(
            "source.config: username and password must be set together.",
            "Give both there, or as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
    return options


def mlflow_settings(source: MlflowSource) -> MlflowSettings:
    """Return the tracking server, and the registry if that is another server."""
    if not source.tracking_uri:
        raise SettingsError(
            "No MLflow server is given.",
            "Use --mlflow-uri, MLFLOW_TRACKING_URI, or tracking_uri under source.config of a recipe.",
        )
    password = find_secret(source, "password", "source.config")
    token = find_secret(source, "token", "source.config")

    def server(text: str, option: str) -> ServerSettings:
        address = parse_address(text, option, _SERVER_HINT)
        return ServerSettings(
            url=address.base_url,
            requests_per_second=source.requests_per_second,
            **_credentials(address, source.username, password, token),
            **connection_settings(source),
        )

    tracking = server(source.tracking_uri, "tracking_uri")
    registry = server(source.registry_uri, "registry_uri") if source.registry_uri else tracking
    return MlflowSettings(
        tracking=tracking,
        registry=None if registry.url == tracking.url else registry,
        page_size=source.page_size,
    )


def mapping_settings(source: MlflowSource, tracking_url: str) -> MappingSettings:
    """Return what is written for the MLflow server at `tracking_url`."""
    return MappingSettings(
        env=source.env.upper(),
        platform_instance=source.platform_instance,
        model_name_separator=source.model_name_separator,
        ui_url=_ui_url(source.base_external_url) if source.base_external_url else tracking_url,
        materialize_dataset_inputs=source.materialize_dataset_inputs,
        source_mapping_to_platform=source.source_mapping_to_platform,
        keep_url_credentials=source.keep_url_credentials,
    )


def _from_recipe(source: Options) -> MlflowSource:
    typed = section(source, "source", Typed, UNSUPPORTED_IN_SOURCE)
    choose(typed.type, {"mlflow": MlflowSource}, "source.type")
    options = section(typed.config, "source.config", MlflowSource)
    require_bounds(options, "source.config")
    require_one_secret(options, "token", "source.config")
    require_one_secret(options, "password", "source.config")
    if section(options.stateful_ingestion, "source.config.stateful_ingestion", StatefulIngestion).enabled:
        raise SettingsError(STATE_UNSUPPORTED)
    if options.env.upper() not in _ENVS:
        raise SettingsError(
            f"source.config.env: DataHub knows no {options.env!r}.", f"Known are: {', '.join(sorted(_ENVS))}."
        )
    return options


def _credentials(
    address: Address, username: str | None, password: Secret | None, token: Secret | None
) -> dict[str, Any]:
    """Return the credentials of a server: the user name of the options, else the one in its URL, else the token."""
    if username:
        return {"username": username, "password": password}
    return address.user_info or {"token": token}


def _ui_url(text: str) -> str:
    """Return the URL as it is written, but without user info: everyone sees the links that begin with it."""
    address = parse_address(text, "base_external_url", "Give the URL of MLflow's pages.")
    return text if address.username is None else address.url
