"""The limit in the scenarios of Vector's adaptive request concurrency, in bands; and what always holds."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.http.limiter.vegas import START, Start, Vegas
from tests.http.simulated_server import Behaviour, Seen, Simulation, best_fixed_rate

ANSWERS = 2_000
FEW = 5


class Band(msgspec.Struct):
    """What a scenario must come to, on average over its answers, the first ones included."""

    limit: tuple[float, float]
    in_flight: tuple[float, float]
    of_best_fixed: float


SCENARIOS = {
    "constant link": (Behaviour(workers=4), Band((5, 10), (4.5, 9), 0.95)),
    "one worker": (Behaviour(workers=1), Band((2, 6), (2, 6), 0.99)),
    "more workers than may be asked": (Behaviour(workers=99), Band((15, 16), (14, 16), 0.95)),
    "jitter": (Behaviour(workers=8, jitter=0.3), Band((10, 15), (9, 15), 0.95)),
    "much jitter": (Behaviour(workers=16, jitter=0.8), Band((10, 16), (10, 16), 0.65)),
    "slow link": (Behaviour(workers=4, line=0.2), Band((15, 16), (14, 16), 0.95)),
    "shallow knee": (Behaviour(workers=99, knee=4), Band((4, 10), (4, 10), 0.6)),
    "refused beyond 6": (Behaviour(workers=99, refuses_beyond=6), Band((5, 6), (5, 6), 0.95)),
    "refused beyond 2": (Behaviour(workers=99, refuses_beyond=2), Band((1.5, 2.5), (1.5, 2.5), 0.95)),
    "refused beyond 12, jitter": (Behaviour(workers=99, refuses_beyond=12, jitter=0.3), Band((10, 12), (10, 12), 0.95)),
    "pages of all sizes": (
        Behaviour(workers=4, sizes=(1_000, 300, 700, 1_300, 4_000), seconds_by_size=True),
        Band((4, 14), (4, 14), 0.9),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario(name: str, seed: int) -> None:
    server, band = SCENARIOS[name]
    seen = Simulation(Vegas(1, 16), server, seed=seed).run(ANSWERS)
    assert band.limit[0] <= seen.limit <= band.limit[1], seen
    assert band.in_flight[0] <= seen.in_flight <= band.in_flight[1], seen
    assert seen.rate >= band.of_best_fixed * best_fixed_rate(server, ANSWERS), seen
    assert seen.refused <= 0.01, seen


@pytest.mark.slow
@pytest.mark.parametrize("jitter", [0, 0.3])
@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
def test_workers_that_become_more_and_fewer_are_followed(jitter: float, seed: int) -> None:
    simulation = Simulation(Vegas(1, 16), Behaviour(), seed=seed)

    def phase(workers: int, answers: int) -> Seen:
        server = simulation.server = Behaviour(workers=workers, seconds=0.02, jitter=jitter, line=0.002)
        more = workers > 1
        seen = simulation.run(
            answers, lambda: simulation.vegas.concurrency >= workers if more else len(simulation.queue) <= FEW
        )
        assert seen.rate >= 0.9 * best_fixed_rate(server, answers), (workers, seen)
        assert seen.followed_after is not None, (workers, seen)
        assert seen.followed_after <= 10, (workers, seen)
        return seen

    phase(2, 300)
    phase(8, 1_200)
    last = phase(1, 300)
    assert last.queue <= FEW


@pytest.mark.parametrize("fixed", [1, 3, 16, 40])
def test_bounds_that_are_alike_fix_the_limit(fixed: int) -> None:
    server = Behaviour(workers=2, refuses_beyond=8)
    seen = Simulation(Vegas(fixed, fixed), server, clients=50).run(500)
    assert (seen.lowest, seen.highest) == (fixed, fixed)


@pytest.mark.parametrize(("low", "high", "start"), [(1, 16, START), (1, 2, 2), (7, 16, 7), (1, 1, 1)])
def test_the_first_limit(low: int, high: int, start: int) -> None:
    assert Vegas(low, high).limit == start


def _answer(vegas: Vegas, seconds: float = 0.1, size: int = 1_000, *, at_once: int = 1) -> None:
    for start in [vegas.start() for _ in range(at_once)]:
        vegas.answered(start, "/x", seconds, size)


def test_the_limit_does_not_grow_where_it_is_not_reached() -> None:
    vegas = Vegas(1, 16)
    for _ in range(500):
        _answer(vegas, at_once=vegas.limit - 1 or 1)
    assert vegas.concurrency == START


def test_it_grows_where_it_is_reached() -> None:
    vegas = Vegas(1, 16)
    for _ in range(5):
        _answer(vegas, at_once=vegas.limit)
    assert vegas.concurrency == 16


@pytest.mark.parametrize("ending", [Vegas.refused, Vegas.failed])
def test_it_shrinks_at_once_and_once_for_one_jam(ending: Callable[[Vegas, Start], None]) -> None:
    vegas = Vegas(1, 16)
    for _ in range(5):
        _answer(vegas, at_once=vegas.limit)
    jammed = [vegas.start() for _ in range(16)]
    ending(vegas, jammed.pop())
    assert vegas.concurrency == 11
    for start in jammed:
        ending(vegas, start)
    assert vegas.concurrency == 11
    ending(vegas, vegas.start())
    assert vegas.concurrency == 7


def test_fast_errors_do_not_look_like_a_fast_server() -> None:
    vegas = Vegas(1, 16)
    for _ in range(50):
        for start in [vegas.start() for _ in range(vegas.limit)]:
            vegas.dropped(start)
    assert vegas.concurrency == START


@pytest.mark.parametrize("factor", [0.05, 20])
def test_a_page_of_another_size_is_no_sign(factor: float) -> None:
    """One run of an experiment in between, or a heavy one: as fast or as slow as it is large."""
    vegas = Vegas(1, 16)
    for _ in range(4):
        _answer(vegas, at_once=vegas.limit)
        _answer(vegas, 0.1 * factor, int(1_000 * factor), at_once=1)
    assert vegas.concurrency == 16
    _answer(vegas, at_once=16)
    assert vegas.concurrency == 16


def test_pages_that_are_larger_from_now_on_are_no_jam() -> None:
    vegas = Vegas(1, 16)
    for size in (1_000, 10_000, 100_000):
        for _ in range(40):
            _answer(vegas, size / 10_000, size, at_once=vegas.limit)
    assert vegas.concurrency == 16


def test_each_endpoint_has_a_latency_of_its_own() -> None:
    vegas = Vegas(1, 16)
    for endpoint, seconds in (("/fast", 0.01), ("/slow", 1.0)):
        for start in [vegas.start() for _ in range(20)]:
            vegas.answered(start, endpoint, seconds, 1_000)
    assert vegas.concurrency == 16


def test_a_server_that_was_gone_for_a_while_is_asked_as_much_as_before() -> None:
    simulation = Simulation(Vegas(1, 16), Behaviour(workers=8))
    before = simulation.run(500).rate
    for _ in range(20):
        simulation.vegas.refused(simulation.vegas.start())
    simulation.run(200)
    assert simulation.run(500).rate >= 0.95 * before


ENDS = ("answered", "refused", "failed", "dropped")
SECONDS = st.floats(0, 1e6, allow_nan=False)


@given(
    st.integers(1, 20),
    st.integers(0, 20),
    st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 50), SECONDS, st.integers(0, 10**9)), max_size=200),
)
def test_the_limit_stays_within_its_bounds_whatever_happens(
    low: int, more: int, ends: list[tuple[str, int, float, int]]
) -> None:
    vegas = Vegas(low, low + more)
    under_way: list[Start] = []
    for end, started, seconds, size in ends:
        under_way += [vegas.start() for _ in range(min(started, vegas.limit - len(under_way)))]
        if not under_way:
            under_way.append(vegas.start())
        start = under_way.pop(started % len(under_way))
        before = vegas.concurrency
        if end == "answered":
            vegas.answered(start, "/x" if size % 2 else "/y", seconds, size)
            assert vegas.concurrency <= before + 1
        else:
            getattr(vegas, end)(start)
            assert vegas.concurrency <= before
        assert low <= vegas.limit <= vegas.concurrency <= low + more


def _answer_all(vegas: Vegas, answers: int) -> None:
    """A server on which nothing waits, given as many at once as the limit allows."""
    under_way = [vegas.start() for _ in range(vegas.limit)]
    for _ in range(answers):
        vegas.answered(under_way.pop(0), "/x", 0.1, 1_000)
        while len(under_way) < vegas.limit:
            under_way.append(vegas.start())
    for start in under_way:
        vegas.dropped(start)


@pytest.mark.parametrize(("refused", "back_at"), [(slice(1, 2), 15), (slice(0, 16), 15), (slice(3, 9), 15)])
def test_a_jam_counts_as_the_number_in_flight_when_it_began(refused: slice, back_at: int) -> None:
    vegas = Vegas(1, 16)
    _answer_all(vegas, 25)
    assert vegas.concurrency == 16
    burst = [vegas.start() for _ in range(16)]
    for start in burst[refused]:
        vegas.refused(start)
    for start in (each for each in burst if each not in burst[refused]):
        vegas.dropped(start)
    assert vegas.concurrency == int(16 * 0.7)
    _answer_all(vegas, 20)
    assert vegas.concurrency == back_at
