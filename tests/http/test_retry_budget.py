"""The token bucket that bounds the retries to one server."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.http.retry_budget import CAPACITY, RETRY_COST, TIMEOUT_COST, RetryBudget

EVENTS = st.lists(st.sampled_from(["retry", "timeout", "success"]), max_size=1_500)


def test_a_full_bucket_pays_for_a_hundred_retries_or_fifty_after_timeouts() -> None:
    budget = RetryBudget()
    assert sum(budget.take(timed_out=False) for _ in range(1_000)) == CAPACITY // RETRY_COST == 100
    budget = RetryBudget()
    assert sum(budget.take(timed_out=True) for _ in range(1_000)) == CAPACITY // TIMEOUT_COST == 50


def test_a_bucket_with_too_little_for_a_timeout_still_pays_for_another_retry() -> None:
    budget = RetryBudget(capacity=RETRY_COST)
    assert not budget.take(timed_out=True)
    assert budget.take(timed_out=False)


@given(EVENTS, st.integers(0, CAPACITY))
def test_tokens_stay_within_bounds_and_pay_for_what_was_granted(events: list[str], capacity: int) -> None:
    budget = RetryBudget(capacity)
    spent = came_back = 0
    for event in events:
        before = budget.tokens
        if event == "success":
            budget.succeeded()
            assert budget.tokens == min(before + 1, capacity)
            came_back += budget.tokens - before
        else:
            cost = TIMEOUT_COST if event == "timeout" else RETRY_COST
            granted = budget.take(timed_out=event == "timeout")
            assert granted is (before >= cost)
            assert budget.tokens == before - cost * granted
            spent += cost * granted
        assert 0 <= budget.tokens <= capacity
    assert spent <= capacity + came_back
    assert budget.tokens == capacity - spent + came_back


@given(EVENTS)
def test_retries_are_at_most_a_fifth_of_the_successes_beyond_the_first_hundred(events: list[str]) -> None:
    budget = RetryBudget()
    granted = sum(budget.take(timed_out=False) for event in events if event != "success" or budget.succeeded())  # type: ignore[func-returns-value]
    assert granted <= CAPACITY // RETRY_COST + events.count("success") / RETRY_COST
