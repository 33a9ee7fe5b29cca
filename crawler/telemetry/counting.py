"""Adds events to a tally."""

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter

from crawler.telemetry.events import (
    DeadLettersKept,
    Event,
    Outcome,
    Outcomes,
    OutputLost,
    ProposalsDecided,
    RunReadAgain,
    UnconfirmedKept,
)
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.tally import Tally

_kind = attrgetter("entity_type", "verification_method", "is_removal")


def count(event: Event, tally: Tally) -> None:
    """Add what an event says to the tally, if it concerns it."""
    match event:
        case ProposalsDecided():
            tally.proposals += event.delivered
            tally.rejected += event.rejected
            tally.unconfirmed_proposals += event.unconfirmed
        case RunReadAgain():
            tally.read_again.add(event.urn)
        case Outcomes():
            _count_outcomes(event.entities, tally)
        case OutputLost():
            tally.lose_delivered()
        case Finding():
            tally.add_finding(event)
        case DeadLettersKept():
            tally.dead_letters += event.count
            tally.dead_letters_path = event.path
        case UnconfirmedKept():
            tally.unconfirmed_path = event.path
        case _:
            pass


def _count_outcomes(outcomes: Sequence[Outcome], tally: Tally) -> None:
    if tally.read_again:
        outcomes = [each for each in outcomes if _is_news(each, tally)]
    whole = [each for each in outcomes if each.delivered and not each.rejected and not each.unconfirmed]
    if len(whole) < len(outcomes):
        tally.unconfirmed += sum(each.unconfirmed > 0 for each in outcomes)
        tally.unchanged.update(each.entity_type for each in outcomes if each.is_unchanged)
    for (entity_type, method, is_removal), count_of_kind in Counter(map(_kind, whole)).items():
        if is_removal:
            tally.removed[entity_type] += count_of_kind
            continue
        tally.delivered[entity_type] += count_of_kind
        if method is not None:
            tally.confirmed[entity_type][method] += count_of_kind


def _is_news(outcome: Outcome, tally: Tally) -> bool:
    """Return whether an outcome is to be counted: what a run came to that was read again, only if it was not whole."""
    if outcome.is_removal or outcome.urn not in tally.read_again:
        return True
    tally.read_again.remove(outcome.urn)
    return bool(outcome.rejected or outcome.unconfirmed)
