"""The settings of MLflow and of the mapping, from `source` of a recipe, MLflow's variables and files, and flags."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import structs

from crawler.config.connection import connection_settings, require_bounds
from crawler.config.environment import is_true, mlflow_variables
from crawler.config.flags import Flags
from crawler.config.home_files import mlflow_credentials, netrc_credentials
from crawler.config.layers import RECIPE, Layer, Merged, merge, recipe_layer
from crawler.config.load_owner import load_owner
from crawler.config.load_selection import load_selection
from crawler.config.secret_options import has_secret, with_one_secret
from crawler.config.sections.recipe import Typed
from crawler.config.sections.source import Incremental, MlflowSource
from crawler.config.sections.values import Options
from crawler.config.sign_in import CREDENTIALS, ServerOptions, SignIn, belongs, sign_in
from crawler.config.strict import choose, section
from crawler.config.unsupported import UNSUPPORTED_IN_SOURCE, UNSUPPORTED_SIGN_INS, UNSUPPORTED_URIS
from crawler.errors import SettingsError
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent, MlflowSettings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.mapping import MappingSettings, OwnerSettings
from crawler.settings.selection import Selection
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import Address, parse_address

ENVS = frozenset(
    "CERT CORP DEV EI NON_PROD PRD PRE PROD QA RVW SANDBOX SBX SIT STG TEST TST UAT".split()  # noqa: SIM905
)
_SERVER_HINT = (
    "Start a server with `mlflow server --backend-store-uri …` and give its URL; for Databricks give "
    "https://WORKSPACE and a token."
)
_MISSING_BY_AN_ERROR = ("source:", "source.type:", "source.config:", "source.config.tracking_uri:")
_SERVERS = ServerOptions("tracking_uri", ("tracking_uri", "registry_uri"))


class Source(msgspec.Struct, frozen=True):
    """The source: its options, and the servers that come of them; `mlflow` is None if none is given.

    `changed_only` says how only what has changed is read and sent, None that everything is.
    """

    options: Merged[MlflowSource]
    mlflow: MlflowSettings | None
    selection: Selection = Selection()
    changed_only: KeepingCurrent | None = None
    owner: OwnerSettings | None = None


def load_source(
    source: Options, environment: Mapping[str, str], flags: Flags, home: Path | None, diagnostics: Diagnostics
) -> Source:
    """Return the source by flags, recipe, environment, ~/.mlflow/credentials and ~/.netrc, in this order."""
    recipe = _recipe(source, diagnostics) if source else Layer(place=RECIPE, path="source.config")
    variables = stored = Layer(place="environment")
    with diagnostics:
        stored = mlflow_credentials(home)
        variables = mlflow_variables(environment, stored)
    layers = [
        _flags(flags, recipe),
        recipe,
        variables,
        *([stored] if stored["username"] and stored["password"] else []),
    ]
    merged = merge(MlflowSource, layers)
    with diagnostics:
        require_bounds(merged.section, "source.config")
    if not merged.section.tracking_uri and diagnostics.has_error_at(*_MISSING_BY_AN_ERROR):
        return Source(merged, None)
    with diagnostics:
        selection = load_selection(merged.section, diagnostics)
        changed_only = _changed_only(merged.section, diagnostics)
        owner = None
        with diagnostics:
            owner = load_owner(merged.section.owner, diagnostics)
        mlflow, merged = _servers(merged, layers, environment, home, diagnostics)
        return Source(merged, mlflow, selection, changed_only, owner)
    return Source(merged, None)


def _changed_only(source: MlflowSource, diagnostics: Diagnostics) -> KeepingCurrent | None:
    chosen = section(source.incremental, "source.config.incremental", Incremental, diagnostics=diagnostics)
    if not (source.changed_only or chosen.enabled or source.verify_every is not None):
        return None
    incremental = IncrementalSettings(full_every=chosen.full_every, not_ended_for=chosen.not_ended_for)
    return KeepingCurrent(incremental=incremental if chosen.enabled else None, verify_every=source.verify_every)


def mapping_settings(loaded: Source, tracking_url: str) -> MappingSettings:
    """Return what is written for the MLflow server at `tracking_url`."""
    source = loaded.options.section
    return MappingSettings(
        env=source.env.upper(),
        platform_instance=source.platform_instance,
        model_name_separator=source.model_name_separator,
        ui_url=_ui_url(source.base_external_url) if source.base_external_url else tracking_url,
        materialize_dataset_inputs=source.materialize_dataset_inputs,
        source_mapping_to_platform=source.source_mapping_to_platform,
        keep_url_credentials=source.keep_url_credentials,
        owner=loaded.owner,
        model_tags=tuple(sorted(set(source.model_tags), reverse=True)),
        link_to_mlflow=source.link_to_mlflow,
        workspace_identity=source.workspace_identity,
    )


def _recipe(source: Options, diagnostics: Diagnostics) -> Layer:
    typed = section(source, "source", Typed, UNSUPPORTED_IN_SOURCE, diagnostics=diagnostics)
    with diagnostics:
        choose(typed.type, {"mlflow": MlflowSource}, "source", diagnostics)
    options = section(typed.config, "source.config", MlflowSource, diagnostics=diagnostics)
    if options.env.upper() not in ENVS:
        diagnostics.error(
            SettingsError(
                f"source.config.env: DataHub knows no {options.env!r}.", f"Known are: {', '.join(sorted(ENVS))}."
            )
        )
    if options.workspace and options.workspace_pattern:
        diagnostics.error(
            SettingsError(
                "source.config: workspace and workspace_pattern exclude each other.",
                "The first reads one workspace as if there were no other, the second those that match.",
            )
        )
    layer = recipe_layer(options, typed.config, "source.config")
    for secret in ("token", "password"):
        layer = with_one_secret(layer, secret, diagnostics)
    one_of_two = (layer["username"] is not None) != has_secret(layer, "password")
    if one_of_two and not diagnostics.has_error_at("source.config.password", "source.config.username"):
        diagnostics.error(
            SettingsError(
                "source.config: username and password must be set together.",
                "Give both there, or as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.",
            )
        )
    return layer


def _flags(flags: Flags, recipe: Layer) -> Layer:
    layer = flags.layer(
        tracking_uri="mlflow_uri",
        workspace="workspace",
        page_size="page_size",
        max_threads="mlflow_concurrency",
        patience_sec="patience",
        requests_per_second="mlflow_rps",
        changed_only="changed_only",
        verify_every="verify_every",
        incremental="incremental",
    )
    # The flag has no other options, so those of the recipe hold.
    incremental = (recipe["incremental"] or {}) | {"enabled": True} if flags.incremental else None
    return structs.replace(layer, options={**layer.options, "incremental": incremental})


def _servers(
    merged: Merged[MlflowSource],
    layers: Sequence[Layer],
    environment: Mapping[str, str],
    home: Path | None,
    diagnostics: Diagnostics,
) -> tuple[MlflowSettings, Merged[MlflowSource]]:
    """Return the tracking server, and the registry if that is another server, each with credentials of its own."""
    source = merged.section
    if not source.tracking_uri:
        raise SettingsError(
            "No MLflow server is given.",
            "Use --mlflow-uri, MLFLOW_TRACKING_URI, or tracking_uri under source.config of a recipe.",
        )

    def server(url: str, option: str) -> tuple[ServerSettings, SignIn]:
        address = _address(url, option)
        stored = netrc_credentials(environment, home, address.hostname)
        found = sign_in(url, [*layers, stored], _SERVERS, diagnostics)
        _require_supported(found, layers[2], environment, url)
        settings = ServerSettings(
            url=address.base_url,
            requests_per_second=source.requests_per_second,
            **found.settings(),
            **connection_settings(source, merged.origins, address.scheme),
        )
        return settings, found

    tracking, found = server(source.tracking_uri, "tracking_uri")
    registry, of_registry = server(source.registry_uri, "registry_uri") if source.registry_uri else (tracking, found)
    shown = merge(MlflowSource, [found.layer, found.headers, *(layer.without(CREDENTIALS) for layer in layers)])
    mlflow = MlflowSettings(
        tracking=tracking,
        registry=None if registry.url == tracking.url else registry,
        page_size=source.page_size,
        workspace=source.workspace or None,
    )
    sign_ins = {"MLflow": found.origin} | ({"its registry": of_registry.origin} if mlflow.registry else {})
    return mlflow, structs.replace(shown, sign_ins=sign_ins)


def _address(url: str, option: str) -> Address:
    """Return the address of a server. Raises SettingsError, which names services that want another way to sign in."""
    scheme = url.strip().partition(":")[0].lower()
    if scheme in UNSUPPORTED_URIS:
        raise SettingsError(f"{option}: {UNSUPPORTED_URIS[scheme]}")
    return parse_address(url, option, _SERVER_HINT)


def _require_supported(found: SignIn, variables: Layer, environment: Mapping[str, str], url: str) -> None:
    """Raise SettingsError if the environment says how to sign in to this server, and in a way that is not there."""
    from_recipe = found.layer.options and found.layer.place == RECIPE
    if from_recipe or found.has_own_header() or not belongs(variables, url, _SERVERS):
        return
    for name, why in UNSUPPORTED_SIGN_INS.items():
        value = environment.get(name, "")
        if is_true(environment, name) if name == "MLFLOW_TRACKING_AWS_SIGV4" else value:
            raise SettingsError(f"{name}: {why}", f"Unset {name}, or give token or username under source.config.")


def _ui_url(text: str) -> str:
    """Return the URL as it is written, but without user info: everyone sees the links that begin with it."""
    address = parse_address(text, "base_external_url", "Give the URL of MLflow's pages.")
    return text if address.username is None else address.url
