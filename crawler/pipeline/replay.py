"""A replay: the proposals of a file, delivered as those of a crawl are."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from difflib import get_close_matches
from pathlib import Path

import msgspec
from msgspec import structs

from crawler.datahub.proposals import Proposal
from crawler.delivery.dead_letters import same_target
from crawler.delivery.delivery import Delivery
from crawler.delivery.open_delivery import ASKING, open_delivery
from crawler.errors import CrawlerError, InputError, Interrupted, SettingsError
from crawler.pipeline.entities_once import EachEntityOnce
from crawler.proposal_files.input_file import (
    is_regular,
    new_dead_letters,
    open_input,
    read_pieces,
    require_not_replayed,
)
from crawler.proposal_files.proposal_json import FiledProposal
from crawler.proposal_files.proposal_reader import ProposalReader, UnreadablePart
from crawler.settings.crawl import DeliverySettings
from crawler.stopping import unless_stopped
from crawler.telemetry.events import Listener, RowsRead, RowsSkipped, Started
from crawler.telemetry.findings.delivery import NO_TARGET, UNREADABLE_PROPOSALS
from crawler.telemetry.report import Report

MAX_ASPECTS = 200

_VERSIONED = {"mlModel", "versionSet"}
"""DataHub keeps which version of a model is the latest: two writers at once would race for it."""
_WRITTEN_TYPES = frozenset(
    {
        *("container", "dataPlatformInstance", "dataProcessInstance", "dataset", "mlModel", "mlModelGroup"),
        *("platformResource", "tag", "versionSet"),
    }
)
"""The entity types of a crawl. A file may hold others, which DataHub's own sink has written."""
_MLFLOW_MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,"
_DIGITS = "0123456789"


class ReplayFilter(msgspec.Struct, frozen=True):
    """Which proposals are sent: those of these entity types and failure codes. An empty set is no restriction."""

    types: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()

    def skips(self, found: FiledProposal) -> str | None:
        """Return why a proposal is not sent, None if it is sent."""
        if self.types and found.proposal.entity_type not in self.types:
            return "proposals of another type"
        if self.codes and found.code not in self.codes:
            return "proposals of another code"
        return None


async def replay(
    file: str | Path | int,
    settings: DeliverySettings,
    *,
    only: ReplayFilter | None = None,
    unconfirmed: bool = False,
    any_target: bool = False,
    report: Report | None = None,
    stop: asyncio.Event | None = None,
) -> Report:
    """Send the proposals of a file, which is a path or an open descriptor, and return what became of them.

    What fails again goes to `settings.dead_letters`, by default the next free `FILE.N.jsonl`. With `unconfirmed`,
    DataHub is asked first, and what it has by now is not sent again. With `any_target`, dead letters that were kept for
    another DataHub are sent to this one. `stop` ends it early.

    Example:
        report = await replay("dead-letters.jsonl", load("recipe.yml"))
        print(report.status, report.proposals, report.rejected)

    Raises:
        SettingsError: The file cannot be opened, or is the one that dead letters would be added to; it has dead letters
            for another target; DataHub cannot be asked; or `only` names an entity type that is neither in the file nor
            one that a crawl writes. The others are sent then.
        InputError: The file cannot be read to its end.
        Interrupted: It was stopped.
        CrawlerError: DataHub, or the output, fails for good.
    """
    report = Report(settings.run_id) if report is None else report
    stop = stop or asyncio.Event()
    report(Started(settings.run_id, settings.dry_run))
    async with AsyncExitStack() as stack:
        if not isinstance(file, int):
            report.replayed = file = Path(file)
            dead_letters = settings.dead_letters or new_dead_letters(file, settings.run_id)
            require_not_replayed(dead_letters, "dead letters", file)
            settings = structs.replace(settings, dead_letters=dead_letters)
            file = stack.enter_context(open_input(file))
        # A file is no catalog: what is in it can be looked at before it is sent anywhere.
        target = settings.sink.target if settings.sink.is_resumable and not any_target else None
        if target is not None and is_regular(file):
            await _require_target(file, target, stop)
        opening = open_delivery(settings, EachEntityOnce(report), report.datahub, report.time)
        delivery = await unless_stopped(stack.enter_async_context(opening), stop)
        if unconfirmed and not delivery.can_recheck:
            raise SettingsError(
                "--unconfirmed asks DataHub for what it has, and that cannot be asked here.",
                f"{ASKING} Or leave --unconfirmed out to send everything again.",
            )
        feed = ProposalFeed(file, only or ReplayFilter(), report, stop, unconfirmed=unconfirmed, target=target)
        await delivery.deliver(feed, stop)
        feed.require_known_types()
    report.finish()
    return report


class ProposalChunk(msgspec.Struct, frozen=True):
    """Proposals of one entity, no aspect twice; those of `unconfirmed` are sent if DataHub does not have them."""

    found: list[FiledProposal]
    unconfirmed: bool = False

    def add_to(self, delivery: Delivery) -> None:
        """Add them to a delivery."""
        proposals = [each.proposal for each in self.found]
        ordering_key = _ordering_key(proposals[0])
        if self.unconfirmed:
            times = [each.last_observed for each in self.found]
            delivery.add_unconfirmed(
                proposals, ordering_key, None if None in times else max(each for each in times if each is not None)
            )
        else:
            delivery.add_proposals(proposals, ordering_key)


