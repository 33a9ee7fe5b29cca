"""How soon a number of requests that was refused is tried again."""

from crawler.http.limiter.refusal_ceiling import ANSWERS_TO_RISE, RISE_SPEEDUP, RefusalCeiling


def _highest(ceiling: RefusalCeiling) -> int:
    return next(number for number in range(1, 100) if not ceiling.allows(number + 1))


def _answer(ceiling: RefusalCeiling, answers: int) -> None:
    for _ in range(answers):
        ceiling.answered(_highest(ceiling))


def test_everything_is_allowed_until_something_is_refused() -> None:
    assert RefusalCeiling().allows(1_000_000)


def test_the_lowest_number_that_was_refused_counts() -> None:
    ceiling = RefusalCeiling()
    for in_flight in (9, 7, 8):
        ceiling.refused(in_flight)
    assert _highest(ceiling) == 6


def test_one_more_is_tried_with_patience_and_then_ever_sooner() -> None:
    ceiling = RefusalCeiling()
    ceiling.refused(7)
    _answer(ceiling, ANSWERS_TO_RISE - 1)
    assert _highest(ceiling) == 6
    _answer(ceiling, 1)
    assert _highest(ceiling) == 7
    _answer(ceiling, ANSWERS_TO_RISE // RISE_SPEEDUP)
    assert _highest(ceiling) == 8
    ceiling.refused(9)
    _answer(ceiling, ANSWERS_TO_RISE - 1)
    assert _highest(ceiling) == 8


def test_answers_to_fewer_requests_at_once_tell_nothing() -> None:
    ceiling = RefusalCeiling()
    ceiling.refused(7)
    for _ in range(10 * ANSWERS_TO_RISE):
        ceiling.answered(5)
    assert _highest(ceiling) == 6


def test_a_lone_request_that_is_refused_was_not_one_too_many() -> None:
    ceiling = RefusalCeiling()
    ceiling.refused(3)
    ceiling.refused(1)
    assert ceiling.allows(1_000_000)
