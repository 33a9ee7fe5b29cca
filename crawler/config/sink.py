"""Where proposals go: `sink` of a recipe, DataHub's variables, ~/.datahubenv and the flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from crawler.config.environment import apply_datahub, datahubenv
from crawler.config.flags import Flags
from crawler.config.sections import (
    DEFAULT_FILE,
    TOKEN_OPTIONS,
    FileSink,
    LiteFile,
    LiteSink,
    Mode,
    Options,
    RestSink,
    Typed,
)
from crawler.config.settings import Endpoint, FileSettings, LiteSettings, RestSettings, ServerSettings, SinkSettings
from crawler.config.strict import choose, section
from crawler.config.unsupported import REFUSED_IN_LITE_FILE, REFUSED_IN_LITE_SINK, REFUSED_IN_REST_SINK
from crawler.config.urls import address, datahub_cloud
from crawler.errors import SettingsError

Kind = Literal["rest", "file", "lite"]
_KINDS: dict[str, Kind] = {"datahub-rest": "rest", "file": "file", "datahub-lite": "lite"}
_NOTHING_CONFIGURED = f"No DataHub is configured, so the proposals are written to {DEFAULT_FILE}."


def sink_settings(
    sink: Options | None, environment: Mapping[str, str], flags: Flags, home: Path
) -> tuple[SinkSettings, tuple[str, ...]]:
    """The sink, and notes on how it was chosen. Where nothing is configured anywhere, it is a file."""
    typed = None if sink is None else section(sink, "sink", Typed)
    kind = _kind(typed, flags)
    # A flag that names another sink than the recipe leaves the recipe's options without meaning.
    options = typed.config if typed is not None and _KINDS.get(typed.type) == kind else {}
    if kind == "file":
        return _file(options, flags), ()
    if kind == "lite":
        return _lite(options, flags, home), ()
    rest = _rest_options(options, environment, flags, home)
    if rest.server is None and kind is None:
        return FileSettings(path=DEFAULT_FILE), () if flags.dry_run else (_NOTHING_CONFIGURED,)
    return _rest(rest, flags), ()


def _kind(typed: Typed | None, flags: Flags) -> Kind | None:
    """What the flags ask for, else the recipe; None where neither says anything."""
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
    sink = section(options, "sink.config", LiteSink, REFUSED_IN_LITE_SINK)
    lite = section(sink.config, "sink.config.config", LiteFile, REFUSED_IN_LITE_FILE)
    return LiteSettings(path=flags.output or lite.file or home / ".datahub/lite/datahub.db", kind=sink.type)


def _rest_options(options: Options, environment: Mapping[str, str], flags: Flags, home: Path) -> RestSink:
    """The recipe's options; what it leaves out comes from ~/.datahubenv, unless it names a server of its own."""
    rest = section(options, "sink.config", RestSink, REFUSED_IN_REST_SINK)
    rest.require_one_token("sink.config")
    if rest.server is None and (stored := datahubenv(environment, home, flags.datahub_url)) is not None:
        given = {key: value for key in options if (value := getattr(rest, key, None)) is not None}
        if not given.keys().isdisjoint(TOKEN_OPTIONS):
            stored.take_token(None)
        rest = msgspec.structs.replace(stored, **given)
    apply_datahub(rest, environment)
    rest.server = flags.datahub_url or rest.server
    return rest


def _rest(sink: RestSink, flags: Flags) -> RestSettings:
    if not sink.server:
        raise SettingsError(
            "No DataHub server is given.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    place = address(
        sink.server, "server of DataHub", "Give the URL of its metadata service (GMS), http://host:8080 for example."
    )
    sink.require_bounds("sink.config")
    concurrency = flags.datahub_concurrency or sink.max_threads
    token = sink.find_token("sink.config")
    return RestSettings(
        server=ServerSettings(
            url=datahub_cloud(place.url.rstrip("/")),
            username=None if token else place.username,
            user_info=token is None and place.username is not None,
            password=None if token else place.password,
            token=token,
            headers=sink.extra_headers,
            tls=sink.tls(),
            concurrency=concurrency,
            min_concurrency=min(sink.min_threads, concurrency),
            timeout=sink.timeout_sec,
            attempts=sink.retry_max_times + 1,
            patience=sink.patience_sec if flags.patience is None else flags.patience,
        ),
        endpoint=flags.endpoint or sink.endpoint or Endpoint.RESTLI,
        confirm=flags.confirm or sink.confirm,
        gzip=sink.compression == "gzip",
        asynchronous=sink.mode is not Mode.SYNC,
        batch_size=flags.batch_size or sink.max_per_batch,
        batch_bytes=sink.max_batch_bytes,
    )