class ProposalFeed:
    """The proposals of a file: consecutive ones of one entity travel together, one entity one request at a time."""

    def __init__(
        self,
        descriptor: int,
        only: ReplayFilter,
        listener: Listener,
        stop: asyncio.Event,
        *,
        unconfirmed: bool = False,
        target: str | None = None,
    ) -> None:
        """Read from a descriptor, not beyond `stop`, nor beyond a dead letter for another target than this, if given.

        With `unconfirmed`, DataHub may have them by now.
        """
        self._descriptor = descriptor
        self._only = only
        self._listener = listener
        self._stop = stop
        self._unconfirmed = unconfirmed
        self._target = target
        self._types: set[str] = set()
        self._held: dict[str, FiledProposal] = {}
        """Proposals of the entity at hand, by the aspect's name."""

    async def __aiter__(self) -> AsyncIterator[ProposalChunk]:
        """Yield all of them; raise at the end what ended the reading."""
        failure: CrawlerError | None = None
        try:
            async for found in _read(self._descriptor, self._stop):
                for chunk in self._take(found):
                    yield chunk
        except (InputError, Interrupted, SettingsError) as error:
            failure = error
        for chunk in self.drain():
            yield chunk
        if failure is not None:
            raise failure

    def require_known_types(self) -> None:
        """Raise SettingsError for an entity type that was asked for, but is not known and not in the file."""
        for unknown in sorted(self._only.types - self._types - _WRITTEN_TYPES):
            near = get_close_matches(unknown, self._types | _WRITTEN_TYPES, n=1)
            there = f"In the file are: {', '.join(sorted(self._types)) or 'none'}."
            raise SettingsError(
                f"--type: no proposal of the file is of the type {unknown!r}, which a crawl does not write either.",
                f"Did you mean {near[0]!r}?" if near else there,
            )

    def drain(self) -> Iterator[ProposalChunk]:
        """Remove and return the entity at hand."""
        if self._held:
            found, self._held = list(self._held.values()), {}
            yield ProposalChunk(found, self._unconfirmed)

    def _take(self, found: FiledProposal | UnreadablePart) -> Iterator[ProposalChunk]:
        """Hold a proposal that is to be sent. Yields the entity before it, if it is of another one."""
        if isinstance(found, UnreadablePart):
            self._listener(UNREADABLE_PROPOSALS.found(f"{found.where}: {found.reason}"))
            return
        if self._target is not None:
            _check_target(found, self._target)
            if found.code and not found.target:
                self._listener(NO_TARGET.found(found.proposal.urn))
        self._listener(RowsRead("proposals", 1))
        self._types.add(found.proposal.entity_type)
        if skipped := self._only.skips(found):
            self._listener(RowsSkipped(skipped, 1))
            return
        proposal = found.proposal
        first = next(iter(self._held.values()), found).proposal
        same = (first.entity_type, first.urn) == (proposal.entity_type, proposal.urn)
        if not same or proposal.aspect_name in self._held or len(self._held) == MAX_ASPECTS:
            yield from self.drain()
        self._held[proposal.aspect_name] = found


async def _read(descriptor: int, stop: asyncio.Event) -> AsyncIterator[FiledProposal | UnreadablePart]:
    reader = ProposalReader()
    async for piece in read_pieces(descriptor, stop):
        for found in reader.feed(piece):
            yield found
    for found in reader.end():
        yield found


async def _require_target(descriptor: int, target: str, stop: asyncio.Event) -> None:
    """Read a regular file once more, to find what is for another target before anything is sent."""
    begin = os.lseek(descriptor, 0, os.SEEK_CUR)
    async for found in _read(descriptor, stop):
        if isinstance(found, FiledProposal):
            _check_target(found, target)
    os.lseek(descriptor, begin, os.SEEK_SET)


def _check_target(found: FiledProposal, target: str) -> None:
    if found.target and not same_target(found.target, target):
        raise SettingsError(
            f"The file has dead letters that were kept for {found.target}, and they would be sent to {target}.",
            "Name the DataHub that they are for, or give --any-target to send them here.",
        )


def _ordering_key(proposal: Proposal) -> str:
    """Return the key of what must reach DataHub in order: an entity, and the versions of a model.

    The aspect that names the version set need not stand beside the others, so the URN must tell it: those of MLflow's
    models end in the version, whichever of DataHub's sources or this crawler made them. Of others it is not known.
    """
    if proposal.entity_type not in _VERSIONED:
        return proposal.urn
    name, _, _ = proposal.urn.removeprefix(_MLFLOW_MODEL).rpartition(",")
    model = name.rstrip(_DIGITS)
    # One set holds the versions of a model in all environments, so these are left out.
    return model if proposal.urn.startswith(_MLFLOW_MODEL) and model != name else "mlModel"
