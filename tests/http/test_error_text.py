"""A server's words about a refusal, made fit to be shown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.http.error_text import LENGTH, error_excerpt
from crawler.http.redaction import Redactor

_nothing = Redactor([])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No run"}',
            "RESOURCE_DOES_NOT_EXIST: No run",
        ),
        (b'{"message": "two\\nlines\\u001b[31m"}', "two lines [31m"),
        (b'{"error": "Bad Request", "status": 400}', "Bad Request"),
        (b'{"message": null, "error": "e"}', "e"),
        (b'{"detail": "d"}', "d"),
        (b'{"other": 1}', '{"other": 1}'),
        (b'["x"]', '["x"]'),
        (b"plain", "plain"),
        (b"", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (
            b"<html><style>b {}</style><h1>502 Bad&nbsp;Gateway</h1>\r\n<p>x &amp; y</html>",
            "502 Bad Gateway x & y",
        ),
        (b"[" * 100_000, "[" * (LENGTH - 1) + "…"),
    ],
)
def test_words(body: bytes, words: str) -> None:
    assert error_excerpt(body, _nothing) == words


def test_a_secret_at_the_cut_is_found() -> None:
    body = json.dumps({"message": "x" * (LENGTH - 5) + "s3cret-token"}).encode()
    assert "s3c" not in error_excerpt(body, Redactor(["s3cret-token"]))


def test_a_secret_split_by_markup_is_found() -> None:
    assert error_excerpt(b"s3&#99;ret", Redactor(["s3cret"])) == "***"


@given(st.binary() | st.text().map(str.encode))
def test_words_are_one_short_printable_line(body: bytes) -> None:
    words = error_excerpt(body, _nothing)
    assert len(words) <= LENGTH
    assert words.isprintable()
