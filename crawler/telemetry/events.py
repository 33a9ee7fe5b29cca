"""What a crawl or a replay tells while it works, a batch at a time, to whoever listens."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.tally import SAMPLES, Tally

Row = TypeVar("Row")


class Started(msgspec.Struct, frozen=True):
    """The work begins. `run_id` is that of the crawl that is resumed, of which `resumed` has the counts, if one is.

    `runs_expected` is how many runs the last whole crawl of this server read, where its state tells. `since` is from
    when on (ms since epoch) what may have changed is read, None where everything is. `chosen` says what of MLflow is
    read, by option, where that is not all; `leaves_out_runs` whether there may be other runs than are read.
    """

    run_id: str
    dry_run: bool = False
    resumed: Tally | None = None
    runs_expected: int | None = None
    since: int | None = None
    chosen: dict[str, str] = {}
    leaves_out_runs: bool = False


class RowsRead(msgspec.Struct, frozen=True):
    """Rows of one listing, which is named as in `mlflow.resources`, or proposals of a file were read."""

    resource: str
    count: int


class RowsSkipped(msgspec.Struct, frozen=True):
    """Rows were read that are not crawled; `what` they are, "deleted runs" for example, and what some are called."""

    what: str
    count: int
    samples: Sequence[str] = ()


def rows_left_out(resource: str, rows: Sequence[Row], name_of: Callable[[Row], str]) -> RowsSkipped:
    """Return what tells of rows of a listing that were read and are not chosen."""
    return RowsSkipped(f"{resource.replace('_', ' ')} left out", len(rows), [*map(name_of, rows[:SAMPLES])])


class EntitiesMapped(msgspec.Struct, frozen=True):
    """Entities of one type were mapped and encoded; they wait to be sent."""

    entity_type: str
    count: int


class RunReadAgain(msgspec.Struct, frozen=True):
    """A run is read and sent once more, which this crawl counted before it was interrupted."""

    urn: str


class ExperimentsListed(msgspec.Struct, frozen=True):
    """All experiments are known from now on."""


class ExperimentDone(msgspec.Struct, frozen=True):
    """All runs of an experiment are read, or as many as can be."""


class SourceOpened(msgspec.Struct, frozen=True):
    """MLflow answers. `version` is None where it does not say."""

    url: str
    version: str | None


class WorkspacesChosen(msgspec.Struct, frozen=True):
    """MLflow has workspaces: those that are read, in this order, and those that are left out, as far as it lists any.

    Not one of others if the settings name the only one.
    """

    read: list[str]
    left_out: list[str] = []


class OutputOpened(msgspec.Struct, frozen=True):
    """The sink is open. `target` is its URL or path, `version` DataHub's, None where none is told."""

    target: str
    version: str | None = None


class OutputLost(msgspec.Struct, frozen=True):
    """The output could not be written to its end: what was told as delivered to it is not there."""


class BatchTaken(msgspec.Struct, frozen=True):
    """The sink took a batch."""


class OutputProbed(msgspec.Struct, frozen=True):
    """A dry run has asked DataHub how fast it answers.

    It took `answer_s` seconds for a small answer. A crawl would have at most `concurrency` requests in flight, and look
    up what was sent if it `confirms`.
    """

    answer_s: float
    concurrency: int
    confirms: bool


class BatchPlanned(msgspec.Struct, frozen=True):
    """In a dry run, a batch would be sent: its proposals by entity type, its requests and their bytes."""

    proposals: dict[str, int]
    requests: int
    bytes: int


class Unverified(msgspec.Struct, frozen=True):
    """How many entities wait to be seen in DataHub, which took them, and the bytes of them that are on the disk."""

    entities: int
    disk_bytes: int


class QueueSeen(msgspec.Struct, frozen=True):
    """How many proposals, of all writers, are in DataHub's queue."""

    lag: int


class ProposalsDecided(msgspec.Struct, frozen=True):
    """Proposals are delivered, or rejected: refused by DataHub, not sent, or not stored; or were not confirmed."""

    delivered: int = 0
    rejected: int = 0
    unconfirmed: int = 0


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What became of one entity, of which nothing is under way any more.

    `delivered`, `rejected` and `unconfirmed` count its proposals. `verification_method` says how DataHub was seen to
    have those that were delivered: "read back", "stored", "present", "answer", "status" or "written". The rejected ones
    are in the dead letters, those that DataHub took and was not seen to have in time in the file of the unconfirmed;
    `kept` is False where they could not be written there, so that a resumed crawl must send the entity again.
    `is_removal` tells an entity that was only marked as removed, `is_unchanged` one that was not sent, since the
    state tells that DataHub has it as it is.

    Example:
        outcome = Outcome("tag", "urn:li:tag:mlflow_production", delivered=2, verification_method="read back")
        assert not outcome.rejected
    """

    entity_type: str
    urn: str
    delivered: int
    rejected: int = 0
    verification_method: str | None = None
    kept: bool = True
    unconfirmed: int = 0
    is_removal: bool = False
    is_unchanged: bool = False


class Outcomes(msgspec.Struct, frozen=True):
    """The outcomes of a batch of entities.

    Example:
        urns = []

        def note(event):
            if isinstance(event, Outcomes):
                urns.extend(outcome.urn for outcome in event.entities if outcome.delivered)

        await crawl(load("recipe.yml"), listeners=[note])
        assert urns
    """

    entities: list[Outcome]


class StaleFound(msgspec.Struct, frozen=True):
    """Entities of one type that MLflow has no more, or does not list: to be marked as removed, or kept, and why."""

    entity_type: str
    why: str
    is_removed: bool
    urns: list[str]


class DeadLettersKept(msgspec.Struct, frozen=True):
    """Proposals were added to the file of dead letters and are on the disk."""

    path: Path
    count: int


class UnconfirmedKept(msgspec.Struct, frozen=True):
    """Proposals that DataHub took, but was not seen to have, were added to their file and are on the disk."""

    path: Path
    count: int


Event = (
    Started
    | Finding
    | RowsRead
    | RowsSkipped
    | EntitiesMapped
    | RunReadAgain
    | ExperimentsListed
    | ExperimentDone
    | SourceOpened
    | WorkspacesChosen
    | OutputOpened
    | OutputLost
    | OutputProbed
    | BatchPlanned
    | BatchTaken
    | ProposalsDecided
    | Outcomes
    | StaleFound
    | DeadLettersKept
    | UnconfirmedKept
    | Unverified
    | QueueSeen
)


class Listener(Protocol):
    """A function of one event, which must not block.

    Example:
        def print_failures(event):
            if isinstance(event, Finding) and event.severity == "failure":
                print(event.message, event.sample)

        report = await crawl(load("recipe.yml"), listeners=[print_failures])
    """

    def __call__(self, event: Event, /) -> None:
        """Hear of an event."""


def tell_all(listeners: Iterable[Listener]) -> Listener:
    """Return one listener that hands each event to all, in order."""
    each = tuple(listeners)

    def tell(event: Event) -> None:
        for listener in each:
            listener(event)

    return tell
