"""The wire of OpenAPI v3 (`EntityController.java`): entities of one type a request, aspects as plain JSON.

Its answers list what was taken.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from crawler.datahub.aspects.entities import Status
from crawler.datahub.batching import Batch, EncodedEntity, PackerByType
from crawler.datahub.proposals import Proposal
from crawler.datahub.statuses import patch_of, status_of
from crawler.datahub.wire.protocol import WriteRequest


class _Member(msgspec.Struct):
    value: msgspec.Raw


class _Patch(msgspec.Struct):
    patch: msgspec.Raw


_PATCH = b'"%b":{"value":{"patch":' % Status.NAME.encode()
_NO_ENTITIES = b"[]"
_encode = msgspec.json.Encoder().encode
_decode_listing = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_member = msgspec.json.Decoder(dict[str, _Member]).decode
_decode_patch = msgspec.json.Decoder(_Patch).decode
_decode_text = msgspec.json.Decoder(str).decode
_NOTHING: frozenset[str] = frozenset()
_ITEM_FRAME = len('{"urn":},')


class OpenApiWire:
    """Proposals as members of their entity's object, which names the entity itself."""

    lists_taken = True

    def __init__(self, system_metadata: msgspec.Raw, *, patches_status: bool = False) -> None:
        """With `patches_status`, of the aspect `status` only what it names is changed, by a request of its own."""
        self._end = b',"systemMetadata":%b}' % bytes(system_metadata)
        self._patches_status = patches_status

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:  # noqa: ARG002  the entity's object has them
        """Return nothing: the entity's object has the key."""
        return b""

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """Return the bytes that name the aspect and hold its JSON."""
        if self._patches_status and aspect_name == Status.NAME:
            return _PATCH + patch_of(aspect) + b"}" + self._end
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
        value = bytes(member.value)
        if encoded.startswith(_PATCH):
            value = status_of(bytes(_decode_patch(value).patch))
        return Proposal(entity.entity_type, entity.urn, name, value)

    def packer(self, max_proposals: int, max_bytes: int) -> PackerByType:
        """Return a packer of batches of one entity type."""
        return PackerByType(max_proposals, max_bytes, frame)

    def requests(self, batch: Batch, *, asynchronous: bool) -> list[WriteRequest]:
        """Return the request that writes a batch, and the one that patches what is to be patched in it."""
        where = path(batch.entities[0].entity_type, asynchronous=asynchronous)
        upserts = body(
            (each.urn, [member for member in each.proposals if not _is_patch(member)]) for each in batch.entities
        )
        patches = body((each.urn, list(filter(_is_patch, each.proposals))) for each in batch.entities)
        requests = [WriteRequest(where, upserts), WriteRequest(where, patches, method="PATCH")]
        return [request for request in requests if request.body != _NO_ENTITIES]

    def left_out(self, batch: Batch, answers: Sequence[bytes]) -> list[tuple[str, str]] | None:
        """Return the (URN, aspect) pairs of the batch that no answer lists; None where an answer is no list."""
        return left_out(batch, answers)


def path(entity_type: str, *, asynchronous: bool) -> str:
    """Return where entities of one type are written; an asynchronous write is queued when the answer comes."""
    return f"/openapi/v3/entity/{entity_type}?async={'true' if asynchronous else 'false'}"


def frame(entity: EncodedEntity) -> int:
    """Return the bytes that a request spends on the entity beside its proposals."""
    return _ITEM_FRAME + len(_encode(entity.urn))


def body(entities: Iterable[tuple[str, Sequence[bytes]]]) -> bytes:
    """Return the body of a request: entities of one type by their URN, each with its members, no aspect twice."""
    items = [b'{"urn":%b,%b}' % (_encode(urn), b",".join(members)) for urn, members in entities if members]
    return b"[%b]" % b",".join(items)


def left_out(batch: Batch, answers: Iterable[bytes]) -> list[tuple[str, str]] | None:
    """Return the (URN, aspect) pairs that were sent and that no answer lists.

    None: an answer is no list of entities; some servers send none.
    """
    taken: dict[str, set[str]] = {}
    try:
        for entity in chain.from_iterable(map(_decode_listing, answers)):
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


def _is_patch(member: bytes) -> bool:
    return member.startswith(_PATCH)


def _name(member: bytes) -> str:
    return member[1 : member.index(b'"', 1)].decode()
