"""What a single stage of a reading is tested with."""

from collections.abc import Iterable
from typing import cast

from crawler.checkpoint.protocol import NoProgress, Progress
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.run_choice import RunChoice
from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Selection
from crawler.telemetry.events import Event, Listener


def ignore(_event: Event) -> None:
    pass


async def send_nowhere(entities: Iterable[Entity], _ack: Ack | None) -> None:
    for _ in entities:
        pass


def read_context(
    client: object,
    listener: Listener = ignore,
    *,
    mapper: CrawlMapper | None = None,
    selection: Selection | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> ReadContext:
    """The context of a stage; `client` has as much of MlflowClient as the stage calls."""
    mapper = mapper or CrawlMapper(MappingSettings(ui_url="http://x"))
    choice = RunChoice(selection)
    return ReadContext(
        cast("MlflowClient", client), mapper, send_nowhere, listener, progress or NoProgress(), choice, workers
    )
