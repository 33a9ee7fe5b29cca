"""Reads back what DataHub stores (`EntityController.java`, `getEntityBatch`), to verify what was sent: pure.

GMS sets `lastObserved` also where an aspect is written unchanged (`EntityServiceImpl.java`, `applyUpsert`). So what is
unchanged can be proven, and what an earlier crawl stored proves nothing, unless it is what was sent now.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

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

_WHOLE: dict[str, str] = {}
_encode = msgspec.json.Encoder().encode


class _SystemMetadata(msgspec.Struct, rename="camel", gc=False):
    last_observed: int | None = None


class _Stored(msgspec.Struct, rename="camel", gc=False):
    system_metadata: _SystemMetadata | None = None


class _StoredValue(_Stored):
    value: Any = None


_decode_entities = msgspec.json.Decoder(list[dict[str, _Stored | str]]).decode
_decode_values = msgspec.json.Decoder(list[dict[str, _StoredValue | str]]).decode

Expected = Mapping[tuple[str, str], bytes]
"""The JSON of aspects that were sent, by (URN, aspect)."""

_COMPUTED = {"versionProperties": "isLatest"}
"""Fields that GMS adds to what it takes."""


class Proof(msgspec.Struct, frozen=True):
    """What an answer proves of (URN, aspect) pairs.

    `proven` are those in it that were observed late enough or equal what was sent, `unproven` the others in it.
    `shows_metadata` is False where no aspect comes with its system metadata.
    """

    proven: set[tuple[str, str]]
    unproven: set[tuple[str, str]]
    shows_metadata: bool


def path(entity_type: str) -> str:
    """Return where entities of one type are read back."""
    return f"/openapi/v3/entity/{entity_type}/batchGet?systemMetadata=true"


def body(wanted: Wanted) -> bytes:
    """Return the body of a request: each entity once, with the names of its aspects."""
    return _encode([{"urn": urn, **dict.fromkeys(names, _WHOLE)} for urn, names in wanted.items()])


def prove(answer: bytes, last_observed: int, expected: Expected | None = None) -> Proof:
    """Return what an answer proves of what was sent with `last_observed` (ms since epoch), and is `expected` if given.

    Raises:
        DecodeError: The answer is no list of entities.
    """
    try:
        entities = (_decode_entities if expected is None else _decode_values)(answer)
        return _prove(entities, last_observed, expected or {})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError) as error:
        raise DecodeError(f"What DataHub read back is no list of entities: {error}.") from None


def _prove(entities: Sequence[Mapping[str, _Stored | str]], last_observed: int, expected: Expected) -> Proof:
    proven: set[tuple[str, str]] = set()
    unproven: set[tuple[str, str]] = set()
    shows_metadata = False
    for entity in entities:
        urn = entity["urn"]
        if isinstance(urn, _Stored):
            continue
        for name, stored in entity.items():
            if isinstance(stored, str):
                continue
            key = urn, name
            metadata = stored.system_metadata
            if metadata is not None and (observed := metadata.last_observed) is not None:
                shows_metadata = True
                if observed >= last_observed:
                    proven.add(key)
                    continue
            (proven if _is_equal(stored, name, expected.get(key)) else unproven).add(key)
    return Proof(proven, unproven, shows_metadata)


def _is_equal(stored: _Stored, name: str, sent: bytes | None) -> bool:
    if sent is None or not isinstance(stored, _StoredValue):
        return False
    value = stored.value
    if isinstance(value, dict) and (computed := _COMPUTED.get(name)):
        value = {key: each for key, each in value.items() if key != computed}
    return bool(value == msgspec.json.decode(sent))
