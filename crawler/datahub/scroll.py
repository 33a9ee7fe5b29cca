"""Lists the entities of one platform from DataHub's search index (`EntityController.java`, `scrollEntities`): pure.

The index lags behind what is stored. GMS replaces a `count` above 10,000 by another one, so only a missing scroll id
says that there is no further page. `filter` came with pull request 14524 in September 2025.
"""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec

from crawler.errors import DecodeError

COUNT = 1_000


class ScrollPage(msgspec.Struct, frozen=True):
    """The URNs of a page, and what the next page is asked for by; None after the last one."""

    urns: list[str]
    scroll_id: str | None


class _Entity(msgspec.Struct):
    urn: str


class _Answer(msgspec.Struct, rename="camel"):
    entities: list[_Entity] = []
    scroll_id: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Answer).decode


def path(scroll_id: str | None, *, count: int = COUNT) -> str:
    """Return where the next page is, of `count` entities; soft-deleted ones are left out."""
    next_page = "" if scroll_id is None else f"&scrollId={quote(scroll_id, safe='')}"
    return f"/openapi/v3/entity/scroll?count={count}&includeSoftDelete=false&skipCache=true{next_page}"


def body(entity_types: Sequence[str], platform_urn: str | None) -> bytes:
    """Return the body of a request for URNs of these types, of all platforms if `platform_urn` is None."""
    if platform_urn is None:
        return _encode({"entities": entity_types})
    criterion = {"field": "platform.keyword", "condition": "EQUAL", "values": [platform_urn]}
    return _encode({"entities": entity_types, "filter": {"and": [{"criteria": [criterion]}]}})


def decode_page(answer: bytes) -> ScrollPage:
    """Return the page of an answer. Raises DecodeError."""
    try:
        page = _decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"What DataHub lists is no page of entities: {error}.") from None
    return ScrollPage([each.urn for each in page.entities], page.scroll_id or None if page.entities else None)
