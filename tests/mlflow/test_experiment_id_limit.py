"""How many experiments a search may name is what the server says, or what it is seen to take."""

import pytest

from crawler.errors import RequestRefused
from crawler.mlflow.experiment_id_limit import ExperimentIdLimit


def refusal(answer: str = "", status: int = 400) -> RequestRefused:
    return RequestRefused("MLflow refuses it.", status=status, answer=answer)


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        ("Too many experiment_ids specified in SearchRuns request. Maximum 20. Found 100", 20),
        ("INVALID_PARAMETER_VALUE: experiment_ids may hold at most 10 items.", 10),
        ("API 2.0 takes no more than 30 (limit 30.)", 30),
        ("The number of experiments exceeds what is allowed", 50),
        ("Experiment 17 is of another kind", 50),
        ("Maximum 1000", 50),
        ("", 50),
    ],
)
def test_a_refusal_names_its_number_or_halves_ours(answer: str, ids: int) -> None:
    limit = ExperimentIdLimit()
    limit.refused(100, refusal(answer))
    assert limit.ids == ids


def test_what_was_taken_is_not_given_up() -> None:
    limit = ExperimentIdLimit()
    limit.accepted(9)
    limit.refused(12, refusal())
    assert limit.ids == 9
    limit.refused(5, refusal())
    assert limit.ids == 9


def test_one_that_is_refused_alone_was_the_reason() -> None:
    limit = ExperimentIdLimit()
    for ids in (100, 50, 25, 13, 6, 3):
        limit.refused(ids, refusal())
    assert limit.ids == 1
    limit.refused(1, refusal())
    assert limit.ids == 100


def test_a_number_that_was_told_stays() -> None:
    limit = ExperimentIdLimit()
    limit.refused(100, refusal("Maximum 10"))
    limit.refused(1, refusal())
    assert limit.ids == 10


@pytest.mark.parametrize("status", [403, 404, 413, 500])
def test_other_refusals_say_nothing_about_the_number(status: int) -> None:
    limit = ExperimentIdLimit()
    limit.refused(100, refusal("Maximum 10", status))
    assert limit.ids == 100
