"""The stream of a crawl's entities: read beside whoever iterates over it, a few entities ahead of it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice

import msgspec

from crawler.checkpoint.protocol import NoProgress, Progress
from crawler.datahub.pending import Ack
from crawler.datahub.proposals import Entity
from crawler.delivery.delivery import Delivery
from crawler.errors import CrawlerError
from crawler.http import Response, Server
from crawler.http.traffic import Traffic
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.api import CHEAPEST_PAGE
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.quirks.null_start_time import is_final as is_null_start_time_answer
from crawler.mlflow.refusals import says_disabled
from crawler.pipeline.background import Background
from crawler.pipeline.channel import Channel
from crawler.pipeline.read_context import ReadContext, RemovalsOf
from crawler.pipeline.run_choice import RunChoice
from crawler.pipeline.server_reader import ServerReader
from crawler.settings.crawl import MlflowSettings, Settings
from crawler.settings.selection import Selection
from crawler.settings.servers import ServerSettings
from crawler.stopping import unless_stopped
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.mapping import TRANSFORMER_FAILED, TRANSFORMER_FAILED_AT_END
from crawler.telemetry.timing import Timing
from crawler.transformers.chain import Transformed
from crawler.transformers.worker import Transformers, open_transformers

ENTITIES_AT_ONCE = 100


class EntityChunk(msgspec.Struct, frozen=True):
    """Entities that were mapped together; `ack` counts them in the window in which they were read.

    `failed` are those at which a transformer failed, each with the reason.
    """

    entities: list[Entity]
    ack: Ack | None = None
    failed: list[tuple[Entity, str]] = []

    def add_to(self, delivery: Delivery) -> None:
        """Add them to a delivery."""
        delivery.add(self.entities, self.ack)
        delivery.refuse(self.failed, self.ack)


class EntityStream(Background):
    """The entities of one MLflow server, in chunks: `async with EntityStream(…) as stream: async for chunk in stream`.

    Reading goes on beside the iteration, with one decoded page and two chunks at most in memory. The iteration raises
    at its end what ended the reading, after all that was mapped. It can be left at any moment.
    """

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        listener: Listener,
        timing: Timing,
        workers: int,
        *,
        selection: Selection,
        progress: Progress,
        stop: asyncio.Event,
        removals_of: RemovalsOf | None = None,
        transformers: Transformers | None = None,
    ) -> None:
        """Read with at most `workers` pages at a time, not beyond `stop`; `transformers` change what is mapped."""
        self._listener = listener
        self._timing = timing
        self._progress = progress
        self._stop = stop
        self._transformers = transformers
        choice = RunChoice(selection, time.time_ns() // 1_000_000)
        self._reader = ServerReader(
            ReadContext(client, mapper, self._send, listener, progress, choice, workers, removals_of)
        )
        self._channel: Channel[EntityChunk] = Channel()
        self._mapping = asyncio.Lock()
        self._held: Iterator[Entity] | None = None

    def __aiter__(self) -> AsyncIterator[EntityChunk]:
        """Return the chunks, each once."""
        return self._channel

    def drain(self) -> Iterator[EntityChunk]:
        """Remove and return what was mapped and not iterated over, where nobody goes on."""
        self._task.cancel()
        yield from self._channel.drain()
        held = list(self._held_once())
        for each in [Transformed(held)] if self._transformers is None else self._transformers.drain(held):
            if chunk := self._chunk(each, None):
                yield chunk

    async def _run(self) -> None:
        """Read to the end, or until `stop`, then send what was held back."""
        failure: BaseException | None = None
        try:
            try:
                await unless_stopped(self._reader.read(), self._stop)
            except (CrawlerError, ExceptionGroup) as error:
                failure = error
            await self._send(self._held_once(), None)
            await self._end_transformers()
        except BaseException as error:
            failure = error
            raise
        finally:
            self._channel.close(failure)

    def _held_once(self) -> Iterator[Entity]:
        self._held = self._held or self._reader.held()
        return self._held

    async def _send(self, entities: Iterable[Entity], ack: Ack | None) -> None:
        """Map and hand on entities, in chunks that are small enough for memory.

        One caller at a time maps, or the versions of one model could leave out of their order.
        """
        entities = iter(entities)
        async with self._mapping:
            while True:
                with self._timing.stage("map"):
                    mapped = list(islice(entities, ENTITIES_AT_ONCE))
                self._reader.tell_notices()
                transformed = Transformed(mapped)
                if self._transformers is not None:
                    transformed = await self._transformers.take(mapped)
                if chunk := self._chunk(transformed, ack):
                    await self._channel.send(chunk)
                if len(mapped) < ENTITIES_AT_ONCE:
                    return

    async def _end_transformers(self) -> None:
        """Send what transformers make at the end, however it came: a crawl that goes on sees other entities."""
        if self._transformers is None:
            return
        transformed = await self._transformers.end()
        if chunk := self._chunk(transformed, None):
            await self._channel.send(chunk)

    def _chunk(self, transformed: Transformed, ack: Ack | None) -> EntityChunk | None:
        """Return what is to be delivered of some entities, counted in their window; None for nothing."""
        for error in transformed.errors:
            self._listener(TRANSFORMER_FAILED_AT_END.found(error))
        entities, failed = transformed.entities, transformed.failed
        if self._progress.is_kept:
            was_delivered = self._progress.was_delivered
            if not transformed.adds:
                entities = [entity for entity in entities if entity.is_removal or not was_delivered(entity.urn)]
            failed = [each for each in failed if not was_delivered(each[0].urn)]
        if not entities and not failed:
            return None
        if ack is not None:
            ack.add(len(entities) + len(failed))
        return EntityChunk(entities, ack, failed)


@asynccontextmanager
async def open_entities(
    settings: Settings, listener: Listener = lambda _event: None
) -> AsyncIterator[AsyncIterator[Entity]]:
    """Read all that a crawl of these settings would deliver, in its order, with flat memory.

    The iteration can be left at any moment. It raises ServerError where MLflow cannot be read any further. Warnings and
    failures go to `listener`. The sink and the state of the settings are not used; transformers may ask their DataHub.

    Example:
        async with open_entities(load("recipe.yml")) as entities:
            async for entity in entities:
                print(entity.type, entity.urn)
    """
    timing = Timing()
    async with open_mlflow(settings.mlflow, Traffic(), timing) as client:
        mapper = CrawlMapper(settings.mapping)
        workers = settings.mlflow.tracking.concurrency
        async with (
            open_transformers(settings, timing) as transformers,
            EntityStream(
                client,
                mapper,
                listener,
                timing,
                workers,
                selection=settings.selection,
                progress=NoProgress(),
                stop=asyncio.Event(),
                transformers=transformers,
            ) as stream,
        ):
            yield _each(stream, listener)


@asynccontextmanager
async def open_mlflow(settings: MlflowSettings, traffic: Traffic, timing: Timing) -> AsyncIterator[MlflowClient]:
    """Open a client of the tracking server, and of the registry where that is another one."""
    async with AsyncExitStack() as stack:

        async def connect(server: ServerSettings) -> Server:
            # A new connection for each page spreads the load over all of the server's workers.
            return await stack.enter_async_context(
                Server("MLflow", server, traffic, keep_alive=False, is_final=_is_final, health_check=CHEAPEST_PAGE)
            )

        tracking = await connect(settings.tracking)
        registry = tracking if settings.registry is None else await connect(settings.registry)
        yield MlflowClient(tracking, registry, settings.page_size, timing, settings.workspace)


def _is_final(response: Response) -> bool:
    """Return whether no retry will bring another answer, although the status lets hope."""
    return is_null_start_time_answer(response) or says_disabled(response)


async def _each(stream: EntityStream, listener: Listener) -> AsyncIterator[Entity]:
    async for chunk in stream:
        for entity, reason in chunk.failed:
            listener(TRANSFORMER_FAILED.found(f"{entity.urn}: {reason}"))
        for entity in chunk.entities:
            yield entity
