"""What the bytes of a page tell of its runs: never that there is none of what a run has."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mapping.cleaning import clean_run
from crawler.mlflow.decoding import decode_runs
from crawler.mlflow.entities import PARENT_TAG
from crawler.mlflow.run_traits import RunTraits, traits_of
from tests.support.examples import examples

PLAIN = RunTraits(may_have_parents=False, may_have_credentials=False)


def page(*texts: str, key: str = "k", ascii_only: bool = True) -> bytes:
    """A page of one run that has the texts as values of tags."""
    run = {"info": {"run_id": "r1"}, "data": {"tags": [{"key": key, "value": text} for text in texts]}}
    return json.dumps({"runs": [run]}, ensure_ascii=ascii_only).encode()


@pytest.mark.parametrize(
    "texts",
    [
        ("https://example.com/x", "ann@example.com"),
        ("ann@example.com", "https://example.com/x"),
        ("Zo\u00eb <zoe@example.com>", '[{"name": "x"}]'),
        ("100 % of 2540", "a\nb", "\u65e5\u672c"),
        (),
    ],
)
def test_most_pages_have_nothing_to_look_for(texts: tuple[str, ...]) -> None:
    assert traits_of(page(*texts)) == PLAIN


def test_a_page_tells_of_parents_and_of_credentials() -> None:
    assert traits_of(page("r2", key=PARENT_TAG)) == RunTraits(may_have_parents=True, may_have_credentials=False)
    assert traits_of(page("https://u:p@h")) == RunTraits(may_have_parents=False, may_have_credentials=True)
    assert traits_of(page("ann@example.com, https://u:p@h")).may_have_credentials


@pytest.mark.parametrize("sign", "@%/:.m~")
def test_a_page_that_escapes_what_need_not_be_tells_nothing(sign: str) -> None:
    assert traits_of(page("x").replace(b"x", f"\\u{ord(sign):04x}".encode())) == RunTraits()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-be"])
def test_a_page_that_is_not_utf_8_tells_nothing(encoding: str) -> None:
    body = page("r2", key=PARENT_TAG).decode().encode(encoding)
    assert decode_runs(body).rows[0].data.tags[0].value == "r2"
    assert traits_of(body) == RunTraits()


words = st.text(max_size=20)
marks = st.sampled_from(["://", "@", ":", "/", "\\", '"', "'", "%3A%2F%2F", "%40", "%2540", "%252540", "https", "\n"])
texts = st.lists(words | marks, max_size=12).map("".join)


@examples(500)
@given(st.lists(texts, min_size=1, max_size=3), st.booleans())
def test_what_is_cleaned_is_told(values: list[str], ascii_only: bool) -> None:
    body = page(*(value.encode(errors="replace").decode() for value in values), ascii_only=ascii_only)
    assert traits_of(body).may_have_credentials or not any(clean_run(run)[1] for run in decode_runs(body).rows)
