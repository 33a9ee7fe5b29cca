"""Other answers of both servers: versions, what DataHub took and has, refusals, redirects, pauses."""

import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from multidict import CIMultiDict

from crawler.datahub import batch_bisection as apart
from crawler.datahub import readback
from crawler.datahub.client import GmsClient
from crawler.datahub.versions import reads_back, require_openapi, unsupported_aspects
from crawler.datahub.wire import openapi
from crawler.errors import CrawlerError, DecodeError, RequestRefused, WrongServer
from crawler.http.error_text import LENGTH, error_excerpt
from crawler.http.failures import RETRY_AFTER_CAP, retry_after
from crawler.http.redaction import Redactor
from crawler.http.responses import Response, ResponseClassifier
from crawler.mlflow.client import MlflowClient
from crawler.telemetry.timing import Timing
from tests.fuzz.decoding import Counts
from tests.fuzz.promises import can_be_told, is_plain, promise
from tests.fuzz.proposals import OBSERVED, SENT
from tests.fuzz.seeds import SECRET

PATH = "/api/2.0/mlflow/runs/search"
STATUSES = (200, 302, 400, 401, 403, 404, 413, 422, 429, 500, 503)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

_redact = Redactor([SECRET])


class _Server:
    """A server that answers everything with one body, through the real judge."""

    url = "http://server"
    limit = 1

    def __init__(self, body: bytes) -> None:
        self._response = Response(200, body, CIMultiDict())
        self._judge = ResponseClassifier("The server", self.url, "no credentials", _redact)

    async def get(self, path: str, *_: object) -> Response:
        return self._judge.check(self._response, path)


def version(body: bytes, counts: Counts) -> None:
    """MLflow's /version: a short text, or none."""
    server: Any = _Server(body)
    told = _result(MlflowClient(server, server, 10, Timing()).version())
    counts["decoded: /version" if told else "refused: /version (not told)"] += 1
    if told:
        can_be_told(told)
        promise(len(told) < 40, "a version is a long text")


def config(body: bytes, counts: Counts) -> None:
    """GMS' /config, and what its version says of it."""
    server: Any = _Server(body)
    try:
        told = _result(GmsClient(server).version())
    except WrongServer as error:
        is_plain(str(error))
        counts["refused: /config (wrong_server)"] += 1
        return
    counts["decoded: /config"] += 1
    unsupported_aspects(told)
    reads_back(told)
    can_be_told(told or "")
    try:
        require_openapi(told)
    except CrawlerError as error:
        can_be_told(str(error))


def listing(body: bytes, counts: Counts) -> None:
    """OpenAPI's answer to a batch: whatever it does not list is told."""
    missing = openapi.left_out(SENT, [body])
    if missing is None:
        counts["refused: openapi's answer (no list)"] += 1
        return
    counts["decoded: openapi's answer"] += 1
    listed = _by_urn(body)
    if listed is not None:
        sent = [(parcel.urn, openapi._name(proposal)) for parcel in SENT.entities for proposal in parcel.proposals]
        promise(missing == [(urn, name) for urn, name in sent if name not in listed.get(urn, {})], "a drop is not seen")


def stored(body: bytes, counts: Counts) -> None:
    """What GMS reads back: nothing is proven that it does not say."""
    try:
        proven = readback.prove(body, OBSERVED).proven
    except DecodeError as error:
        counts["refused: read back (unexpected_answer)"] += 1
        can_be_told(str(error))
        return
    counts["decoded: read back"] += 1
    listed = _by_urn(body)
    if listed is not None:
        promise(all(name in listed.get(urn, {}) for urn, name in proven), "more is proven than was read back")


def refusal(body: bytes, counts: Counts) -> None:
    """A server's own words, and the error that a crawl makes of them."""
    words = error_excerpt(body, _redact)
    is_plain(words)
    promise(len(words) <= LENGTH, "words are too many")
    promise(SECRET not in words, "words hold a secret")
    apart.named(SENT, words)
    for status in STATUSES:
        for headers in ({}, {"Content-Type": "text/html", "Location": "/login"}):
            _judged(Response(status, body, CIMultiDict(headers)), counts)


def location(body: bytes, counts: Counts) -> None:
    """Where a redirect leads to, whatever stands there."""
    for text in (_header(body), body.decode("latin-1")):
        _judged(Response(307, b"", CIMultiDict({"Location": text})), counts)


def wait(body: bytes, counts: Counts) -> None:
    """How long a server asks to wait."""
    seconds = retry_after({"Retry-After": _header(body)}, NOW)
    counts["decoded: Retry-After" if seconds is not None else "refused: Retry-After (not told)"] += 1
    promise(seconds is None or 0 <= seconds <= RETRY_AFTER_CAP, f"a pause of {seconds} s")


ANSWERS: dict[str, Callable[[bytes, Counts], None]] = {
    "version": version,
    "config": config,
    "listing": listing,
    "stored": stored,
    "refusal": refusal,
    "location": location,
    "wait": wait,
}


def _judged(response: Response, counts: Counts) -> None:
    judge = ResponseClassifier("MLflow", "http://server", "a token", _redact)
    try:
        judge.check(response, PATH)
    except CrawlerError as error:
        counts[f"refusals and redirects told ({error.code})"] += 1
        can_be_told(str(error))
        promise(SECRET not in str(error), "an error holds a secret")
        if isinstance(error, RequestRefused):
            is_plain(error.answer)
            is_plain(error.body)
            promise(SECRET not in error.body, "what is searched of an answer holds a secret")


def _header(body: bytes) -> str:
    """A header's value as aiohttp gives it."""
    return body.decode("utf-8", "surrogateescape")


def _by_urn(body: bytes) -> dict[str, dict[str, Any]] | None:
    """What an answer lists, as Python's JSON reads it; None where it cannot."""
    try:
        entities = json.loads(body)
        listed: dict[str, dict[str, Any]] = {}
        for entity in entities:
            listed.setdefault(entity["urn"], {}).update(entity)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return listed


def _result(asked: Coroutine[Any, Any, str | None]) -> str | None:
    """What a question gives that waits for nothing."""
    try:
        asked.send(None)
    except StopIteration as answered:
        return answered.value  # type: ignore[no-any-return]
    raise AssertionError("the server does not answer at once")
