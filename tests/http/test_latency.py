"""Latencies of one endpoint: only like sizes are compared, and what is usual may change."""

import pytest

from crawler.http.limiter.latency import OTHER_SIZES_TO_ADOPT, Latency


@pytest.fixture
def latency() -> Latency:
    usual = Latency()
    assert usual.restarts(1.0, 1_000)
    return usual


@pytest.mark.parametrize("size", [1, 499, 2_001, 10**9])
def test_another_size_cannot_be_compared(latency: Latency, size: int) -> None:
    assert latency.scaled(1.0, size) is None


@pytest.mark.parametrize(("size", "scaled"), [(500, 1.414), (1_000, 1.0), (2_000, 0.707)])
def test_a_size_that_is_alike_is_scaled_by_its_square_root(latency: Latency, size: int, scaled: float) -> None:
    assert latency.scaled(1.0, size) == pytest.approx(scaled, abs=0.001)


def test_sizes_that_stay_different_are_the_usual_ones_from_then_on(latency: Latency) -> None:
    assert not any(latency.restarts(9.0, 9_000) for _ in range(OTHER_SIZES_TO_ADOPT - 1))
    assert not latency.restarts(1.0, 1_100)
    assert [latency.restarts(9.0, 9_000) for _ in range(OTHER_SIZES_TO_ADOPT)] == [False] * (
        OTHER_SIZES_TO_ADOPT - 1
    ) + [True]
    assert latency.scaled(9.0, 9_000) == 9.0
    assert latency.scaled(1.0, 1_000) is None


def test_the_share_that_waited(latency: Latency) -> None:
    assert latency.waiting_share(4.0) == 0.75
    latency.set_idle(2.0)
    assert latency.waiting_share(4.0) == 0.5


def test_a_faster_server_is_believed_by_and_by(latency: Latency) -> None:
    assert latency.waiting_share(0.5) < 0
    for _ in range(200):
        latency.waiting_share(0.5)
    assert latency.waiting_share(1.0) == pytest.approx(0.5, abs=0.01)
