"""Which entities and aspects reached a trusting double, counted cheaply, so that two writers can be compared."""

import hashlib
import re
import time
from collections import Counter
from collections.abc import Iterable
from itertools import groupby

import msgspec

NOT_COUNTED = frozenset({"dataHubExecutionRequest", "dataHubIngestionSource"})
"""What `datahub ingest` writes about itself."""

# Within an aspect's text quotes are escaped, so that these keys are found where they are keys.
_RESTLI = re.compile(rb'"entityUrn": ?("(?:[^"\\]|\\.)*")(?:(?!"entityUrn").)*?"aspectName": ?"(\w+)"', re.DOTALL)
_decode_text = msgspec.json.Decoder(str).decode
_decode_entities = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class Census:
    """Distinct URNs, and distinct (URN, aspect), over all requests. What came is shown after the lag, in seconds."""

    def __init__(self, lag_seconds: float = 0.0) -> None:
        self._lag = lag_seconds
        self._due: dict[str, float] = {}
        self._bits: dict[str, int] = {}
        self._aspects: dict[str, int] = {}

    def count_restli(self, body: bytes) -> int:
        """Takes a request by Rest.li, of one proposal or of many; gives how many aspects it holds."""
        for urn, name in _RESTLI.findall(body):
            self._add(_decode_text(urn), name.decode())
        return body.count(b'"entityUrn"')

    def count_openapi(self, body: bytes) -> int:
        """Takes a request by OpenAPI v3; gives how many aspects it holds."""
        aspects = 0
        for entity in _decode_entities(body):
            urn = _decode_text(entity.pop("urn"))
            aspects += len(entity)
            for name in entity:
                self._add(urn, name)
        return aspects

    def shown(self, body: bytes) -> bytes:
        """Of the entities that are asked for, those that can be read by now."""
        if not self._lag:
            return body
        now = time.monotonic()
        asked = _decode_entities(body)
        return msgspec.json.encode([each for each in asked if self._due.get(_decode_text(each["urn"]), now + 1) <= now])

    def summary(self) -> dict[str, object]:
        """Distinct entities by type, distinct aspects, and digests of all URNs and of each type's."""
        urns = sorted(urn for urn in self._aspects if urn.split(":")[2] not in NOT_COUNTED)
        return {
            "entities": dict(sorted(Counter(urn.split(":")[2] for urn in urns).items())),
            "aspects": sum(self._aspects[urn].bit_count() for urn in urns),
            "urns_digest": _digest(urns),
            "digests": {kind: _digest(same) for kind, same in groupby(urns, key=lambda urn: urn.split(":")[2])},
        }

    def _add(self, urn: str, name: str) -> None:
        if self._lag:
            self._due.setdefault(urn, time.monotonic() + self._lag)
        # One bit an aspect: a set of pairs would take gigabytes for the largest crawls.
        bit = self._bits.setdefault(name, 1 << len(self._bits))
        self._aspects[urn] = self._aspects.get(urn, 0) | bit


def _digest(urns: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(urns).encode()).hexdigest()
