"""Settings from a recipe, the environment and flags: later ones win."""

import random
import string
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from crawler.errors import SettingsError
from crawler.recipe import environment as env
from crawler.recipe import sections
from crawler.recipe.addresses import address, datahub_cloud
from crawler.recipe.document import expand, read_document
from crawler.recipe.sections import Count, LiteFile, MlflowSource, Mode, PageSize, Pipeline, Positive, RestSink, Typed
from crawler.recipe.strict import choose, section
from crawler.settings import (
    FileSettings,
    LiteSettings,
    MappingSettings,
    MlflowSettings,
    RestSettings,
    ServerSettings,
    Settings,
    SinkSettings,
    Tls,
)

DEFAULT_FILE = Path("mlflow-datahub.json")
_ENVS = frozenset(
    "CERT CORP DEV EI NON_PROD PRD PRE PROD QA RVW SANDBOX SBX SIT STG TEST TST UAT".split()  # noqa: SIM905
)
_MLFLOW_HINT = (
    "Start a server with `mlflow server --backend-store-uri …` and give its URL; for Databricks give "
    "https://WORKSPACE and a token."
)
_DATAHUB_HINT = "Give the URL of its metadata service (GMS), http://host:8080 for example."
_NO_RUN_ID = "__DEFAULT_RUN_ID"


class Flags(msgspec.Struct, kw_only=True, frozen=True):
    """The flags of a command; None where one is not given."""

    mlflow_uri: str | None = None
    datahub_url: str | None = None
    sink: Literal["rest", "file", "lite"] | None = None
    output: Path | None = None
    report: Path | None = None
    dry_run: bool = False
    validate: bool = False
    page_size: PageSize | None = None
    mlflow_concurrency: Count | None = None
    mlflow_rps: Positive | None = None
    datahub_concurrency: Count | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=200)] | None = None


def load(recipe: Path | None, environment: Mapping[str, str], flags: Flags, *, home: Path | None = None) -> Settings:
    """The settings of one crawl. Raises SettingsError for what cannot be used, naming where it stands."""
    document = {} if recipe is None else expand(read_document(recipe), environment)
    pipeline = section(document, "", Pipeline, sections.REFUSED_IN_PIPELINE)
    source = _source(pipeline, environment, flags)
    notes: list[str] = []
    sink = _sink(pipeline, environment, flags, home or Path.home(), notes)
    run_id = pipeline.run_id if pipeline.run_id and pipeline.run_id != _NO_RUN_ID else _new_run_id()
    tracking = _tracking(source)
    return Settings(
        run_id=run_id,
        pipeline_name=pipeline.pipeline_name,
        mlflow=MlflowSettings(tracking=tracking, registry=_registry(source, tracking), page_size=source.page_size),
        mapping=_mapping(source, tracking),
        sink=sink,
        report=flags.report,
        dry_run=flags.dry_run,
        validate=flags.validate,
        notes=tuple(notes),
    )


def _source(pipeline: Pipeline, environment: Mapping[str, str], flags: Flags) -> MlflowSource:
    source = MlflowSource()
    if pipeline.source:
        typed = section(pipeline.source, "source", Typed, sections.REFUSED_IN_SOURCE)
        choose(typed.type, {"mlflow": MlflowSource}, "source.type")
        source = section(typed.config, "source.config", MlflowSource)
    env.apply_mlflow(source, environment)
    source.tracking_uri = flags.mlflow_uri or source.tracking_uri
    source.page_size = flags.page_size or source.page_size
    source.max_threads = flags.mlflow_concurrency or source.max_threads
    source.requests_per_second = flags.mlflow_rps or source.requests_per_second
    _check_source(source)
    return source


def _check_source(source: MlflowSource) -> None:
    if section(source.stateful_ingestion, "source.config.stateful_ingestion", sections.StatefulIngestion).enabled:
        raise SettingsError(sections.STATE_WANTED)
    if bool(source.username) != bool(source.password):
        raise SettingsError("source.config: username and password must be set together.")
    if source.env.upper() not in _ENVS:
        raise SettingsError(
            f"source.config.env: DataHub knows no {source.env!r}.", f"Known are: {', '.join(sorted(_ENVS))}."
        )


def _tracking(source: MlflowSource) -> ServerSettings:
    if not source.tracking_uri:
        raise SettingsError(
            "No MLflow server is given.",
            "Use --mlflow-uri, MLFLOW_TRACKING_URI, or tracking_uri under source.config of a recipe.",
        )
    return _mlflow_server(source, source.tracking_uri, "tracking_uri")


def _registry(source: MlflowSource, tracking: ServerSettings) -> ServerSettings | None:
    if not source.registry_uri:
        return None
    registry = _mlflow_server(source, source.registry_uri, "registry_uri")
    return None if registry.url == tracking.url else registry


