"""The bodies that mutations begin with: answers of real servers, cut to a few rows so that each change can matter."""

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec

RECORDED = Path(__file__).parent / "recorded"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks" / "recorded"
MOST_ROWS = 4
TOKENS = ("eyJvZmZzZXQiOiAxfQ==", "eyJvZmZzZXQiOiAyMDB9", "CiQ4ZjE0ZTQ1Zi1jZWVh", "")

SECRET = "pa55-w0rd&<x>"
VERSIONS = (b"3.17.2", b"2.20.4", b"2.0.0rc1", b"1.30\n", b"<html>")
CONFIGS = tuple(
    json.dumps(config).encode()
    for config in (
        {
            "models": {},
            "patchCapable": True,
            "versions": {"acryldata/datahub": {"version": "v1.7.0", "commit": "0" * 40}},
            "timeZone": "GMT",
            "datahub": {"serverEnv": "core", "serverType": "quickstart"},
            "retention": "true",
            "noCode": "true",
        },
        {"noCode": "true", "versions": {"linkedin/datahub": {"version": "v0.9.6.1"}}},
        {"noCode": "true"},
    )
)
_UNPRIVILEGED = (
    b'{"exceptionClass":"com.linkedin.restli.server.RestLiServiceException","message":"User urn:li:corpuser:datahub is '
    b"unauthorized to modify entity: HttpStatus: 403 Urn: urn:li:tag:mlflow_none, HttpStatus: 403 Urn: "
    b'urn:li:tag:mlflow_staging","status":403}'
)
GMS_REFUSALS = (
    _UNPRIVILEGED,
    b'{"error":"Validation Error","message":"Failed to validate entity URN urn:li:tag:a"}',
    b'{"servlet":"apiServlet","message":"Not Found","url":"/aspects","status":"404"}',
    b"<html><head><style>b {}</style><title>413 Request Entity Too Large</title></head><body>nginx</body></html>",
)
ECHO = json.dumps({"error_code": "PERMISSION_DENIED", "message": f"No user with {SECRET}"}).encode()
LOCATIONS = (
    b"https://login.example.com/oauth2?x=1",
    b"/login",
    b"http://user:pa55@h:1/api/2.0/mlflow",
    b"//h/\xff",
    b"",
)
WAITS = (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:00 +0130", b"1.5", b"-1", b"")


class Recording(msgspec.Struct, frozen=True):
    """What one server listed, row by row, and how it refuses."""

    runs: list[msgspec.Raw]
    experiments: list[msgspec.Raw]
    registered_models: list[msgspec.Raw]
    model_versions: list[msgspec.Raw]
    refusals: list[str] = []


def recordings() -> list[Recording]:
    """One for each server whose answers are kept, oldest version first."""
    kept = [msgspec.json.decode(path.read_bytes(), type=Recording) for path in sorted(RECORDED.glob("*.json"))]
    pages: dict[str, Any] = {}
    for path in sorted(BENCHMARKS.glob("*.json")):
        pages |= msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
    pages.pop("next_page_token", None)
    benchmark = {name: msgspec.json.decode(rows, type=list[msgspec.Raw]) for name, rows in pages.items()}
    return [*kept, msgspec.convert(benchmark, Recording)]


def page(dice: Random, rows: str, listed: list[msgspec.Raw]) -> bytes:
    """A page with a few neighbours of what was listed, and perhaps a token."""
    first = dice.randrange(len(listed))
    some = b",".join(map(bytes, listed[first : first + dice.randint(1, MOST_ROWS)]))
    token = dice.choice(TOKENS)
    more = b',"next_page_token":"%b"' % token.encode() if token else b""
    return b'{"%b":[%b]%b}' % (rows.encode(), some, more)
