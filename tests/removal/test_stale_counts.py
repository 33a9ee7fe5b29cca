"""What vanished is counted by type and reason, and each reason has words."""

from crawler.removal.stale import Why
from crawler.telemetry.events import StaleFound
from crawler.telemetry.stale_counts import StaleCounts
from crawler.telemetry.summary import WHY


def test_every_reason_has_words() -> None:
    assert set(WHY) == set(Why) - {Why.PARTIAL}, "of what a partial crawl had no reason to meet nothing is told"


def test_counts_add_up_and_samples_are_few() -> None:
    counts = StaleCounts()
    for start in (0, 4):
        counts(StaleFound("mlModel", "absent", is_removed=True, urns=[str(start + each) for each in range(4)]))
    counts(StaleFound("mlModel", "rights", is_removed=False, urns=["x"]))
    assert counts.to_dict() == {
        "to_remove": [{"entity_type": "mlModel", "why": "absent", "count": 8, "samples": ["0", "1", "2", "3", "4"]}],
        "kept": [{"entity_type": "mlModel", "why": "rights", "count": 1, "samples": ["x"]}],
    }
