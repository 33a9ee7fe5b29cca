"""`${VAR}` as the official loader expands it: compared with it, and never an error but SettingsError."""

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
from datahub.configuration.config_loader import EnvResolver
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.config.variables import expand
from crawler.errors import SettingsError
from tests.config.recipes import loaded, recipe, refused
from tests.support.examples import examples

PIECES = [
    "$",
    "${",
    "}",
    "A",
    "B",
    ":-",
    ":=",
    ":?",
    ":+",
    ":1",
    ":",
    "-",
    "!",
    "\\",
    "'",
    '"',
    " ",
    "\n",
    "$(",
    "`",
    "é",
]
texts = st.lists(st.sampled_from(PIECES) | st.characters(exclude_categories=["Cs"]), max_size=10).map("".join)
environments = st.dictionaries(st.sampled_from(["A", "B", "AB"]), texts)


def official(document: dict[str, Any], environment: dict[str, str]) -> Any:
    """What the official loader makes of it, or its error."""
    try:
        return EnvResolver(dict(environment), register_secrets=False).resolve(document)
    except Exception as error:  # noqa: BLE001  whatever it is, ours must be a SettingsError then
        return error


@examples(1000)
@example("$A", {})
@example("${A:?no} $", {})
@example("$A${\n:?}", {})
@given(texts, environments)
def test_a_text_becomes_what_it_becomes_officially(text: str, environment: dict[str, str]) -> None:
    expected = official({"key": text}, environment)
    if isinstance(expected, Exception):
        with pytest.raises(SettingsError, match=r"^key: "):
            expand({"key": text}, environment)
    else:
        assert expand({"key": text}, environment) == expected


@examples(100)
@given(
    st.dictionaries(
        texts, st.recursive(texts | st.integers() | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=6)
    ),
    environments,
)
def test_a_document_becomes_what_it_becomes_officially(document: dict[str, Any], environment: dict[str, str]) -> None:
    expected = official(document, environment)
    if isinstance(expected, Exception):
        with pytest.raises(SettingsError):
            expand(document, environment)
    else:
        assert expand(document, environment) == expected


def test_a_variable_that_is_set_on_the_way_is_set_for_what_follows() -> None:
    environment: dict[str, str] = {}
    assert expand({"a": "${X:=1}", "b": "${X}"}, environment) == {"a": "1", "b": "1"}
    assert environment == {}


def test_expansion_cannot_change_the_structure(tmp_path: Path) -> None:
    value = "a: {b: [c\nsource: 1"
    found = loaded(tmp_path, recipe({"model_name_separator": "${X}"}), {"X": value})
    assert found.mapping.model_name_separator == value


def test_a_value_is_not_expanded_again() -> None:
    assert expand({"password": "${X}"}, {"X": "${Y} $Y $(id)"}) == {"password": "${Y} $Y $(id)"}


@pytest.mark.parametrize("text", ["$(touch ran)", "${X:-$(touch ran)}", "`touch ran`", "${X:-`touch ran`}"])
def test_nothing_is_ever_run(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with contextlib.suppress(SettingsError):
        expand({"key": text}, dict(os.environ))
    assert not (tmp_path / "ran").exists()


def test_numbers_and_truths_may_come_from_variables(tmp_path: Path) -> None:
    source = {"page_size": "${PAGE}", "max_threads": "${THREADS:-3}", "materialize_dataset_inputs": "${YES}"}
    found = loaded(tmp_path, recipe(source), {"PAGE": "77", "YES": "True"})
    assert (found.mlflow.page_size, found.mlflow.tracking.concurrency) == (77, 3)
    assert found.mapping.materialize_dataset_inputs


@pytest.mark.parametrize("text", ["${NOT_THERE}", "x${NOT_THERE}y", "${NOT_THERE:?}", "${SET}${NOT_THERE}"])
def test_an_unset_variable_is_named_with_its_place(text: str, tmp_path: Path) -> None:
    told = refused(tmp_path, recipe({"username": "u", "password": text}), {"SET": "c4n4ry"})
    assert told.startswith("source.config.password: the variable NOT_THERE is not set. Set it, or give a default")
    assert "c4n4ry" not in told


def test_an_unset_variable_in_a_list_is_named_with_its_place() -> None:
    with pytest.raises(SettingsError, match=r"^a\.b\[1\]\.c: the variable X is not set"):
        expand({"a": {"b": [0, {"c": "${X}"}]}}, {})


def test_a_password_may_begin_with_a_dollar_sign(tmp_path: Path) -> None:
    password = loaded(tmp_path, recipe({"username": "u", "password": "$ecret"})).mlflow.tracking.password
    assert password is not None
    assert password.reveal() == "$ecret"
