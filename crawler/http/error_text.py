"""Extracts the error text of a response: an excerpt for people, and the whole of it for programs. Pure."""

import html
import re

import msgspec

from crawler.http.redaction import Redactor

LENGTH = 500
WHOLE_LENGTH = 64_000

# The patterns below look ahead for an end tag; a bounded text keeps that cheap whatever the server sends.
_TEXT_READ = 8_000
_INVISIBLE_ELEMENT = re.compile(r"<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")


def error_excerpt(body: bytes, redact: Redactor) -> str:
    """Return error code and message of a JSON body, else its text: one line, no markup, no secrets.

    At most LENGTH characters.
    """
    text = _json_text(body)
    line = _one_line(_page_text(body) if text is None else text[:_TEXT_READ])
    # Shortened last: half a secret would not be recognised.
    redacted = redact(line)
    return redacted if len(redacted) <= LENGTH else redacted[: LENGTH - 1] + "…"


def error_text(body: bytes, redact: Redactor) -> str:
    """Return the whole text for programs to search, without secrets and control characters.

    At most WHOLE_LENGTH characters.
    """
    text = _json_text(body)
    if text is None:
        text = body.decode("utf-8", errors="replace")
    # Read beyond the end, so that a secret that crosses it is known as one.
    return _printable(redact(text[: 2 * WHOLE_LENGTH]))[:WHOLE_LENGTH]


def _json_text(body: bytes) -> str | None:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    code, message = answer.get("error_code"), _first_text(answer, "message", "error", "detail")
    parts = [part for part in (code, message) if isinstance(part, str) and part]
    return ": ".join(parts) or None


def _first_text(answer: dict[str, object], *keys: str) -> str | None:
    found = (answer.get(key) for key in keys)
    return next((text for text in found if isinstance(text, str) and text), None)


def _page_text(body: bytes) -> str:
    text = body[:_TEXT_READ].decode("utf-8", errors="replace")
    return html.unescape(_TAG.sub(" ", _INVISIBLE_ELEMENT.sub(" ", text)))


def _one_line(text: str) -> str:
    return " ".join(_printable(text).split())


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
