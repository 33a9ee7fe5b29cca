"""Secrets are found in every form in which a server may echo them."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.http.redaction import Redactor

# A secret made of the mask's own stars could not be told from the mask.
_SECRETS = st.lists(st.text(st.characters(exclude_characters="*", codec="utf-8"), min_size=1), max_size=5)


@pytest.mark.parametrize(
    "form", [str, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), html.escape, quote]
)
def test_quoted_forms_are_found(form: Callable[[str], str]) -> None:
    secret = 'p&ä"s <w> d'
    shown = Redactor([secret])(f"before {form(secret)} after")
    assert shown.replace('"', "") == "before *** after"


def test_the_longer_secret_goes_first() -> None:
    assert Redactor(["abc", "abcdef"])("abcdef abc") == "*** ***"


@pytest.mark.parametrize("secrets", [[], [""]])
def test_no_secrets_change_nothing(secrets: list[str]) -> None:
    assert Redactor(secrets)("text") == "text"


@given(_SECRETS, st.lists(st.text(), min_size=6, max_size=6))
def test_no_secret_is_left(secrets: list[str], between: list[str]) -> None:
    text = "".join(f"{piece}{secret}" for piece, secret in zip(between, [*secrets, ""], strict=False))
    shown = Redactor(secrets)(text)
    assert not any(secret in shown for secret in secrets)
