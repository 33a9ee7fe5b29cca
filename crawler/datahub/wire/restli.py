"""The wire of Rest.li's batch endpoint (`AspectResource.java`)."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from crawler.datahub.aspects.entities import Status
from crawler.datahub.batching import Batch, EncodedEntity, Packer
from crawler.datahub.proposals import Proposal
from crawler.datahub.statuses import patch_of, status_of
from crawler.datahub.wire.file import encode_key, name_of
from crawler.datahub.wire.protocol import WriteRequest

PATH = "/aspects?action=ingestProposalBatch"
HEADERS = {"X-RestLi-Protocol-Version": "2.0.0"}

_encode = msgspec.json.Encoder().encode


class _Text(msgspec.Struct):
    value: str


class _TextProposal(msgspec.Struct, rename="camel"):
    change_type: str
    aspect_name: str
    aspect: _Text


class RestliWire:
    """Proposals with the aspect as JSON text within JSON.

    DataHub's `file` source reads this form, too (`legacy_nested_json_string`).
    """

    lists_taken = False
    encode_entity_key = staticmethod(encode_key)

    def __init__(self, system_metadata: msgspec.Raw, *, patches_status: bool = False) -> None:
        """With `patches_status`, of the aspect `status` only what it names is changed."""
        self._end = b',"contentType":"application/json"},"systemMetadata":%b}' % bytes(system_metadata)
        self._end_of_patch = b',"contentType":"application/json-patch+json"},"systemMetadata":%b}' % bytes(
            system_metadata
        )
        self._patches_status = patches_status

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """Return the bytes that name the aspect and hold its JSON."""
        if self._patches_status and aspect_name == Status.NAME:
            return _text_start(aspect_name, "PATCH") + _encode(patch_of(aspect).decode()) + self._end_of_patch
        return b"".join((_text_start(aspect_name), _encode(aspect.decode()), self._end))

    def aspect_name(self, encoded: bytes) -> str:
        """Return the name of the aspect that an encoded proposal writes."""
        return name_of(encoded)

    def content(self, encoded: bytes) -> memoryview:
        """Return an encoded proposal without its system metadata."""
        return memoryview(encoded)[: -len(self._end)]

    def proposal(self, entity: EncodedEntity, encoded: bytes) -> Proposal:
        """Decode one of the entity's encoded proposals."""
        decoded = msgspec.json.decode(encoded, type=_TextProposal)
        value = decoded.aspect.value.encode()
        if decoded.change_type == "PATCH":
            value = status_of(value)
        return Proposal(entity.entity_type, entity.urn, decoded.aspect_name, value)

    def packer(self, max_proposals: int, max_bytes: int) -> Packer:
        """Return a packer of batches of any entities."""
        return Packer(max_proposals, max_bytes)

    def request(self, batch: Batch, *, asynchronous: bool) -> WriteRequest:
        """Return the request that writes a batch."""
        encoded = [proposal for entity in batch.entities for proposal in entity.proposals]
        return WriteRequest(PATH, body(encoded, asynchronous=asynchronous), HEADERS)

    def requests(self, batch: Batch, *, asynchronous: bool) -> list[WriteRequest]:
        """Return the one request that writes a batch."""
        return [self.request(batch, asynchronous=asynchronous)]

    def left_out(self, batch: Batch, answers: Sequence[bytes]) -> None:
        """Return None: Rest.li answers `{"value": "success"}` and names no proposal."""


def body(proposals: list[bytes], *, asynchronous: bool) -> bytes:
    """Return the body of a request; Rest.li wants `async` as a string."""
    return b'{"proposals":[%b],"async":"%b"}' % (b",".join(proposals), b"true" if asynchronous else b"false")


@lru_cache
def _text_start(aspect_name: str, change_type: str = "UPSERT") -> bytes:
    return b',"changeType":"%b","aspectName":"%b","aspect":{"value":' % (change_type.encode(), aspect_name.encode())
