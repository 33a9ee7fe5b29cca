"""DataHub's OpenAPI v3 endpoint (`EntityController.java`): one entity type a request, aspects as plain JSON, and an
answer that lists what was taken.
"""

import msgspec

from crawler.datahub.batches import Batch, Parcel
from crawler.datahub.proposals import Proposal

_encode = msgspec.json.Encoder().encode
_decode_listing = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_decode_text = msgspec.json.Decoder(str).decode
_NOTHING: frozenset[str] = frozenset()
_ITEM_FRAME = len('{"urn":},')


def path(entity_type: str, *, asynchronous: bool) -> str:
    """Where entities of one type are written; an asynchronous write is queued when the answer comes."""
    return f"/openapi/v3/entity/{entity_type}?async={'true' if asynchronous else 'false'}"


def encode(proposal: Proposal, system_metadata: msgspec.Raw) -> bytes:
    """The proposal as a member of its entity's object."""
    return b'"%b":{"value":%b,"systemMetadata":%b}' % (proposal.aspect_name.encode(), proposal.aspect, system_metadata)


def frame(parcel: Parcel) -> int:
    """The bytes that a request spends on the entity beside its proposals."""
    return _ITEM_FRAME + len(_encode(parcel.urn))


def body(batch: Batch) -> bytes:
    """A whole request. The batch must hold entities of one type, and a parcel no aspect twice."""
    items = [b'{"urn":%b,%b}' % (_encode(parcel.urn), b",".join(parcel.proposals)) for parcel in batch.parcels]
    return b"[%b]" % b",".join(items)


def left_out(batch: Batch, answer: bytes) -> list[tuple[str, str]]:
    """(URN, aspect) that were sent and that the answer does not list; none where the answer is no list of entities,
    as from servers that give none.
    """
    taken: dict[str, set[str]] = {}
    try:
        for entity in _decode_listing(answer):
            taken.setdefault(_decode_text(entity["urn"]), set()).update(entity)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return []
    return [
        (parcel.urn, name)
        for parcel in batch.parcels
        for listed in (taken.get(parcel.urn, _NOTHING),)
        for name in map(_name, parcel.proposals)
        if name not in listed
    ]


def _name(member: bytes) -> str:
    return member[1 : member.index(b'"', 1)].decode()
