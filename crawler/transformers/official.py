"""Makes acryl-datahub's transformers, and its client of the DataHub that they read from. Importing this takes 2 s."""

import math
import time

from crawler.acryl import without_telemetry
from crawler.errors import SettingsError
from crawler.http.credentials import credentials_of, request_headers
from crawler.secrets.sources import read_secret
from crawler.settings.crawl import Settings, TransformerSettings
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.servers import ServerSettings
from crawler.settings.urls import parse_address
from crawler.transformers.chain import NamedStep

with without_telemetry():
    from datahub.emitter.token_provider import CachingTokenProvider, TokenProviderAuth, TokenResult
    from datahub.ingestion.api.common import PipelineContext
    from datahub.ingestion.graph.client import DataHubGraph
    from datahub.ingestion.graph.config import ClientMode, DatahubClientConfig
    from datahub.ingestion.transformer.transform_registry import transform_registry
    from datahub.metadata.schema_classes import SystemMetadataClass
    from pydantic import ValidationError

    from crawler.transformers.steps import step_of


def make_steps(settings: Settings) -> list[NamedStep]:
    """Return the transformers of the settings as steps. Raises SettingsError, which names all that cannot be made."""
    graph = None if settings.graph is None else _graph(settings.graph)
    context = PipelineContext(
        run_id=settings.run_id, graph=graph, pipeline_name=settings.pipeline_name, dry_run=settings.dry_run
    )
    metadata = SystemMetadataClass(
        lastObserved=time.time_ns() // 1_000_000, runId=settings.run_id, pipelineName=settings.pipeline_name
    )
    diagnostics = Diagnostics()
    steps = []
    for index, each in enumerate(settings.transformers):
        path = f"transformers[{index}]"
        with diagnostics:
            steps.append(NamedStep(f"{path} {each.type}", step_of(_transformer(each, path, context), metadata)))
    diagnostics.raise_errors()
    return steps


def _transformer(settings: TransformerSettings, path: str, context: PipelineContext) -> object:
    try:
        made: object = transform_registry.get(settings.type).create(settings.config, context)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, each['loc'])) or settings.type}: {each['msg']}" for each in error.errors()
        )
        raise SettingsError(f"{path}.config: {wrong}.", "acryl-datahub's documentation has its options.") from None
    except Exception as error:  # whatever a class of somebody's own raises
        raise SettingsError(f"{path}: {settings.type} cannot be made: {type(error).__name__}: {error}") from error
    return made


def _graph(server: ServerSettings) -> DataHubGraph:
    """Return acryl-datahub's client, which signs in as the crawler does. Raises SettingsError if it cannot connect."""
    credentials = credentials_of(server, parse_address(server.url, "The URL of DataHub", ""))
    config = DatahubClientConfig(
        server=server.url,
        extra_headers=dict(request_headers("DataHub", server, credentials)),
        timeout_sec=server.timeout,
        ca_certificate_path=_text(server.tls.ca_certificate),
        client_certificate_path=_text(server.tls.client_certificate),
        client_key_path=_text(server.tls.client_key),
        disable_ssl_verification=not server.tls.verify,
        client_mode=ClientMode.INGESTION,
    )
    try:
        graph = DataHubGraph(config)
        if server.renewal is not None and server.username is None:
            # As the crawler's own connection: what is refused is read again.
            graph.session.headers.pop("Authorization", None)
            graph.session.auth = TokenProviderAuth(CachingTokenProvider(lambda: _token(server)))
        graph.test_connection()
    except Exception as error:
        raise SettingsError(
            f"The transformers cannot read from DataHub at {server.url}: {type(error).__name__}.",
            "See whether `check` reaches it, and whether datahub_api names the right one.",
        ) from error
    return graph


def _token(server: ServerSettings) -> TokenResult:
    """Return a token that is read now and holds until it is refused."""
    assert server.renewal is not None  # noqa: S101  otherwise nobody asks
    return TokenResult(read_secret(server.renewal).reveal(), math.inf)


def _text(path: object) -> str | None:
    return None if path is None else str(path)
