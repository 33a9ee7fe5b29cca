"""Counts each entity of a file once, however many places of the file have something of it."""

from msgspec import structs

from crawler.telemetry.events import Event, Listener, Outcome, Outcomes


class EachEntityOnce:
    """Hands events on, without what was counted before of the same entity.

    A file of dead letters has an entity once for each crawl that failed with it. It counts as delivered with the first
    of its places that is delivered whole. Memory grows by about 80 bytes for each entity.
    """

    def __init__(self, listener: Listener) -> None:
        """Hand on to `listener`."""
        self._listener = listener
        self._delivered: set[int] = set()
        self._unconfirmed: set[int] = set()

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        self._listener(Outcomes([*map(self._news, event.entities)]) if isinstance(event, Outcomes) else event)

    def _news(self, outcome: Outcome) -> Outcome:
        counted = self._unconfirmed if outcome.unconfirmed else self._delivered
        if outcome.rejected and not outcome.unconfirmed:
            return outcome
        urn_hash = hash(outcome.urn)
        if urn_hash in counted:
            return structs.replace(outcome, delivered=0, unconfirmed=0)
        counted.add(urn_hash)
        return outcome
