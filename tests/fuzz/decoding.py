"""MLflow's pages through the real decoders and cursors: each row is read or named, or the whole is a named error."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from crawler.errors import CrawlerError, DecodeError, ServerError
from crawler.mlflow import decoding as pages
from crawler.mlflow.decoding import Page
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.by_creation import LoggedModelCursor
from crawler.mlflow.paging.keyset import RunCursor
from crawler.mlflow.paging.offset import OffsetCursor
from crawler.mlflow.resources import RESOURCES
from tests.fuzz.promises import can_be_told, promise

MEANT_DEPTH = 150
"""Whoever nests deeper means ill, and may lose the page."""

Counts = Counter[str]

DECODERS: dict[str, Callable[[bytes], Page[Any]]] = {name: each.decode for name, each in RESOURCES.items()}
LISTS = {
    "logged_models": "models",
    "prompts": "registered_models",
    "prompt_versions": "model_versions",
    "evaluation_datasets": "datasets",
}
"""What the list of an answer is called, where it is not called as the listing."""
_UNKNOWN = object()


def read(kind: str, body: bytes, counts: Counts) -> list[Any]:
    """The rows that a crawl would go on with, through its own cursor."""
    page = decode_page(kind, body, counts)
    if page is None:
        return []
    if len(body) % 4 == 0:
        same_row_by_row(kind, body, page)
    try:
        return taken(kind, page)
    except (ServerError, DecodeError) as error:
        can_be_told(str(error))
        counts[f"refused: {kind} ({error.code})"] += 1
        return []


def read_on(kind: str, bodies: Sequence[bytes], counts: Counts) -> None:
    """These bodies as one listing's pages, one behind the other, however little they fit together."""
    cursor = _cursor(kind)
    try:
        for body in bodies:
            if (cursor.token if isinstance(cursor, OffsetCursor) else cursor.query) is None:
                return
            cursor.take(DECODERS[kind](body))
            if isinstance(cursor, RunCursor):
                cursor.split(3, 100)
    except (ServerError, DecodeError) as error:
        can_be_told(str(error))
        counts[f"listings given up ({error.code})"] += 1


def read_run(body: bytes, counts: Counts) -> Run | None:
    """What `runs/get` answered; None where it is a named error."""
    try:
        run = pages.decode_run(body)
    except DecodeError as error:
        _refused("runs/get", error, counts)
        return None
    counts["decoded: runs/get"] += 1
    return run


def decode_page(kind: str, body: bytes, counts: Counts) -> Page[Any] | None:
    """The page; None where it is a named error."""
    try:
        page = DECODERS[kind](body)
    except DecodeError as error:
        _refused(kind, error, counts)
        promise(not _could_be_read(kind, body), f"a page of {kind} with a list that can be read is lost: {error}")
        return None
    counts[f"decoded: {kind}"] += 1
    counts["rows read"] += len(page.rows)
    counts["rows named as unreadable"] += len(page.unreadable)
    counts["values mended"] += len(page.mended)
    for told in page.mended:
        can_be_told(told)
    for told in page.unreadable:
        can_be_told(told)
        promise(f"$.{LISTS.get(kind, kind)}[" in told, f"the place of an unreadable row is not told: {told!a}")
    listed = _listed(kind, _python_reads(body))
    promise(
        listed in (None, len(page.rows) + len(page.unreadable)),
        f"of {listed} rows {len(page.rows)} are read and {len(page.unreadable)} named",
    )
    return page


def same_row_by_row(kind: str, body: bytes, page: Page[Any]) -> None:
    """The fast way and the one row by row read the same."""
    text = body.rstrip()
    if page.unreadable or not text.endswith(b"}") or _python_reads(body) in (_UNKNOWN, {}):
        return
    # Only Python's JSON has NaN, so that the page is read row by row.
    try:
        other = DECODERS[kind](text[:-1] + b',"a number":NaN}')
    except DecodeError as error:
        promise(_depth(_python_reads(body)) >= MEANT_DEPTH, f"read row by row, the page is lost: {error}")
        return
    # Half of a surrogate pair in the name of a field that nobody asks for is told only where rows are read one by one.
    other = msgspec.structs.replace(other, mended=page.mended)
    promise(repr(other) == repr(page), f"read row by row, the page is {ascii(other)[:600]}, not {ascii(page)[:600]}")


def taken(kind: str, page: Page[Any]) -> list[Any]:
    """The rows as a cursor returns them: a first page loses none."""
    rows = _cursor(kind).take(page).rows
    if kind in {"runs", "logged_models"}:
        key = RESOURCES[kind].key
        by_id = {key(row) for row in page.rows}
        promise({key(row) for row in rows} == by_id, f"a cursor misses {kind}")
        promise(len(by_id) == len(rows), f"a cursor returns one of {kind} twice")
    return rows


def _cursor(kind: str) -> RunCursor | LoggedModelCursor | OffsetCursor[Any]:
    match kind:
        case "runs":
            return RunCursor()
        case "logged_models":
            return LoggedModelCursor()
    return OffsetCursor(RESOURCES[kind].key)


def _refused(kind: str, error: CrawlerError, counts: Counts) -> None:
    counts[f"refused: {kind} ({error.code})"] += 1
    can_be_told(str(error))
    promise(str(error).startswith("MLflow's answer"), f"an error does not say whose answer it is: {error}")


def _could_be_read(kind: str, body: bytes) -> bool:
    answer = _python_reads(body)
    if _listed(kind, answer) is None:
        return False
    token = answer.get("next_page_token") if isinstance(answer, dict) else None
    return (token is None or (isinstance(token, str) and token.isascii())) and _depth(answer) < MEANT_DEPTH


def _python_reads(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return _UNKNOWN


def _listed(kind: str, answer: Any) -> int | None:
    """How many rows the answer lists; None where it has no list of them."""
    if not isinstance(answer, dict):
        return None
    rows = answer.get(LISTS.get(kind, kind))
    return len(rows) if isinstance(rows, list) else 0 if rows is None else None


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if isinstance(each, dict) else each)
        ]
    return depth
