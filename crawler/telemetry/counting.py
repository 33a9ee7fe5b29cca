"""Adds events to a tally."""

from collections.abc import Iterable

from crawler.telemetry.events import DeadLettersKept, Event, Outcome, Outcomes, ProposalsDecided, UnconfirmedKept
from crawler.telemetry.findings import Finding
from crawler.telemetry.tally import Tally


def count(event: Event, tally: Tally) -> None:
    """Add what an event says to the tally, if it concerns it."""
    match event:
        case ProposalsDecided():
            tally.proposals += event.delivered
            tally.rejected += event.rejected
            tally.unconfirmed_proposals += event.unconfirmed
        case Outcomes():
            _count_outcomes(event.entities, tally)
        case Finding():
            tally.add_finding(event)
        case DeadLettersKept():
            tally.dead_letters += event.count
            tally.dead_letters_path = event.path
        case UnconfirmedKept():
            tally.unconfirmed_path = event.path
        case _:
            pass


def _count_outcomes(outcomes: Iterable[Outcome], tally: Tally) -> None:
    for outcome in outcomes:
        tally.unconfirmed += bool(outcome.unconfirmed)
        if outcome.delivered and not outcome.rejected and not outcome.unconfirmed:
            tally.delivered[outcome.entity_type] += 1
            if outcome.verification_method is not None:
                tally.confirmed[outcome.entity_type][outcome.verification_method] += 1
