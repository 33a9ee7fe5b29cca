"""The transformers of a recipe, and the DataHub that they read from."""

from collections.abc import Mapping
from pathlib import Path

from crawler.config.connection import connection_settings, require_bounds
from crawler.config.datahub_layers import datahub_layers
from crawler.config.home_files import netrc_credentials
from crawler.config.layers import Layer, merge, recipe_layer
from crawler.config.secret_options import with_one_secret
from crawler.config.sections.connection import DatahubApi
from crawler.config.sections.recipe import Transformer
from crawler.config.sections.values import Options
from crawler.config.sign_in import ServerOptions, sign_in
from crawler.config.strict import choose, section
from crawler.config.unsupported import (
    TRANSFORMERS_OF_OWNERS,
    UNSUPPORTED_IN_CLIENT,
    UNSUPPORTED_IN_TRANSFORMERS_OF_OWNERS,
    UNSUPPORTED_TRANSFORMERS,
)
from crawler.errors import SettingsError
from crawler.settings.crawl import TransformerSettings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import datahub_cloud, parse_address

PLUGINS = "datahub.ingestion.transformer.plugins"
"""The group of entry points by which acryl-datahub, and other packages, name transformers."""
_SERVER = ServerOptions("server of datahub_api", ("server",))


def load_transformers(given: list[Options], diagnostics: Diagnostics) -> tuple[TransformerSettings, ...]:
    """Return the transformers of a recipe; acryl-datahub checks their options when it makes them."""
    found = []
    for index, options in enumerate(given):
        path = f"transformers[{index}]"
        transformer = section(options, path, Transformer, diagnostics=diagnostics)
        with diagnostics:
            if not is_import_path(transformer.type):
                choose(transformer.type, _plugins(), path, diagnostics)
            config = {str(key): value for key, value in transformer.config.items()}
            _refuse_patches(transformer.type, config, path, diagnostics)
            found.append(TransformerSettings(type=transformer.type, config=config))
    return tuple(found)


def _plugins() -> dict[str, str]:
    from importlib.metadata import entry_points  # noqa: PLC0415  few recipes have transformers

    return {plugin.name: plugin.value for plugin in entry_points(group=PLUGINS)}


def _refuse_patches(name: str, config: Options, path: str, diagnostics: Diagnostics) -> None:
    """Say it before the crawl where a transformer of acryl-datahub writes what cannot be sent."""
    if name in UNSUPPORTED_TRANSFORMERS:
        diagnostics.error(SettingsError(f"{path}.type: {UNSUPPORTED_TRANSFORMERS[name]}"))
    for key, known in UNSUPPORTED_IN_TRANSFORMERS_OF_OWNERS.items():
        if name in TRANSFORMERS_OF_OWNERS and not known.accepts(config.get(key)):
            diagnostics.error(SettingsError(f"{path}.config.{key}: {known.why}"))


def is_import_path(name: str) -> bool:
    """True for `package.module:Class` and `package.module.Class`, which are no names of plugins."""
    return "." in name or ":" in name


def load_datahub_api(
    given: Options | None, environment: Mapping[str, str], home: Path | None, diagnostics: Diagnostics
) -> ServerSettings | None:
    """Return the server of `datahub_api`, None if there is none. As in `datahub ingest`, its credentials are its own.

    Raises:
        SettingsError: It names no server, or cannot be used.
    """
    if not given:
        return None
    options = section(given, "datahub_api", DatahubApi, UNSUPPORTED_IN_CLIENT, diagnostics=diagnostics)
    recipe = with_one_secret(recipe_layer(options, given, "datahub_api"), "token", diagnostics)
    if not recipe["server"]:
        raise SettingsError(
            "datahub_api: there must be a key server.", "Give the URL of DataHub's GMS, or leave it out."
        )
    layers = datahub_layers(Layer(place="flags"), recipe, environment, None, diagnostics)
    merged = merge(DatahubApi, layers)
    require_bounds(merged.section, "datahub_api")
    server = merged.section.server or ""
    address = parse_address(server, "server of datahub_api", "Give the URL of DataHub's metadata service (GMS).")
    found = sign_in(server, [*layers, netrc_credentials(environment, home, address.hostname)], _SERVER, diagnostics)
    return ServerSettings(
        url=datahub_cloud(address.base_url),
        **found.settings(),
        **connection_settings(merged.section, merged.origins, address.scheme),
    )
