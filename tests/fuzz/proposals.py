"""What is mapped through the real encoder, wires and packers; and DataHub's answers to it."""

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from crawler.datahub import urns
from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, Refusal, SystemMetadata, encode_system_metadata
from crawler.datahub.wire import openapi, restli
from crawler.datahub.wire.file import FileWire
from crawler.datahub.wire.openapi import OpenApiWire
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire
from crawler.mapping.stages import stage_tags
from tests.fuzz.decoding import Counts
from tests.fuzz.promises import can_be_told, promise

OBSERVED = 5
METADATA = encode_system_metadata(SystemMetadata(last_observed=OBSERVED, run_id="r", pipeline_name="p"))
FILE, RESTLI, OPENAPI = FileWire(METADATA), RestliWire(METADATA), OpenApiWire(METADATA)
WIRES: tuple[Wire, ...] = (FILE, RESTLI, OPENAPI)
MAX_PROPOSALS, MAX_BYTES = 20, 30_000

File = list[dict[str, Any]]


def file_of(entities: Sequence[Entity], counts: Counts) -> File:
    """All that can be sent, in DataHub's file format; the other two wires say the same."""
    encoders = [Encoder(wire) for wire in WIRES]
    file: File = []
    parcels: tuple[list[EncodedEntity], list[EncodedEntity]] = ([], [])
    for entity in entities:
        (in_file, refusals), (in_batch, others), (in_object, more) = (each.encode(entity) for each in encoders)
        promise(refusals == others == more, "wires refuse different things")
        _count_refused(entity, in_file, refusals, counts)
        file += [
            _same_on_each_wire(*encoded) for encoded in zip(*_proposals(in_file, in_batch, in_object), strict=True)
        ]
        _read_again(entity, refusals, (in_file, in_batch, in_object))
        parcels[0].append(in_batch)
        parcels[1].append(in_object)
    counts["mapped: proposals"] += len(file)
    _packed(parcels[0], Packer(MAX_PROPOSALS, MAX_BYTES))
    _packed(parcels[1], PackerByType(MAX_PROPOSALS, MAX_BYTES, openapi.frame))
    return file


def _proposals(*parcels: EncodedEntity) -> list[list[bytes]]:
    return [parcel.proposals for parcel in parcels]


def _count_refused(entity: Entity, parcel: EncodedEntity, refusals: list[Refusal], counts: Counts) -> None:
    refused = sum(len(refusal.proposals) for refusal in refusals)
    promise(len(parcel.proposals) + refused == len(entity.aspects), f"aspects of {entity.urn!a} are lost")
    promise(not parcel.proposals or not urns.problem(entity.urn), f"{entity.urn!a} is sent")
    for refusal in refusals:
        counts[f"not sent: {refusal.code}"] += len(refusal.proposals)
        can_be_told(f"{refusal.subject}: {refusal.reason}")
        for proposal in refusal.proposals:
            orjson.loads(proposal.aspect)


def _same_on_each_wire(in_file: bytes, in_batch: bytes, in_object: bytes) -> dict[str, Any]:
    plain, nested, member = orjson.loads(in_file), orjson.loads(in_batch), orjson.loads(b"{%b}" % in_object)
    value = plain["aspect"]["json"]
    promise(orjson.loads(nested["aspect"]["value"]) == value, "Rest.li's aspect is another one than the file's")
    promise(member[plain["aspectName"]]["value"] == value, "OpenAPI's aspect is another one than the file's")
    promise(nested["entityUrn"] == plain["entityUrn"], "the wires name different entities")
    return dict(plain)


def _read_again(entity: Entity, refusals: list[Refusal], parcels: Sequence[EncodedEntity]) -> None:
    """What dead letters are made of is what was meant."""
    if refusals:
        return
    meant = [msgspec.json.encode(aspect) for aspect in entity.aspects]
    for wire, parcel in zip(WIRES, parcels, strict=True):
        again = [wire.proposal(parcel, encoded).aspect for encoded in parcel.proposals]
        promise(again == meant, f"the proposals of {entity.urn!a} cannot be read again")


def _packed(parcels: list[EncodedEntity], packer: Packer | PackerByType) -> None:
    """Nothing is lost or doubled, and each request is JSON within its limits."""
    batches = [batch for parcel in parcels for batch in packer.add(parcel)] + packer.flush()
    given = sorted((parcel.urn, proposal) for parcel in parcels for proposal in parcel.proposals)
    kept = [(parcel.urn, proposal) for batch in batches for parcel in batch.entities for proposal in parcel.proposals]
    promise(sorted(kept) == given, "a packer loses proposals")
    for batch in batches:
        promise(batch.proposals <= MAX_PROPOSALS, "a batch has too many proposals")
        promise(batch.bytes <= MAX_BYTES or batch.proposals == 1, "a batch is too large")
        by_type = isinstance(packer, PackerByType)
        request = (
            openapi.body((each.urn, each.proposals) for each in batch.entities)
            if by_type
            else restli.body(_all(batch), asynchronous=True)
        )
        promise(
            len(orjson.loads(request)) == (len(batch.entities) if by_type else 2), "a request is not what was packed"
        )


def _all(batch: Batch) -> list[bytes]:
    return [proposal for parcel in batch.entities for proposal in parcel.proposals]


def _batch_of(entities: Sequence[Entity]) -> Batch:
    packer = Packer(200, 10**6)
    for entity in entities:
        packer.add(Encoder(OPENAPI).encode(entity)[0])
    (batch,) = packer.flush()
    return batch


SENT = _batch_of(stage_tags())
"""A batch to which answers are made."""

_ITEMS = {
    parcel.urn: {
        OPENAPI.proposal(parcel, each).aspect_name: OPENAPI.proposal(parcel, each) for each in parcel.proposals
    }
    for parcel in SENT.entities
}
LISTED = orjson.dumps(
    [
        {"urn": urn, "tagKey": {"value": {}}}
        | {name: {"value": orjson.loads(each.aspect)} for name, each in item.items()}
        for urn, item in _ITEMS.items()
    ]
)
"""What GMS answers to the batch, as OpenAPI v3 does."""

STORED = orjson.dumps(
    [
        {"urn": urn}
        | {name: {"value": {}, "systemMetadata": {"lastObserved": OBSERVED, "runId": "r"}} for name in item}
        for urn, item in _ITEMS.items()
    ]
)
"""What GMS reads back of it."""
