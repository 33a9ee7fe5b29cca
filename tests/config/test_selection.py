"""What of MLflow is chosen, from a recipe: patterns as DataHub's, moments, and what cannot be."""

from pathlib import Path
from typing import Any

import pytest
from datahub.configuration.common import AllowDenyPattern as Official
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.fingerprint import differences, fingerprint
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Selection, choices
from crawler.settings.since import since
from tests.config.recipes import loaded, recipe, refused
from tests.support.examples import examples

EXPRESSIONS = st.lists(st.sampled_from([".*", "a", "^a$", "B.*", ".*b$", "[ab]+$", "", "x|b", "(?-i:A)"]), max_size=3)


@examples(300)
@given(EXPRESSIONS, EXPRESSIONS, st.booleans(), st.text("aAbBx\n", max_size=4))
def test_patterns_choose_as_those_of_datahub(allow: list[str], deny: list[str], ignore_case: bool, name: str) -> None:
    ours = AllowDenyPattern(allow=tuple(allow), deny=tuple(deny), ignoreCase=ignore_case)
    official = Official(allow=allow, deny=deny, ignoreCase=ignore_case)
    assert ours.allows(name) == official.allowed(name)
    assert ours.allows_all == official.is_allow_all()


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("30d", -30 * 86_400_000),
        ("1d12h", -36 * 3_600_000),
        ("90s", -90_000),
        ("730d", -730 * 86_400_000),
        ("1970-01-02", 86_400_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01 00:00:01Z", 1_000),
    ],
)
def test_moments(text: str, start: int) -> None:
    assert since(text).start(0) == start
    moves = text[-1] in "dhs"
    assert since(text).start(5_000) == start + (5_000 if moves else 0)


REFUSED: list[tuple[dict[str, Any], str]] = [
    (recipe(options), message)
    for options, message in (
        ({"runs_since": "2026"}, "source.config.runs_since: expected a duration such as 30d, or a date"),
        ({"runs_since": 30}, "source.config.runs_since: expected a duration such as 30d, or a date"),
        ({"runs_since": "36526d"}, "source.config.runs_since: expected a duration such as 30d, or a date"),
        ({"runs_since": "2026-02-30"}, "source.config.runs_since: expected a duration such as 30d, or a date"),
        ({"max_runs_per_experiment": 0}, "source.config.max_runs_per_experiment: expected int >= 1."),
        ({"lifecycle": "active_only"}, "source.config.lifecycle: expected one of active, deleted, all."),
        (
            {"run_name_pattern": {"deny": ["ok", "("]}},
            "source.config.run_name_pattern.deny: '(' is no regular expression: missing ), unterminated subpattern",
        ),
        (
            {"experiment_pattern": {"alow": ["a"]}},
            "source.config.experiment_pattern: unknown key 'alow'. Did you mean 'a",
        ),
        (
            {"experiment_patern": {}},
            "source.config: unknown key 'experiment_patern'. Did you mean 'experiment_pattern'?",
        ),
        ({"experiment_pattern": ["prod"]}, "source.config.experiment_pattern: expected a mapping, got a list."),
    )
]


@pytest.mark.parametrize(("document", "message"), REFUSED, ids=lambda each: str(each)[:60])
def test_what_cannot_be_chosen(document: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refused(tmp_path, document).startswith(message)


def test_several_wrong_expressions_are_named_at_once(tmp_path: Path) -> None:
    wrong = {"experiment_pattern": {"allow": ["["]}, "registered_model_pattern": {"deny": ["*"]}}
    message = refused(tmp_path, recipe(wrong))
    assert "source.config.experiment_pattern.allow: '['" in message
    assert "source.config.registered_model_pattern.deny: '*'" in message


@pytest.mark.parametrize("lifecycle", ["deleted", "all"])
def test_the_trash_is_not_written_where_it_is_removed(lifecycle: str, tmp_path: Path) -> None:
    stateful = {
        "stateful_ingestion": {"enabled": True, "state_provider": {"type": "file", "config": {"filename": "c"}}}
    }
    content = recipe({"lifecycle": lifecycle, **stateful}, pipeline_name="nightly")
    assert refused(tmp_path, content).startswith(
        f"source.config.lifecycle cannot be {lifecycle} with stateful_ingestion"
    )
    assert loaded(tmp_path, recipe(stateful, pipeline_name="nightly")).removal is not None


def test_another_choice_is_another_crawl_to_a_state(tmp_path: Path) -> None:
    usual = fingerprint(loaded(tmp_path, recipe()))
    assert not any(name.startswith("source.config") for name in usual), "states of an older release are taken over"
    options = {"experiment_pattern": {"deny": ["tmp"]}, "include": {"runs": False}, "runs_since": "30d"}
    chosen = fingerprint(loaded(tmp_path, recipe(options)))
    assert differences(usual, chosen) == [
        'source.config.experiment_pattern.deny was not set and is ["tmp"]',
        "source.config.include.runs was not set and is false",
        "source.config.runs_since was not set and is 30d",
    ]


def test_what_leaves_out_runs() -> None:
    assert not Selection().leaves_out_runs
    assert choices(Selection()) == {}
    assert not Selection(registered_model_pattern=AllowDenyPattern(deny=("a",)), lifecycle="all").leaves_out_runs
