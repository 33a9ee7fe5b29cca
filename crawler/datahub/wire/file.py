"""The wire of DataHub's `file` sink and source, and of DataHub Lite."""

import msgspec

from crawler.datahub.batching import EncodedEntity
from crawler.datahub.proposals import Proposal

_encode = msgspec.json.Encoder().encode
# Within texts quotes are escaped, so this is found only where it is a key.
_NAME = b'"aspectName":"'


class _Json(msgspec.Struct):
    json: msgspec.Raw


class _JsonProposal(msgspec.Struct, rename="camel"):
    aspect_name: str
    aspect: _Json


def encode_key(entity_type: str, urn: str) -> bytes:
    """Return the start of a proposal of the entity, open for its other keys."""
    return b'{"entityType":"%b","entityUrn":%b' % (entity_type.encode(), _encode(urn))


class FileWire:
    """Proposals with the aspect as plain JSON."""

    encode_entity_key = staticmethod(encode_key)

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b'},"systemMetadata":%b}' % bytes(system_metadata)

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """Return the bytes that name the aspect and hold its JSON."""
        return b',"changeType":"UPSERT","aspectName":"%b","aspect":{"json":%b%b' % (
            aspect_name.encode(),
            aspect,
            self._end,
        )

    def aspect_name(self, encoded: bytes) -> str:
        """Return the name of the aspect that an encoded proposal writes."""
        return name_of(encoded)

    def content(self, encoded: bytes) -> memoryview:
        """Return an encoded proposal without its system metadata."""
        return memoryview(encoded)[: -len(self._end)]

    def proposal(self, entity: EncodedEntity, encoded: bytes) -> Proposal:
        """Decode one of the entity's encoded proposals."""
        decoded = msgspec.json.decode(encoded, type=_JsonProposal)
        return Proposal(entity.entity_type, entity.urn, decoded.aspect_name, bytes(decoded.aspect.json))


def name_of(encoded: bytes) -> str:
    """Return the aspect's name of a proposal that `encode_key` began."""
    start = encoded.index(_NAME) + len(_NAME)
    return encoded[start : encoded.index(b'"', start)].decode()
