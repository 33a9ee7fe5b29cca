"""Where MLflow is read and how its entities are named: `source` of a recipe, its variables and flags."""

from collections.abc import Mapping

from crawler.config.environment import apply_mlflow
from crawler.config.flags import Flags
from crawler.config.sections import MlflowSource, Options, StatefulIngestion, Typed
from crawler.config.settings import MappingSettings, MlflowSettings, ServerSettings
from crawler.config.strict import choose, section
from crawler.config.unsupported import REFUSED_IN_SOURCE, STATE_WANTED
from crawler.config.urls import address
from crawler.errors import SettingsError

_ENVS = frozenset(
    "CERT CORP DEV EI NON_PROD PRD PRE PROD QA RVW SANDBOX SBX SIT STG TEST TST UAT".split()  # noqa: SIM905
)
_SERVER_HINT = (
    "Start a server with `mlflow server --backend-store-uri …` and give its URL; for Databricks give "
    "https://WORKSPACE and a token."
)


def source_options(source: Options, environment: Mapping[str, str], flags: Flags) -> MlflowSource:
    """The options of the recipe's source, with what the environment and then the flags say over them."""
    options = _from_recipe(source) if source else MlflowSource()
    apply_mlflow(options, environment)
    options.tracking_uri = flags.mlflow_uri or options.tracking_uri
    options.page_size = flags.page_size or options.page_size
    options.max_threads = flags.mlflow_concurrency or options.max_threads
    options.patience_sec = options.patience_sec if flags.patience is None else flags.patience
    options.requests_per_second = flags.mlflow_rps or options.requests_per_second
    if bool(options.username) != options.has_password():
        raise SettingsError(
            "source.config: username and password must be set together.",
            "Give both there, or as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
        )
    return options


def mlflow_settings(source: MlflowSource) -> MlflowSettings:
    """The tracking server, and the registry where that is another one."""
    if not source.tracking_uri:
        raise SettingsError(
            "No MLflow server is given.",
            "Use --mlflow-uri, MLFLOW_TRACKING_URI, or tracking_uri under source.config of a recipe.",
        )
    source.take_password(source.find_password("source.config"))
    source.take_token(source.find_token("source.config"))
    tracking = _server(source, source.tracking_uri, "tracking_uri")
    registry = _server(source, source.registry_uri, "registry_uri") if source.registry_uri else tracking
    return MlflowSettings(
        tracking=tracking,
        registry=None if registry.url == tracking.url else registry,
        page_size=source.page_size,
    )


def mapping_settings(source: MlflowSource, tracking_url: str) -> MappingSettings:
    """What is written for the server whose bare address is `tracking_url`."""
    return MappingSettings(
        env=source.env.upper(),
        platform_instance=source.platform_instance,
        model_name_separator=source.model_name_separator,
        ui_url=_ui_url(source.base_external_url) if source.base_external_url else tracking_url,
        materialize_dataset_inputs=source.materialize_dataset_inputs,
        source_mapping_to_platform=source.source_mapping_to_platform,
    )


def _from_recipe(source: Options) -> MlflowSource:
    typed = section(source, "source", Typed, REFUSED_IN_SOURCE)
    choose(typed.type, {"mlflow": MlflowSource}, "source.type")
    options = section(typed.config, "source.config", MlflowSource)
    options.require_bounds("source.config")
    options.require_one_token("source.config")
    options.require_one_password("source.config")
    if section(options.stateful_ingestion, "source.config.stateful_ingestion", StatefulIngestion).enabled:
        raise SettingsError(STATE_WANTED)
    if options.env.upper() not in _ENVS:
        raise SettingsError(
            f"source.config.env: DataHub knows no {options.env!r}.", f"Known are: {', '.join(sorted(_ENVS))}."
        )
    return options


def _server(source: MlflowSource, text: str, option: str) -> ServerSettings:
    place = address(text, option, _SERVER_HINT)
    username, password = place.username, place.password
    if source.username:
        username, password = source.username, source.password
    return ServerSettings(
        url=place.url.rstrip("/"),
        username=username,
        user_info=username is not None and not source.username,
        password=password,
        token=None if username is not None else source.token,
        headers=source.extra_headers,
        tls=source.tls(),
        concurrency=source.max_threads,
        min_concurrency=min(source.min_threads, source.max_threads),
        requests_per_second=source.requests_per_second,
        timeout=source.timeout_sec,
        attempts=source.retry_max_times + 1,
        patience=source.patience_sec,
    )


def _ui_url(text: str) -> str:
    """What links in DataHub begin with, for all to see: as it is written, but without any user info."""
    bare = address(text, "base_external_url", "Give the URL of MLflow's pages.")
    return text if bare.username is None else bare.url
