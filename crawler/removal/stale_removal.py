"""The stale removal of one crawl, from the last checkpoint to the next one. It asks nobody: others do, and tell it."""

from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from crawler.datahub.proposals import Entity, removal_of
from crawler.removal.crawl_record import CrawlRecord
from crawler.removal.own_kinds import compare_own, decide_own
from crawler.removal.stale import (
    RUN,
    Absent,
    Evidence,
    Verdict,
    Why,
    compare,
    decide,
    decide_on_runs,
    hides_experiments,
    is_removable,
    type_of,
)
from crawler.telemetry.events import Event, Listener, Outcomes, StaleFound
from crawler.telemetry.findings.removal import (
    REMOVAL_AFTER_FAILURE,
    REMOVAL_EMPTY_LISTING,
    REMOVAL_RIGHTS,
    REMOVAL_THRESHOLD,
)

_TOLD = {
    Why.FAILURE: REMOVAL_AFTER_FAILURE,
    Why.EMPTY_LISTING: REMOVAL_EMPTY_LISTING,
    Why.RIGHTS: REMOVAL_RIGHTS,
}


class StaleRemoval:
    """What a crawl lists, held against the last checkpoints. It is a listener of the crawl.

    `record` is what the crawl lists. `old` is the last checkpoint, `old_own` that of kinds that the official connector
    does not know.
    """

    def __init__(
        self,
        threshold: float,
        separator: str,
        unread: Collection[str] = frozenset(),
        left_out: Collection[str] = frozenset(),
    ) -> None:
        """`threshold` is the percentage that may vanish; `separator` stands between name and version in URNs.

        `unread` are entity types of the last checkpoint of which the crawl reads nothing. Of the kinds of the other
        one, those that are `left_out` are not read by choice.
        """
        self.record = CrawlRecord()
        self._unread = unread
        self.old: Sequence[str] = ()
        self.old_own: Sequence[str] = ()
        self._left_out = left_out
        self._removed: set[str] = set()
        """What was delivered as removed."""
        self._threshold = threshold
        self._separator = separator
        self._kept: dict[str, None] = {}
        self._unfinished: dict[str, None] = {}
        """What is to be removed and was not delivered yet."""
        self._containers: list[str] = []
        """Those that are to be removed."""
        self._runs_left = 0
        """How many runs are to be removed with these and were not delivered yet."""
        self._is_decided = False

    def __call__(self, event: Event) -> None:
        """Note what the crawl reads, what fails, and which removals were delivered."""
        self.record(event)
        if isinstance(event, Outcomes):
            for outcome in event.entities:
                if outcome.is_removal and outcome.delivered and not (outcome.rejected or outcome.unconfirmed):
                    self._unfinished.pop(outcome.urn, None)
                    if outcome.entity_type != RUN:
                        self._removed.add(outcome.urn)
                    elif self._runs_left:
                        self._runs_left -= 1

    def expect_runs(self, count: int) -> None:
        """Note that so many runs are about to be removed: before that, no container is done with."""
        self._runs_left += count

    def absent(self) -> Absent:
        """Return what of the last checkpoint was not listed."""
        return compare(
            self.old,
            self.record.all_urns,
            self._separator,
            is_partial=self.record.is_partial or self.record.leaves_out_workspaces,
            left_out=self.record.left_out,
            unread=self._unread,
        )

    def decide(self, absent: Absent, evidence: Evidence) -> list[Verdict]:
        """Decide on each entity that is absent."""
        return decide(absent, self._threshold, evidence)

    def absent_own(self) -> Absent:
        """Return what of the other checkpoint was not listed: nothing is known of workspaces that are left out."""
        if self.record.leaves_out_workspaces:
            return Absent([], 0.0, groups={}, unlisted_groups=frozenset())
        return compare_own(self.old_own, self.record.all_urns, self._left_out, is_partial=self.record.is_partial)

    def decide_own(self, own: Absent, absent: Absent, evidence: Evidence) -> list[Verdict]:
        """Decide on each entity of the other checkpoint that is absent; `absent` are those of the official one."""
        hides = hides_experiments(absent, evidence)
        return decide_own(own, self.record.own, self._threshold, evidence, hides_experiments=hides)

    def decide_on_runs(self, unseen: int, known: int, absent: Absent, evidence: Evidence) -> Why:
        """Decide on runs that are known and that MLflow does not list: ABSENT to remove them, or why they are kept."""
        return decide_on_runs(unseen, known, absent, self._threshold, evidence)

    def conclude(self, verdicts: Iterable[Verdict], percent: float, listener: Listener) -> list[Entity]:
        """Tell the verdicts, and return the entities that mark what is stale as removed."""
        self._is_decided = True
        verdicts = list(verdicts)
        self._kept = {verdict.urn: None for verdict in verdicts if not verdict.is_removed}
        self._unfinished = {verdict.urn: None for verdict in verdicts if verdict.is_removed}
        self._containers = [urn for urn in self._unfinished if type_of(urn) == "container"]
        return self.removals(verdicts, percent, listener)

    def removals(self, verdicts: Collection[Verdict], percent: float, listener: Listener) -> list[Entity]:
        """Tell verdicts, and return the entities that mark what is stale as removed."""
        for event in stale_found(verdicts):
            listener(event)
            self.tell_why(Why(event.why), event.urns[0], len(event.urns), percent, listener)
        return [removal_of(type_of(verdict.urn), verdict.urn) for verdict in verdicts if verdict.is_removed]

    def tell_why(self, why: Why, first: str, count: int, percent: float, listener: Listener) -> None:
        """Tell why so many entities are kept of which MLflow has none, where somebody has to look at that."""
        if why is Why.THRESHOLD:
            sample = f"{percent:.1f} % of the last crawl's entities are gone, {self._threshold:g} % may be."
            listener(REMOVAL_THRESHOLD.found(sample, count))
        elif (kind := _TOLD.get(why)) is not None:
            listener(kind.found(first, count))

    def next_checkpoint(self) -> list[str]:
        """Return the URNs of the next checkpoint: what was listed, and of the last one what was not removed."""
        absent = None if self._is_decided else self.absent()
        kept = [*self._kept, *self._unfinished] if absent is None else [*absent.urns, *absent.left_out]
        if self._runs_left:
            # By these the next crawl knows that it has to read the runs of deleted experiments once more.
            kept = list(dict.fromkeys([*kept, *self._containers]))
        return [*self.record.urns, *kept]

    def next_own_checkpoint(self) -> list[str]:
        """Return the URNs of the other checkpoint: what was listed, and of the last one what was not removed."""
        moved = self.record.urns.keys()
        kept = (urn for urn in self.old_own if is_removable(urn) and urn not in self._removed and urn not in moved)
        return list(dict.fromkeys([*self.record.own, *kept]))


def stale_found(verdicts: Collection[Verdict]) -> Iterable[StaleFound]:
    """Yield the verdicts by entity type and reason, but for entities that a partial crawl had no reason to meet."""

    def key(verdict: Verdict) -> tuple[bool, str, str]:
        return not verdict.is_removed, type_of(verdict.urn), verdict.why

    told = sorted((each for each in verdicts if each.why is not Why.PARTIAL), key=key)
    for (is_kept, entity_type, why), group in groupby(told, key):
        yield StaleFound(entity_type, why, not is_kept, [verdict.urn for verdict in group])
