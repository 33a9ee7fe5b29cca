"""What vanished from MLflow, by entity type and reason: how many entities, and a few of them."""

import msgspec

from crawler.telemetry.events import Event, StaleFound
from crawler.telemetry.logs import encodable
from crawler.telemetry.tally import SAMPLES


class StaleCount(msgspec.Struct):
    """Entities of one type that are removed, or kept, for one reason."""

    entity_type: str
    why: str
    is_removed: bool
    count: int = 0
    samples: list[str] = []


class StaleCounts:
    """A listener that adds up what is told of entities that vanished."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, bool], StaleCount] = {}

    def __call__(self, event: Event) -> None:
        """Count the entities of an event."""
        if not isinstance(event, StaleFound):
            return
        key = (event.entity_type, event.why, event.is_removed)
        found = self._counts.setdefault(key, StaleCount(*key))
        found.count += len(event.urns)
        found.samples = [*found.samples, *map(encodable, event.urns[:SAMPLES])][:SAMPLES]

    def of(self, *, is_removed: bool) -> list[StaleCount]:
        """Return those that are removed, or kept, in the order in which they were found."""
        return [each for each in self._counts.values() if each.is_removed is is_removed]

    def to_dict(self) -> dict[str, object]:
        """Return both as the report has them."""
        return {
            "to_remove": [_shown(each) for each in self.of(is_removed=True)],
            "kept": [_shown(each) for each in self.of(is_removed=False)],
        }


def _shown(each: StaleCount) -> dict[str, object]:
    return {"entity_type": each.entity_type, "why": each.why, "count": each.count, "samples": each.samples}
