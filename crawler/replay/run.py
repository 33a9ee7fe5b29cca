"""A replay: the proposals of a file, delivered the way that a crawl's are."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, suppress

import msgspec

from crawler.config.settings import DeliverySettings
from crawler.datahub.proposals import Proposal
from crawler.delivery.delivery import Delivery, open_delivery
from crawler.errors import CrawlerError, InputError, Interrupted
from crawler.replay.proposal_reader import DeadLetter, ProposalReader, Unreadable
from crawler.stopping import unless_stopped
from crawler.telemetry.events import Listener, RowsRead, RowsSkipped, Started
from crawler.telemetry.findings import UNREADABLE_PROPOSALS
from crawler.telemetry.report import Report

READ_BYTES = 1 << 18
MAX_ASPECTS = 200

_VERSIONED = {"mlModel", "versionSet"}
"""DataHub keeps which version of a model is the latest: two writers at once would race for it."""
_MLFLOW_MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,"
_DIGITS = "0123456789"


class Wanted(msgspec.Struct, frozen=True):
    """Which proposals are sent: those of these entity types and failure codes; where none are given, of any."""

    types: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()

    def skips(self, letter: DeadLetter) -> str | None:
        """What a proposal is skipped for, None where it is sent."""
        if self.types and letter.proposal.entity_type not in self.types:
            return "proposals of another type"
        if self.codes and letter.code not in self.codes:
            return "proposals of another code"
        return None


async def replay(
    settings: DeliverySettings, descriptor: int, wanted: Wanted, report: Report, stop: asyncio.Event
) -> None:
    """Deliver the wanted proposals that can be read from a file descriptor; `report` is told of it.

    Ends early and raises as a crawl does, and InputError where the file cannot be read any further.
    """
    report(Started(settings.run_id, settings.dry_run))
    async with AsyncExitStack() as stack:
        opening = open_delivery(settings, report, report.datahub, report.time)
        delivery = await unless_stopped(stack.enter_async_context(opening), stop)
        await delivery.deliver(ProposalFeed(descriptor, wanted, report, stop))


class ProposalChunk(msgspec.Struct, frozen=True):
    """Proposals of one entity, no aspect twice."""

    proposals: list[Proposal]

    def add_to(self, delivery: Delivery) -> None:
        """Add them to a delivery."""
        delivery.add_proposals(self.proposals, _ordering_key(self.proposals[0]))


class ProposalFeed:
    """The wanted proposals of a file: consecutive ones of one entity travel together."""

    def __init__(self, descriptor: int, wanted: Wanted, listener: Listener, stop: asyncio.Event) -> None:
        """Read from a descriptor, not beyond `stop`."""
        self._descriptor = descriptor
        self._wanted = wanted
        self._listener = listener
        self._stop = stop
        self._held: dict[str, Proposal] = {}
        """Proposals of the entity at hand, by the aspect's name."""

    async def __aiter__(self) -> AsyncIterator[ProposalChunk]:
        """Yield all of them; raise at the end what ended the reading."""
        failure: CrawlerError | None = None
        reader = ProposalReader()
        try:
            async for piece in _pieces(self._descriptor, self._stop):
                for found in reader.feed(piece):
                    for chunk in self._take(found):
                        yield chunk
            for found in reader.end():
                for chunk in self._take(found):
                    yield chunk
        except (InputError, Interrupted) as error:
            failure = error
        for chunk in self.drain():
            yield chunk
        if failure is not None:
            raise failure

    def drain(self) -> Iterator[ProposalChunk]:
        """Remove and return the entity at hand."""
        if self._held:
            proposals, self._held = list(self._held.values()), {}
            yield ProposalChunk(proposals)

    def _take(self, found: DeadLetter | Unreadable) -> Iterator[ProposalChunk]:
        """Hold a proposal that is wanted. Yields the entity before it, if it is of another one."""
        if isinstance(found, Unreadable):
            self._listener(UNREADABLE_PROPOSALS.found(f"{found.where}: {found.reason}"))
            return
        self._listener(RowsRead("proposals", 1))
        if skipped := self._wanted.skips(found):
            self._listener(RowsSkipped(skipped, 1))
            return
        proposal = found.proposal
        first = next(iter(self._held.values()), proposal)
        same = (first.entity_type, first.urn) == (proposal.entity_type, proposal.urn)
        if not same or proposal.aspect_name in self._held or len(self._held) == MAX_ASPECTS:
            yield from self.drain()
        self._held[proposal.aspect_name] = proposal


def _ordering_key(proposal: Proposal) -> str:
    """What must reach DataHub in order: an entity, and the versions of a model. The aspect that names their version set
    need not stand beside the others, so what tells it must be in the URN: those of MLflow's models end in the version,
    whichever of DataHub's sources or this crawler made them. Of all others it is not known.
    """
    if proposal.entity_type not in _VERSIONED:
        return proposal.urn
    name, _, _ = proposal.urn.removeprefix(_MLFLOW_MODEL).rpartition(",")
    model = name.rstrip(_DIGITS)
    # One set holds the versions of a model in all environments, so these are left out.
    return model if proposal.urn.startswith(_MLFLOW_MODEL) and model != name else "mlModel"


async def _pieces(descriptor: int, stop: asyncio.Event) -> AsyncIterator[bytes]:
    while True:
        await unless_stopped(_until_readable(descriptor), stop)
        try:
            piece = os.read(descriptor, READ_BYTES)
        except OSError as error:
            raise InputError(
                f"The file cannot be read further: {error.strerror}.", "Mend that, then replay it again."
            ) from None
        if not piece:
            return
        yield piece


async def _until_readable(descriptor: int) -> None:
    """Waits for whoever writes to a pipe, while the event loop goes on; a file can be read at once."""
    await asyncio.sleep(0)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    # What cannot be waited for, such as a device, is readable.
    with suppress(PermissionError):
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
