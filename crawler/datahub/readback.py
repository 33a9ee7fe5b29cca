"""Reads back what DataHub stores (`EntityController.java`, `getEntityBatch`), to verify what was sent: pure.

GMS sets `lastObserved` also where an aspect is written unchanged (`EntityServiceImpl.java`, `applyUpsert`). So what an
earlier crawl stored proves nothing, and what is unchanged can be proven.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

import msgspec

from crawler.errors import DecodeError

Wanted = Mapping[str, Collection[str]]
"""Names of aspects by URN."""

TIMESERIES = frozenset(
    {
        "assertionRunEvent",
        "chartUsageStatistics",
        "dashboardUsageStatistics",
        "dataProcessInstanceRunEvent",
        "datahubIngestionCheckpoint",
        "datahubIngestionRunSummary",
        "datasetProfile",
        "datasetUsageStatistics",
        "documentUsageStatistics",
        "operation",
        "queryUsageStatistics",
    }
)
"""Aspects that DataHub keeps in its search index only, by time: that one was written cannot be told from these."""

_encode = msgspec.json.Encoder().encode


class _SystemMetadata(msgspec.Struct, rename="camel"):
    last_observed: int = 0


class _Stored(msgspec.Struct, rename="camel"):
    system_metadata: _SystemMetadata | None = None


_decode_entities = msgspec.json.Decoder(list[dict[str, _Stored | str]]).decode


def path(entity_type: str) -> str:
    """Return where entities of one type are read back."""
    return f"/openapi/v3/entity/{entity_type}/batchGet?systemMetadata=true"


def body(wanted: Wanted) -> bytes:
    """Return the body of a request: each entity once, with the names of its aspects."""
    entities = [b'{"urn":%b,%b}' % (_encode(urn), b",".join(map(_asked, names))) for urn, names in wanted.items()]
    return b"[%b]" % b",".join(entities)


def proven(answer: bytes, last_observed: int) -> set[tuple[str, str]]:
    """Return the (URN, aspect) pairs in the answer that were observed at `last_observed` (ms since epoch) or later.

    Raises:
        DecodeError: The answer is no list of entities.
    """
    try:
        return set(_written_since(_decode_entities(answer), last_observed))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise DecodeError(f"What DataHub read back is no list of entities: {error}.") from None


@lru_cache
def _asked(name: str) -> bytes:
    return b"%b:{}" % _encode(name)


def _written_since(entities: list[dict[str, _Stored | str]], last_observed: int) -> Iterable[tuple[str, str]]:
    for entity in entities:
        urn = entity["urn"]
        for name, stored in entity.items():
            if isinstance(stored, str) or isinstance(urn, _Stored):
                continue
            metadata = stored.system_metadata
            if metadata is not None and metadata.last_observed >= last_observed:
                yield urn, name
