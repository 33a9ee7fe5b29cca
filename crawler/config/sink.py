"""The settings of the sink, from `sink` of a recipe, DataHub's variables, ~/.datahubenv and flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import structs

from crawler.atomic_files import STDOUT
from crawler.config.connection import connection_settings, require_bounds
from crawler.config.datahub_layers import datahub_layers
from crawler.config.flags import Flags
from crawler.config.home_files import netrc_credentials
from crawler.config.layers import RECIPE, Layer, Merged, merge, recipe_layer
from crawler.config.secret_options import with_one_secret
from crawler.config.sections.recipe import NoOptions, Typed
from crawler.config.sections.sink import FileSink, LiteFile, LiteSink, Mode, RestSink
from crawler.config.sections.values import Options
from crawler.config.sign_in import CREDENTIALS, ServerOptions, sign_in
from crawler.config.strict import choose, section
from crawler.config.unsupported import UNSUPPORTED_IN_LITE_FILE, UNSUPPORTED_IN_LITE_SINK, UNSUPPORTED_IN_REST_SINK
from crawler.errors import SettingsError
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import FileSettings, LiteSettings, RestSettings, SinkSettings
from crawler.settings.urls import datahub_cloud, parse_address

Kind = Literal["rest", "file", "lite", "console"]
_KINDS: dict[str, Kind] = {"datahub-rest": "rest", "file": "file", "datahub-lite": "lite", "console": "console"}
_MISSING_BY_AN_ERROR = ("sink:", "sink.config:", "sink.config.server:")
_TYPES = {kind: name for name, kind in _KINDS.items()}
_SERVER = ServerOptions("server of DataHub", ("server",))


class Sink(msgspec.Struct, frozen=True):
    """The sink.

    Attributes:
        options: its options, by the path of their section.
        settings: its settings; None if no sink and no DataHub is configured anywhere.
        type: its type as a recipe names it.
        origin: where the type is from.
    """

    options: Mapping[str, Merged[Any]] = {}
    settings: SinkSettings | None = None
    type: str = "file"
    origin: str = "default"


def load_sink(
    sink: Options | None, environment: Mapping[str, str], flags: Flags, home: Path | None, diagnostics: Diagnostics
) -> Sink:
    """Return the sink by flags, recipe, environment and ~/.datahubenv, in this order. Raises SettingsError."""
    typed = None if sink is None else section(sink, "sink", Typed, diagnostics=diagnostics)
    kind = _kind(typed, flags, diagnostics)
    # A flag that names another sink than the recipe leaves the recipe's options without meaning.
    options = typed.config if typed is not None and _KINDS.get(typed.type) == kind else {}
    match kind:
        case "file":
            found = _file(options, flags, diagnostics)
        case "lite":
            found = _lite(options, flags, home, diagnostics)
        case "console":
            section(options, "sink.config", NoOptions, diagnostics=diagnostics)
            found = Sink(settings=FileSettings(path=STDOUT, lines=True))
        case _:
            found = _rest(options, environment, flags, home, diagnostics, required=kind is not None)
    if found.settings is None:
        return found
    of_server = found.options["sink.config"].origins.get("server", "") if kind is None else ""
    return structs.replace(found, type=_TYPES[kind or "rest"], origin=of_server or _origin(flags))


def _origin(flags: Flags) -> str:
    """Return where the type of the sink is from, if any place names it."""
    given = [name for name in ("sink", "output", "datahub_url") if getattr(flags, name) is not None]
    return Flags.name_of(given[0]) if given else RECIPE


def _kind(typed: Typed | None, flags: Flags, diagnostics: Diagnostics) -> Kind | None:
    """Return the kind of sink that flags ask for, else the recipe; None if neither does."""
    if flags.datahub_url is not None and (flags.output is not None or flags.sink in {"file", "lite"}):
        raise SettingsError("The flags name two places to write to.", "Give --datahub-url, or --output and --sink.")
    if flags.sink == "rest" and flags.output is not None:
        raise SettingsError("--output has no meaning with --sink rest.", "Leave one of them out.")
    if flags.sink is not None:
        return flags.sink
    if flags.output is not None and (typed is None or typed.type != "datahub-lite"):
        return "file"
    if flags.datahub_url is not None:
        return "rest"
    if typed is not None and typed.type == "datahub-kafka":
        raise SettingsError(
            "sink.type: the sink datahub-kafka is not there.",
            "Write to DataHub's REST API with datahub-rest; or write a file (file), and let datahub's file source "
            "send that to Kafka.",
        )
    return None if typed is None else choose(typed.type, _KINDS, "sink", diagnostics)


def _file(options: Options, flags: Flags, diagnostics: Diagnostics) -> Sink:
    sink = section(options, "sink.config", FileSink, diagnostics=diagnostics)
    merged = merge(FileSink, [flags.layer(filename="output"), recipe_layer(sink, options, "sink.config")])
    path, nested = merged.section.filename, merged.section.legacy_nested_json_string
    return Sink({"sink.config": merged}, FileSettings(path=path, nested_json=nested))


def _lite(options: Options, flags: Flags, home: Path | None, diagnostics: Diagnostics) -> Sink:
    sink = section(options, "sink.config", LiteSink, UNSUPPORTED_IN_LITE_SINK, diagnostics=diagnostics)
    lite = section(sink.config, "sink.config.config", LiteFile, UNSUPPORTED_IN_LITE_FILE, diagnostics=diagnostics)
    recipe = recipe_layer(lite, sink.config, "sink.config.config")
    merged = merge(LiteFile, [flags.layer(file="output"), recipe])
    path = merged.section.file or (home and home / ".datahub/lite/datahub.db")
    if path is None:
        raise SettingsError("No catalog of DataHub Lite is given, and there is no home folder.", "Give it with -o.")
    chosen: dict[str, Merged[Any]] = {
        "sink.config": merge(LiteSink, [recipe_layer(sink, options, "sink.config")]),
        "sink.config.config": merged,
    }
    return Sink(chosen, LiteSettings(path=path, kind=sink.type))


def _rest(
    options: Options,
    environment: Mapping[str, str],
    flags: Flags,
    home: Path | None,
    diagnostics: Diagnostics,
    *,
    required: bool,
) -> Sink:
    rest = section(options, "sink.config", RestSink, UNSUPPORTED_IN_REST_SINK, diagnostics=diagnostics)
    recipe = recipe_layer(rest, options, "sink.config")
    recipe = with_one_secret(recipe, "token", diagnostics)
    layers = datahub_layers(_flags(flags), recipe, environment, home, diagnostics)
    merged = merge(RestSink, layers)
    with diagnostics:
        require_bounds(merged.section, "sink.config")
    if not merged.section.server and (not required or diagnostics.has_error_at(*_MISSING_BY_AN_ERROR)):
        return Sink()
    settings, shown = _rest_settings(merged, layers, environment, home, diagnostics)
    return Sink({"sink.config": shown}, settings)


def _rest_settings(
    merged: Merged[RestSink],
    layers: list[Layer],
    environment: Mapping[str, str],
    home: Path | None,
    diagnostics: Diagnostics,
) -> tuple[RestSettings, Merged[RestSink]]:
    sink = merged.section
    if not sink.server:
        raise SettingsError(
            "No DataHub server is given.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    address = parse_address(
        sink.server, "server of DataHub", "Give the URL of its metadata service (GMS), http://host:8080 for example."
    )
    stored = netrc_credentials(environment, home, address.hostname)
    found = sign_in(sink.server, [*layers, stored], _SERVER, diagnostics)
    settings = RestSettings(
        server=ServerSettings(
            url=datahub_cloud(address.base_url),
            **found.settings(),
            **connection_settings(sink, merged.origins, address.scheme),
        ),
        endpoint=sink.endpoint,
        confirm=sink.confirm,
        confirm_wait=float(sink.confirm_wait),
        max_unconfirmed=int(sink.max_unconfirmed),
        gzip=sink.compression == "gzip",
        asynchronous=sink.mode is not Mode.SYNC,
        batch_size=sink.max_per_batch,
        batch_bytes=sink.max_batch_bytes,
    )
    shown = merge(RestSink, [found.layer, found.headers, *(layer.without(CREDENTIALS) for layer in layers)])
    return settings, structs.replace(shown, sign_ins={"DataHub": found.origin})


def load_server(
    options: Options, path: str, environment: Mapping[str, str], home: Path | None, diagnostics: Diagnostics
) -> ServerSettings:
    """Return a DataHub server that a section of a recipe names as datahub-rest does, with its credentials there."""
    rest = section(options, path, RestSink, UNSUPPORTED_IN_REST_SINK, diagnostics=diagnostics)
    layers = [with_one_secret(recipe_layer(rest, options, path), "token", diagnostics)]
    settings, _ = _rest_settings(merge(RestSink, layers), layers, environment, home, diagnostics)
    return settings.server


def _flags(flags: Flags) -> Layer:
    return flags.layer(
        server="datahub_url",
        max_threads="datahub_concurrency",
        patience_sec="patience",
        endpoint="endpoint",
        confirm="confirm",
        confirm_wait="confirm_wait",
        max_unconfirmed="max_unconfirmed",
        max_per_batch="batch_size",
    )
