"""The wire of OpenAPI v3 (`EntityController.java`): entities of one type a request, aspects as plain JSON.

Its answers list what was taken.
"""

import msgspec

from crawler.datahub.batching import Batch, EncodedEntity, PackerByType
from crawler.datahub.proposals import Proposal
from crawler.datahub.wire.protocol import WriteRequest


class _Member(msgspec.Struct):
    value: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode_listing = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_member = msgspec.json.Decoder(dict[str, _Member]).decode
_decode_text = msgspec.json.Decoder(str).decode
_NOTHING: frozenset[str] = frozenset()
_ITEM_FRAME = len('{"urn":},')


class OpenApiWire:
    """Proposals as members of their entity's object, which names the entity itself."""

    lists_taken = True

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b',"systemMetadata":%b}' % bytes(system_metadata)

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:  # noqa: ARG002  the entity's object has them
        """Return nothing: the entity's object has the key."""
        return b""

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """Return the bytes that name the aspect and hold its JSON."""
        return b'"%b":{"value":%b%b' % (aspect_name.encode(), aspect, self._end)

    def aspect_name(self, encoded: bytes) -> str:
        """Return the name of the aspect that an encoded proposal writes."""
        return _name(encoded)

    def content(self, encoded: bytes) -> memoryview:
        """Return an encoded proposal without its system metadata."""
        return memoryview(encoded)[: -len(self._end)]

    def proposal(self, entity: EncodedEntity, encoded: bytes) -> Proposal:
        """Decode one of the entity's encoded proposals."""
        ((name, member),) = _decode_member(b"{%b}" % encoded).items()
        return Proposal(entity.entity_type, entity.urn, name, bytes(member.value))

    def packer(self, max_proposals: int, max_bytes: int) -> PackerByType:
        """Return a packer of batches of one entity type."""
        return PackerByType(max_proposals, max_bytes, frame)

    def request(self, batch: Batch, *, asynchronous: bool) -> WriteRequest:
        """Return the request that writes a batch."""
        return WriteRequest(path(batch.entities[0].entity_type, asynchronous=asynchronous), body(batch))

    def left_out(self, batch: Batch, answer: bytes) -> list[tuple[str, str]] | None:
        """Return the (URN, aspect) pairs of the batch that the answer does not list; None where it is no list."""
        return left_out(batch, answer)


def path(entity_type: str, *, asynchronous: bool) -> str:
    """Return where entities of one type are written; an asynchronous write is queued when the answer comes."""
    return f"/openapi/v3/entity/{entity_type}?async={'true' if asynchronous else 'false'}"


def frame(entity: EncodedEntity) -> int:
    """Return the bytes that a request spends on the entity beside its proposals."""
    return _ITEM_FRAME + len(_encode(entity.urn))


def body(batch: Batch) -> bytes:
    """Return the body of a request. The batch must hold entities of one type, and an entity no aspect twice."""
    items = [b'{"urn":%b,%b}' % (_encode(entity.urn), b",".join(entity.proposals)) for entity in batch.entities]
    return b"[%b]" % b",".join(items)


def left_out(batch: Batch, answer: bytes) -> list[tuple[str, str]] | None:
    """Return the (URN, aspect) pairs that were sent and that the answer does not list.

    None: the answer is no list of entities; some servers send none.
    """
    taken: dict[str, set[str]] = {}
    try:
        for entity in _decode_listing(answer):
            taken.setdefault(_decode_text(entity["urn"]), set()).update(entity)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return [
        (entity.urn, name)
        for entity in batch.entities
        for listed in (taken.get(entity.urn, _NOTHING),)
        for name in map(_name, entity.proposals)
        if name not in listed
    ]


def _name(member: bytes) -> str:
    return member[1 : member.index(b'"', 1)].decode()