def _mlflow_server(source: MlflowSource, url: str, option: str) -> ServerSettings:
    place = address(url, option, _MLFLOW_HINT)
    username, password = place.username, place.password
    if source.username:
        username, password = source.username, source.password
    return ServerSettings(
        url=place.url.rstrip("/"),
        username=username,
        password=password,
        token=None if username is not None else source.token,
        headers=source.extra_headers,
        tls=_tls(source),
        concurrency=source.max_threads,
        requests_per_second=source.requests_per_second,
        timeout=source.timeout_sec,
        attempts=source.retry_max_times + 1,
    )


def _tls(options: MlflowSource | RestSink) -> Tls:
    return Tls(
        verify=not options.disable_ssl_verification,
        ca_certificate=options.ca_certificate_path,
        client_certificate=options.client_certificate_path,
        client_key=options.client_key_path,
    )


def _mapping(source: MlflowSource, tracking: ServerSettings) -> MappingSettings:
    return MappingSettings(
        env=source.env.upper(),
        platform_instance=source.platform_instance,
        model_name_separator=source.model_name_separator,
        ui_url=_ui_url(source, tracking),
        materialize_dataset_inputs=source.materialize_dataset_inputs,
        source_mapping_to_platform=source.source_mapping_to_platform,
    )


def _ui_url(source: MlflowSource, tracking: ServerSettings) -> str:
    """What links in DataHub begin with, for all to see: so without any user info."""
    if not source.base_external_url:
        return tracking.url
    bare = address(source.base_external_url, "base_external_url", "Give the URL of MLflow's pages.")
    return source.base_external_url if bare.username is None else bare.url


def _sink(
    pipeline: Pipeline, environment: Mapping[str, str], flags: Flags, home: Path, notes: list[str]
) -> SinkSettings:
    typed = None if pipeline.sink is None else section(pipeline.sink, "sink", Typed)
    kind = _sink_kind(typed, flags)
    # A flag that names another sink than the recipe leaves the recipe's options without meaning.
    options: dict[str, Any] = typed.config if typed is not None and _KINDS.get(typed.type) == kind else {}
    if kind == "file":
        return _file(options, flags)
    if kind == "lite":
        return _lite(options, flags, home)
    rest = section(options, "sink.config", RestSink, sections.REFUSED_IN_REST_SINK) if options else None
    rest = rest or env.datahubenv(environment, home, flags.datahub_url) or RestSink()
    env.apply_datahub(rest, environment)
    rest.server = flags.datahub_url or rest.server
    if rest.server is None and kind is None:
        if not flags.dry_run:
            notes.append(f"No DataHub is configured, so the proposals are written to {DEFAULT_FILE}.")
        return FileSettings(path=DEFAULT_FILE)
    return _rest(rest, flags)


_KINDS: dict[str, Literal["rest", "file", "lite"]] = {"datahub-rest": "rest", "file": "file", "datahub-lite": "lite"}


def _sink_kind(typed: Typed | None, flags: Flags) -> Literal["rest", "file", "lite"] | None:
    if flags.datahub_url is not None and (flags.output is not None or flags.sink in ("file", "lite")):
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


def _file(options: dict[str, Any], flags: Flags) -> FileSettings:
    if flags.output is not None:
        options = options | {"filename": str(flags.output)}
    if not options:
        options = {"filename": str(DEFAULT_FILE)}
    sink = section(options, "sink.config", sections.FileSink)
    return FileSettings(path=sink.filename, nested_json=sink.legacy_nested_json_string)


def _lite(options: dict[str, Any], flags: Flags, home: Path) -> LiteSettings:
    sink = section(options, "sink.config", sections.LiteSink, sections.REFUSED_IN_LITE_SINK)
    file = section(sink.config, "sink.config.config", LiteFile).file
    path = flags.output or (home / ".datahub/lite/datahub.db" if str(file).startswith("~") else file)
    return LiteSettings(path=path, kind=sink.type)


def _rest(sink: RestSink, flags: Flags) -> RestSettings:
    if not sink.server:
        raise SettingsError(
            "No DataHub server is given.",
            "Use --datahub-url, DATAHUB_GMS_URL, or server under sink.config of a recipe.",
        )
    place = address(sink.server, "server of DataHub", _DATAHUB_HINT)
    return RestSettings(
        server=ServerSettings(
            url=datahub_cloud(place.url.rstrip("/")),
            username=None if sink.token else place.username,
            password=None if sink.token else place.password,
            token=sink.token,
            headers=sink.extra_headers,
            tls=_tls(sink),
            concurrency=flags.datahub_concurrency or sink.max_threads,
            timeout=sink.timeout_sec,
            attempts=sink.retry_max_times + 1,
        ),
        gzip=sink.compression == "gzip",
        asynchronous=sink.mode is not Mode.SYNC,
        batch_size=flags.batch_size or sink.max_per_batch,
        batch_bytes=sink.max_batch_bytes,
    )


def _new_run_id() -> str:
    """As the official connector names its runs, in local time."""
    now = datetime.now().astimezone().strftime("%Y_%m_%d-%H_%M_%S")
    suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=6))  # noqa: S311  a name, no secret
    return f"mlflow-{now}-{suffix}"
