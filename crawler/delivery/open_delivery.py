"""Opens a delivery to the sink of the settings: its system metadata, its validation, its files of dead letters."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from crawler.datahub.encoding import Validator
from crawler.datahub.proposals import NO_RUN_ID, SystemMetadata, encode_system_metadata
from crawler.delivery.dead_letters import open_letters
from crawler.delivery.delivery import Delivery
from crawler.delivery.outcomes import OutcomePublisher
from crawler.errors import SettingsError
from crawler.http.traffic import Traffic
from crawler.settings.crawl import DeliverySettings
from crawler.sinks import open_sink
from crawler.telemetry.events import Listener
from crawler.telemetry.timing import Timing

if TYPE_CHECKING:
    from crawler.checkpoint.sent_entities import SentEntities

ASKING = (
    "It takes DataHub 1.0.1 or later, --confirm entities or stored, and no --dry-run; with --endpoint openapi give "
    "--confirm stored."
)


@asynccontextmanager
async def open_delivery(
    settings: DeliverySettings,
    listener: Listener,
    traffic: Traffic,
    timing: Timing,
    *,
    is_resumable: bool = False,
    sent: "SentEntities | None" = None,
    doubts: bool = False,
) -> AsyncIterator[Delivery]:
    """Open the sink of the settings and a delivery to it, which leaves out what DataHub has according to `sent`.

    With `doubts`, DataHub is asked whether it has that.

    Raises SettingsError or ServerError where the sink cannot be opened, or asked, or dead letters cannot be kept where
    the settings say.
    """
    metadata = encode_system_metadata(_system_metadata(settings))
    letters, unconfirmed = (None, None) if settings.dry_run else open_letters(settings, metadata, listener)
    async with open_sink(settings, metadata, traffic, timing, listener) as sink:
        if doubts and sink.lookup is None:
            raise SettingsError("--verify-every asks DataHub for what it has, and that cannot be asked here.", ASKING)
        outcomes = OutcomePublisher(
            sink.wire,
            listener,
            letters,
            unconfirmed,
            is_resumable=is_resumable,
            keeps_unsent=settings.sink.is_resumable,
        )
        yield Delivery(
            sink, outcomes, listener, timing, _validator(settings), grace=settings.grace, sent=sent, doubts=doubts
        )


def _system_metadata(settings: DeliverySettings) -> SystemMetadata:
    """Return what all proposals carry. DataHub itself gives what comes without a run id the same one."""
    if not settings.labels_run:
        return SystemMetadata(_now(), NO_RUN_ID)
    return SystemMetadata(_now(), settings.run_id, settings.pipeline_name if settings.labels_pipeline else None)


def _validator(settings: DeliverySettings) -> Validator | None:
    if not settings.validate:
        return None
    from crawler.datahub.validation import problem  # noqa: PLC0415  acryl-datahub takes 2 s to import

    return problem


def _now() -> int:
    return time.time_ns() // 1_000_000
