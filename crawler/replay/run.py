"""A replay: the proposals of a file, delivered as those of a crawl are."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import msgspec
from msgspec import structs

from crawler.config.settings import DeliverySettings
from crawler.datahub.proposals import Proposal
from crawler.delivery import Delivery, deliver, open_delivery
from crawler.replay.input_file import new_dead_letters, open_input, read_pieces, require_not_replayed
from crawler.replay.proposal_json import FiledProposal
from crawler.replay.proposal_reader import ProposalReader, UnreadablePart
from crawler.telemetry.findings import UNREADABLE_PROPOSALS
from crawler.telemetry.report import CrawlReport

MAX_ASPECTS = 200

_VERSIONED = {"mlModel", "versionSet"}
"""DataHub keeps which version of a model is the latest: two writers at once would race for it."""
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
    file: Path | int,
    settings: DeliverySettings,
    *,
    only: ReplayFilter | None = None,
    report: CrawlReport | None = None,
    stop: asyncio.Event | None = None,
) -> CrawlReport:
    """Send the proposals of a file, which is a path or an open descriptor, and return what became of them.

    What fails again goes to `settings.dead_letters`, by default the next free `FILE.N.jsonl`. `stop` ends it early.

    Example:
        settings = load_delivery(Path("recipe.yml"), os.environ, Flags())
        report = await replay(Path("mlflow-datahub-dead-letters.jsonl"), settings)
        print(report.status, report.proposals, report.rejected)

    Raises:
        SettingsError: The file cannot be opened, or is the one that dead letters would be added to.
        InputError: The file cannot be read to its end.
        Interrupted: It was stopped.
        CrawlerError: DataHub, or the output, fails for good.
    """
    report = CrawlReport(settings.run_id) if report is None else report
    report.run_id = settings.run_id
    stop = stop or asyncio.Event()
    with ExitStack() as stack:
        if isinstance(file, Path):
            report.replayed = file
            dead_letters = settings.dead_letters or new_dead_letters(file)
            require_not_replayed(dead_letters, "dead letters", file)
            settings = structs.replace(settings, dead_letters=dead_letters)
            file = stack.enter_context(open_input(file))
        async with open_delivery(settings, report, stop) as delivery:
            await deliver(_FileFeed(file, only or ReplayFilter(), delivery, report), delivery, stop)
    report.finish("failures" if report.failures else "success")
    return report


class _FileFeed:
    """Fills a delivery from a file.

    Consecutive proposals of one entity travel together, and those of one entity one request at a time.
    """

    def __init__(self, descriptor: int, only: ReplayFilter, delivery: Delivery, report: CrawlReport) -> None:
        self._descriptor = descriptor
        self._only = only
        self._delivery = delivery
        self._report = report
        self._held: dict[str, Proposal] = {}
        """Proposals of the entity at hand, by the aspect's name."""

    async def read(self) -> None:
        """Add everything. Raises InputError."""
        reader = ProposalReader()
        async for piece in read_pieces(self._descriptor):
            for found in reader.feed(piece):
                self._take(found)
                await self._delivery.settle()
        for found in reader.end():
            self._take(found)

    async def deliver_held(self) -> None:
        """Add the entity at hand."""
        self._hand_on()
        await self._delivery.settle()

    def add_held(self) -> None:
        """Add the entity at hand, where nothing is delivered any more."""
        self._hand_on()

    def _take(self, found: FiledProposal | UnreadablePart) -> None:
        if isinstance(found, UnreadablePart):
            self._report.fail(UNREADABLE_PROPOSALS.code, UNREADABLE_PROPOSALS.message, f"{found.where}: {found.reason}")
            return
        self._report.read["proposals"] += 1
        if skipped := self._only.skips(found):
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
