"""A replay: the proposals of a file, delivered the way that a crawl's are."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec

from crawler.config.settings import DeliverySettings
from crawler.datahub.proposals import Proposal
from crawler.delivery import Delivery, deliver, open_delivery
from crawler.errors import InputError
from crawler.replay.proposal_reader import DeadLetter, ProposalReader, Unreadable
from crawler.telemetry.report import CrawlReport

READ_BYTES = 1 << 18
MAX_ASPECTS = 200

_UNREADABLE = "Parts of the file are no proposals that can be read, so they were not sent."
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
    settings: DeliverySettings, descriptor: int, wanted: Wanted, report: CrawlReport, stop: asyncio.Event
) -> None:
    """Delivers the wanted proposals that can be read from a file descriptor; what happened is in `report`. Ends early
    and raises as a crawl does, and InputError where the file cannot be read further.
    """
    async with open_delivery(settings, report, stop) as delivery:
        await deliver(_Letters(descriptor, wanted, delivery, report), delivery, stop)


class _Letters:
    """Fills a delivery from a file: consecutive proposals of one entity travel together, and one entity's proposals one
    request at a time.
    """

    def __init__(self, descriptor: int, wanted: Wanted, delivery: Delivery, report: CrawlReport) -> None:
        self._descriptor = descriptor
        self._wanted = wanted
        self._delivery = delivery
        self._report = report
        self._held: dict[str, Proposal] = {}
        """Proposals of the entity at hand, by the aspect's name."""

    async def read(self) -> None:
        """Adds everything. Raises InputError."""
        reader = ProposalReader()
        async for piece in _pieces(self._descriptor):
            for found in reader.feed(piece):
                self._take(found)
                await self._delivery.settle()
        for found in reader.end():
            self._take(found)

    async def deliver_held(self) -> None:
        """Adds the entity at hand."""
        self._hand_on()
        await self._delivery.settle()

    def add_held(self) -> None:
        """Adds the entity at hand, which is not delivered any more."""
        self._hand_on()

    def _take(self, found: DeadLetter | Unreadable) -> None:
        if isinstance(found, Unreadable):
            self._report.fail("unreadable_proposals", _UNREADABLE, f"{found.where}: {found.reason}")
            return
        self._report.read["proposals"] += 1
        if skipped := self._wanted.skips(found):
            self._report.skipped[skipped] += 1
            return
        self._hold(found.proposal)

    def _hold(self, proposal: Proposal) -> None:
        first = next(iter(self._held.values()), proposal)
        same = (first.entity_type, first.urn) == (proposal.entity_type, proposal.urn)
        if not same or proposal.aspect_name in self._held or len(self._held) == MAX_ASPECTS:
            self._hand_on()
        self._held[proposal.aspect_name] = proposal

    def _hand_on(self) -> None:
        if not self._held:
            return
        proposals = list(self._held.values())
        self._held.clear()
        self._delivery.add_proposals(proposals, _ordering_key(proposals[0]))


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


async def _pieces(descriptor: int) -> AsyncIterator[bytes]:
    while True:
        await _until_readable(descriptor)
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
