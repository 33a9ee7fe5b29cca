"""Values, texts and pieces of bodies that some reader somewhere does not expect."""

from typing import Any

NUMBERS = (
    0, -1, 1.5, 2**53 + 1, 2**62 - 1, 2**62, 2**63, 2**64, -(2**62), -(2**63) - 1, 10**30, 1e308, 5e-324, -0.0,
    float("nan"), float("inf"), float("-inf"),
)  # fmt: skip
VERBATIM = (
    b"1e999", b"-1e999", b"1e-999", b"9" * 400, b"9" * 5_000, b"-0", b"01", b"1.", b".5", b"0x1F", b"+1", b"1e",
    b"nan", b"-NaN", b"inf", b"True", b"undefined", b"", b"'a'", b"// c\n1", b"1 2", b'"\x00"', b'"\x1b[2J"', b'"\n"',
    b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"',
    b'"\\x41"', b'"\\', b'"\\u12"', b'"',
)  # fmt: skip
"""Values that are no JSON, or only just."""

DEPTHS = (10, 300, 600, 1_200, 20_000)
TEXTS = (
    "", " ", "\t", "\r\n", "\x00", "\x07", "\x1b[2J\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\u202e", "\u2028",
    "\ufeff", "\ud800", "\udfff", "a\ud83d", "😀", "é", "실", "␟", ",", ",,", "(", ")", "%2C", "%28,%29", "'",
    '"', "\\", "\\u0000", "/", "#", "?", "&#27;", "<script>", "</", "urn:li:tag:", "urn:li:dataPlatform:", "{", "[1]",
    "null", "NaN", "-inf", "0", "-5", "1e3", "1795520082105", "9" * 30, "9" * 5_000, "٣", "²", "None", "deleted",
    "Infinity", "true", "n" * 300, "n" * 510, "😀" * 45, "%" * 200, "~" * 170, "x" * 5_000,
    "mlflow.parentRunId", "mlflow.note.content",
)  # fmt: skip
KEYS = (
    "runs", "info", "data", "run_id", "name", "version", "key", "value", "tags", "next_page_token", "dataset", "schema",
    "", "unknown", "\x1b[31m", "\ud800", "_", "Name", "run_uuid", "urn", "noCode", "versions", "systemMetadata",
)  # fmt: skip
JUNK: tuple[Any, ...] = (None, True, False, 0, -1, 1.5, "", "x", "null", [], {}, [[]], [None], [{}], {"a": 1}, {"": []})
PIECES = (
    b"NaN", b"null", b"[", b"]", b"{", b"}", b'"', b"'", b",", b":", b"\\", b"\\u", b"\\ud800", b"1e999", b"-", b".",
    b"\x00", b"\xff", b"\x80", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc3", b"\x1b[31m", b"\r", b"\n", b"\x7f", b"\x9b",
    b"<script>", b"</script>", b"<!--", b"&#27;", b"&#xD800;", b"&nbsp;", b"<", b"9" * 40, b"[" * 2_000, b'{"a":' * 500,
)  # fmt: skip
"""Bytes to put between others."""
