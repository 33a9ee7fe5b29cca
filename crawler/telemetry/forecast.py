"""What a dry run foresees: the requests that a crawl would send to DataHub, and the least time that it takes."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from crawler.telemetry.events import BatchPlanned, Event, OutputProbed

LOOKED_UP_AT_ONCE = 500
"""Entities of one type that are looked up with one request to confirm them."""


class Forecast(msgspec.Struct):
    """Requests that write, with their bytes and proposals by entity type, as they would be sent.

    `answer_s` is how long DataHub takes for a small answer, None where it was not asked; `concurrency` how many
    requests may be in flight, `confirms` whether entities are looked up.
    """

    requests: int = 0
    bytes: int = 0
    proposals: Counter[str] = msgspec.field(default_factory=Counter)
    answer_s: float | None = None
    concurrency: int = 1
    confirms: bool = False

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        match event:
            case BatchPlanned():
                self.requests += event.requests
                self.bytes += event.bytes
                self.proposals.update(event.proposals)
            case OutputProbed():
                self.answer_s, self.concurrency, self.confirms = event.answer_s, event.concurrency, event.confirms
            case _:
                pass

    def lookups(self, entities: Mapping[str, int]) -> int:
        """Return how many requests confirm so many entities by type, at least."""
        return sum(-(-count // LOOKED_UP_AT_ONCE) for count in entities.values()) if self.confirms else 0

    def seconds(self, reading_s: float, entities: Mapping[str, int]) -> float | None:
        """Return the least time of a crawl that reads in `reading_s`; None where DataHub was not asked.

        Reading and writing go on beside each other. An answer to a full request takes longer than a small one: how much
        longer, only a crawl shows.
        """
        if self.answer_s is None:
            return None
        return max(reading_s, (self.requests + self.lookups(entities)) * self.answer_s / self.concurrency)

    def to_dict(self, reading_s: float, entities: Mapping[str, int]) -> dict[str, object]:
        """Return it as the report has it; sizes in bytes, times in seconds."""
        least = self.seconds(reading_s, entities)
        return {
            "entities": dict(entities),
            "proposals": dict(self.proposals),
            "requests": self.requests,
            "lookups": self.lookups(entities),
            "bytes": self.bytes,
            "answer_s": None if self.answer_s is None else round(self.answer_s, 4),
            "least_s": None if least is None else round(least, 3),
        }
