"""Runs transformers in a thread of their own: they may ask DataHub, and must not hold up all else meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager

from crawler.datahub.proposals import Entity
from crawler.settings.crawl import Settings
from crawler.telemetry.timing import Timing
from crawler.transformers.chain import Chain, NamedStep, Transformed, WithoutBrowsePaths


class Transformers:
    """A chain in its thread. One caller at a time."""

    def __init__(self, chain: Chain, thread: ThreadPoolExecutor) -> None:
        """Run `chain` in `thread`."""
        self._chain = chain
        self._thread = thread
        self._running: Future[Transformed] | None = None
        self._is_ended = False

    async def take(self, entities: Sequence[Entity]) -> Transformed:
        """Transform entities; where this is cancelled, `drain` has them."""
        if not any(self._chain.wants(entity.type) for entity in entities):
            return Transformed(list(entities))
        return await self._run(lambda: self._chain.take(entities))

    async def end(self) -> Transformed:
        """Return what the transformers make at the end."""
        self._is_ended = True
        return await self._run(self._chain.end)

    def drain(self, entities: Sequence[Entity]) -> list[Transformed]:
        """Return what is still in the thread, then transform these and come to the end; this waits for all of it."""
        running, self._running = self._running, None
        done = [] if running is None else [running.result()]
        done.append(self._chain.take(entities))
        return done if self._is_ended else [*done, self._chain.end()]

    async def _run(self, work: Callable[[], Transformed]) -> Transformed:
        self._running = self._thread.submit(work)
        # The thread goes on where this is cancelled.
        done = await asyncio.shield(asyncio.wrap_future(self._running))
        self._running = None
        return done


@asynccontextmanager
async def open_transformers(settings: Settings, timing: Timing) -> AsyncIterator[Transformers | None]:
    """Make the transformers of the settings; None where there are none.

    Raises:
        SettingsError: acryl-datahub cannot make one of them, for its options for example. All are named.
    """
    if not settings.transformers and settings.browse_paths:
        yield None
        return
    steps = [] if settings.browse_paths else [NamedStep("generate_browse_path_v2", WithoutBrowsePaths())]
    thread = ThreadPoolExecutor(1, "transformers")
    try:
        if settings.transformers:
            steps += await asyncio.wrap_future(thread.submit(_make_steps, settings))
        yield Transformers(Chain(steps, lambda seconds: timing.add("transform", seconds)), thread)
    finally:
        # What is cancelled does not wait for a transformer that asks DataHub.
        thread.shutdown(wait=False, cancel_futures=True)


def _make_steps(settings: Settings) -> list[NamedStep]:
    from crawler.transformers.official import make_steps  # noqa: PLC0415  acryl-datahub takes 2 s and 100 MB

    return make_steps(settings)
