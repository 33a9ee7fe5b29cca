"""The settings of the sink, from `sink` of a recipe, DataHub's variables, ~/.datahubenv and flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from msgspec import structs

from crawler.config.connection import connection_settings, require_bounds
from crawler.config.environment import datahubenv, with_datahub_variables
from crawler.config.flags import Flags
from crawler.config.secrets import find_secret, has_secret, only_secret, require_one_secret
from crawler.config.sections import FileSink, LiteFile, LiteSink, Mode, Options, RestSink, Typed, override
from crawler.config.settings import Endpoint, FileSettings, LiteSettings, RestSettings, ServerSettings, SinkSettings
from crawler.config.strict import choose, section
from crawler.config.unsupported import UNSUPPORTED_IN_LITE_FILE, UNSUPPORTED_IN_LITE_SINK, UNSUPPORTED_IN_REST_SINK
from crawler.config.urls import datahub_cloud, parse_address
from crawler.errors import SettingsError

Kind = Literal["rest", "file", "lite"]
_KINDS: dict[str, Kind] = {"datahub-rest": "rest", "file": "file", "datahub-lite": "lite"}


def sink_settings(
    sink: Options | None, environment: Mapping[str, str], flags: Flags, home: Path
) -> SinkSettings | None:
    """Return the sink, or None if no sink and no DataHub is configured anywhere."""
    typed = None if sink is None else section(sink, "sink", Typed)
    kind = _kind(typed, flags)
    # A flag that names another sink than the recipe leaves the recipe's options without meaning.
    options = typed.config if typed is not None and _KINDS.get(typed.type) == kind else {}
    if kind == "file":
        return _file(options, flags)
    if kind == "lite":
        return _lite(options, flags, home)
    rest = _rest_options(options, environment, flags, home)
    return None if rest.server is None and kind is None else _rest(rest)


def _kind(typed: Typed | None, flags: Flags) -> Kind | None:
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
    return None if typed is None else choose(typed.type, _KINDS, "sink.type")


def _file(options: Options, flags: Flags) -> FileSettings:
    sink = section(options, "sink.config", FileSink)
    return FileSettings(path=flags.output or sink.filename, nested_json=sink.legacy_nested_json_string)


def _lite(options: Options, flags: Flags, home: Path) -> LiteSettings:
    sink = section(options, "sink.config", LiteSink, UNSUPPORTED_IN_LITE_SINK)
    lite = section(sink.config, "sink.config.config", LiteFile, UNSUPPORTED_IN_LITE_FILE)
    return LiteSettings(path=flags.output or lite.file or home / ".datahub/lite/datahub.db", kind=sink.type)


def _rest_options(options: Options, environment: Mapping[str, str], flags: Flags, home: Path) -> RestSink:
    """Return the options of the recipe, with the environment and then flags over them.

    Options that the recipe leaves out come from ~/.datahubenv, unless the recipe names a server itself.
    """
    rest = section(options, "sink.config", RestSink, UNSUPPORTED_IN_REST_SINK)
    require_one_secret(rest, "token", "sink.config")
    if rest.server is None and (stored := datahubenv(environment, home, flags.datahub_url)) is not None:
        if has_secret(rest, "token"):
            stored = structs.replace(stored, **only_secret("token", None))
        rest = override(stored, **{option: getattr(rest, option, None) for option in options})
    rest = with_datahub_variables(rest, environment)
    require_bounds(rest, "sink.config")
    return override(
        rest,
        server=flags.datahub_url,
        max_threads=flags.datahub_concurrency,
        patience_sec=flags.patience,
        endpoint=flags.endpoint,
        confirm=flags.confirm,
        confirm_wait=flags.confirm_wait,
        max_unconfirmed=flags.max_unconfirmed,
        max_per_batch=flags.batch_size,
    )


def _rest(sink: RestSink) -> RestSettings:
    if not sink.server:
        raise SettingsError(
            "No DataHub server is given.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    address = parse_address(
        sink.server, "server of DataHub", "Give the URL of its metadata service (GMS), http://host:8080 for example."
    )
    token = find_secret(sink, "token", "sink.config")
    return RestSettings(
        server=ServerSettings(
            url=datahub_cloud(address.base_url),
            **(address.user_info if token is None else {"token": token}),
            **connection_settings(sink),
        ),
        endpoint=sink.endpoint or Endpoint.RESTLI,
        confirm=sink.confirm,
        confirm_wait=float(sink.confirm_wait),
        max_unconfirmed=int(sink.max_unconfirmed),
        gzip=sink.compression == "gzip",
        asynchronous=sink.mode is not Mode.SYNC,
        batch_size=sink.max_per_batch,
        batch_bytes=sink.max_batch_bytes,
    )
