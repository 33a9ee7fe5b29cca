"""Counts that a resumed crawl goes on with."""

from collections import Counter

import pytest

from crawler.checkpoint.kept_tally import decode_tally, encode_tally
from crawler.telemetry.tally import Tally

RUN = "dataProcessInstance"


@pytest.mark.parametrize(
    ("most", "delivered", "read_back", "answer"),
    [(10, 9, 6, 3), (9, 9, 6, 3), (7, 7, 4, 3), (2, 2, 0, 2), (0, 0, 0, 0)],
)
def test_what_is_delivered_once_more_counts_once(most: int, delivered: int, read_back: int, answer: int) -> None:
    tally = Tally(delivered=Counter({RUN: 9, "tag": 4}))
    tally.confirmed[RUN] = Counter({"read back": 6, "answer": 3})
    tally.count_at_most(RUN, most)
    assert tally.delivered == Counter({RUN: delivered, "tag": 4})
    assert (tally.confirmed[RUN]["read back"], tally.confirmed[RUN]["answer"]) == (read_back, answer)


@pytest.mark.parametrize(("most", "delivered", "unchanged"), [(9, 4, 5), (7, 4, 3), (4, 4, 0), (3, 3, 0)])
def test_what_has_not_changed_counts_once_too(most: int, delivered: int, unchanged: int) -> None:
    tally = Tally(delivered=Counter({RUN: 4}), unchanged=Counter({RUN: 5, "tag": 1}))
    tally.count_at_most(RUN, most)
    assert tally.delivered == Counter({RUN: delivered})
    assert tally.unchanged == Counter({RUN: unchanged, "tag": 1})
    assert decode_tally(encode_tally(tally)).unchanged == tally.unchanged
