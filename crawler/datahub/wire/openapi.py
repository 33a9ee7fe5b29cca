"""DataHub's OpenAPI v3 endpoint (`EntityController.java`): one entity type a request, aspects as plain JSON, and an
answer that lists what was taken.
"""

import msgspec

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.proposals import Proposal


class _Member(msgspec.Struct):
    value: msgspec.Raw


_encode = msgspec.json.Encoder().encode
_decode_listing = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_member = msgspec.json.Decoder(dict[str, _Member]).decode
_decode_text = msgspec.json.Decoder(str).decode
_NOTHING: frozenset[str] = frozenset()
_ITEM_FRAME = len('{"urn":},')


def path(entity_type: str, *, asynchronous: bool) -> str:
    """Where entities of one type are written; an asynchronous write is queued when the answer comes."""
    return f"/openapi/v3/entity/{entity_type}?async={'true' if asynchronous else 'false'}"


class OpenApiWire:
    """Proposals as members of their entity's object, which names the entity itself."""

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b',"systemMetadata":%b}' % bytes(system_metadata)

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:  # noqa: ARG002  the entity's object has them
        """Nothing."""
        return b""

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """The aspect under its name."""
        return b'"%b":{"value":%b%b' % (aspect_name.encode(), aspect, self._end)

    def aspect_name(self, encoded: bytes) -> str:
        """Which aspect an encoded proposal writes."""
        return _name(encoded)

    def proposal(self, parcel: EncodedEntity, encoded: bytes) -> Proposal:
        """The proposal that was encoded."""
        ((name, member),) = _decode_member(b"{%b}" % encoded).items()
        return Proposal(parcel.entity_type, parcel.urn, name, bytes(member.value))


def frame(parcel: EncodedEntity) -> int:
    """The bytes that a request spends on the entity beside its proposals."""
    return _ITEM_FRAME + len(_encode(parcel.urn))


def body(batch: Batch) -> bytes:
    """A whole request. The batch must hold entities of one type, and a parcel no aspect twice."""
    items = [b'{"urn":%b,%b}' % (_encode(parcel.urn), b",".join(parcel.proposals)) for parcel in batch.entities]
    return b"[%b]" % b",".join(items)


def left_out(batch: Batch, answer: bytes) -> list[tuple[str, str]] | None:
    """(URN, aspect) that were sent and that the answer does not list. None: the answer is no list of entities, as from
    servers that give none.
    """
    taken: dict[str, set[str]] = {}
    try:
        for entity in _decode_listing(answer):
            taken.setdefault(_decode_text(entity["urn"]), set()).update(entity)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    return [
        (parcel.urn, name)
        for parcel in batch.entities
        for listed in (taken.get(parcel.urn, _NOTHING),)
        for name in map(_name, parcel.proposals)
        if name not in listed
    ]


def _name(member: bytes) -> str:
    return member[1 : member.index(b'"', 1)].decode()
