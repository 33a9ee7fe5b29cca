r"""User names and passwords within the URLs of a text: `https://ann:secret@host/x` becomes `https://host/x`. Pure.

Works on the JSON of any value, so that one pass covers every text in it, JSON within JSON (`https:\/\/…`) and URLs
within URLs (`https%3A%2F%2F…`) too. Where a text can be read in two ways, it is read as one that holds a secret.
"""

import re

import msgspec

_USER_IS_NO_SECRET = frozenset(
    b"ssh sftp scp rsync git git+ssh ssh+git svn+ssh s3 s3a s3n gs abfs abfss wasb wasbs adl hdfs viewfs dbfs".split()
)
"""Schemes in which what stands before the `@`, without a password, is a login name or a part of the address."""

_END = rb"\x00-\x20\"<>"
_CHARACTER = rb"(?:[^'/?#\\" + _END + rb"]|\\\\|'(?![,;:)\]}\\" + _END + rb"]))"
_NO_PORT = rb"(?!\d{0,5}(?:[,/?#'\\" + _END + rb"]|$))"
# A password that should have been percent-encoded: what looks like a host has no port behind its colon.
_UNESCAPED = rb"[^'/?#\\:@\[\]" + _END + rb"]+:" + _NO_PORT + rb"[^\\" + _END + rb"]{0,512}"
_PLAIN = re.compile(rb"(:(?:\\*/){2})(" + _CHARACTER + rb"+|" + _UNESCAPED + rb")@")
_ENCODED_AT = rb"%(?:25)*40"
_ENCODED = re.compile(
    rb"(%(?:25)*3a(?:%(?:25)*2f){2})((?:(?!%(?:25)*(?:2f|3f|23|20|22|0a))[^'/?#\\&"
    + _END
    + rb"])+)(?:@|"
    + _ENCODED_AT
    + rb")",
    re.IGNORECASE,
)
_COLON = re.compile(rb":|%(?:25)*3a", re.IGNORECASE)
_SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*\Z", re.IGNORECASE)
_LONGEST_SCHEME = 20
_MANY_SIGNS = 10_000
"""What takes longer to look at one by one than to search for URLs."""


def may_have_credentials(encoded: bytes) -> bool:
    """Return True for all JSON that `strip_json` would change, and at little cost False for nearly all other."""
    start = 0
    for _ in range(_MANY_SIGNS):
        if (end := encoded.find(b"@", start)) < 0:
            return b"%" in encoded and re.search(_ENCODED_AT, encoded) is not None
        # User info holds no quote, and stands behind the slashes of its URL.
        text = encoded[max(start, encoded.rfind(b'"', start, end)) : end]
        if b"/" in text or b"%" in text:
            return True
        start = end + 1
    return True


def strip_json(encoded: bytes) -> tuple[bytes, int]:
    """Return JSON without the user info of its URLs, and how many URLs had some."""
    removed = 0

    def stripped(found: re.Match[bytes]) -> bytes:
        nonlocal removed
        separator, user_info = found.groups()
        before = found.string[max(found.start() - _LONGEST_SCHEME, 0) : found.start()]
        scheme = _SCHEME.search(before)
        if scheme and scheme[0].lower() in _USER_IS_NO_SECRET and not _COLON.search(user_info):
            return found[0]
        removed += 1
        return bytes(separator)

    for pattern in (_PLAIN, _ENCODED):
        encoded = pattern.sub(stripped, encoded)
    return encoded, removed


def strip_text(text: str) -> str:
    """Return a text without the user info of its URLs."""
    encoded, _ = strip_json(msgspec.json.encode(text))
    return msgspec.json.decode(encoded, type=str)
