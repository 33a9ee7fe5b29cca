"""Rest.li's batch endpoint (`AspectResource.java`) and DataHub's file format, which holds the same proposals."""

from functools import lru_cache

import msgspec

from crawler.datahub.batching import EncodedEntity
from crawler.datahub.proposals import Proposal

_encode = msgspec.json.Encoder().encode
# Within texts quotes are escaped, so this is found where it is a key.
_NAME = b'"aspectName":"'


class _Text(msgspec.Struct):
    value: str


class _TextProposal(msgspec.Struct, rename="camel"):
    aspect_name: str
    aspect: _Text


class _Json(msgspec.Struct):
    json: msgspec.Raw


class _JsonProposal(msgspec.Struct, rename="camel"):
    aspect_name: str
    aspect: _Json


class RestliWire:
    """Proposals as `POST /aspects?action=ingestProposalBatch` takes them, and files with nested JSON text: the aspect
    as JSON text within JSON.
    """

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b',"contentType":"application/json"},"systemMetadata":%b}' % bytes(system_metadata)

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:
        """What names the entity."""
        return _head(entity_type, urn)

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """What names the aspect and holds its JSON."""
        return b"".join((_text_start(aspect_name), _encode(aspect.decode()), self._end))

    def aspect_name(self, encoded: bytes) -> str:
        """Which aspect an encoded proposal writes."""
        return _aspect_name(encoded)

    def proposal(self, parcel: EncodedEntity, encoded: bytes) -> Proposal:
        """The proposal that was encoded."""
        decoded = msgspec.json.decode(encoded, type=_TextProposal)
        return Proposal(parcel.entity_type, parcel.urn, decoded.aspect_name, decoded.aspect.value.encode())


class FileWire:
    """Proposals as DataHub's `file` sink writes them: the aspect as plain JSON."""

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b'},"systemMetadata":%b}' % bytes(system_metadata)

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:
        """What names the entity."""
        return _head(entity_type, urn)

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """What names the aspect and holds its JSON."""
        return b',"changeType":"UPSERT","aspectName":"%b","aspect":{"json":%b%b' % (
            aspect_name.encode(),
            aspect,
            self._end,
        )

    def aspect_name(self, encoded: bytes) -> str:
        """Which aspect an encoded proposal writes."""
        return _aspect_name(encoded)

    def proposal(self, parcel: EncodedEntity, encoded: bytes) -> Proposal:
        """The proposal that was encoded."""
        decoded = msgspec.json.decode(encoded, type=_JsonProposal)
        return Proposal(parcel.entity_type, parcel.urn, decoded.aspect_name, bytes(decoded.aspect.json))


def body(proposals: list[bytes], *, asynchronous: bool) -> bytes:
    """A whole request of encoded proposals; Rest.li wants `async` as a string."""
    return b'{"proposals":[%b],"async":"%b"}' % (b",".join(proposals), b"true" if asynchronous else b"false")


def _head(entity_type: str, urn: str) -> bytes:
    return b'{"entityType":"%b","entityUrn":%b' % (entity_type.encode(), _encode(urn))


@lru_cache
def _text_start(aspect_name: str) -> bytes:
    return b',"changeType":"UPSERT","aspectName":"%b","aspect":{"value":' % aspect_name.encode()


def _aspect_name(encoded: bytes) -> str:
    start = encoded.index(_NAME) + len(_NAME)
    return encoded[start : encoded.index(b'"', start)].decode()
