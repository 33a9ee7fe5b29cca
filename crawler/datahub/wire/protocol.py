"""The forms in which proposals travel, as the pipeline sees them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from crawler.datahub.batching import Batch, EncodedEntity, Packer, PackerByType
from crawler.datahub.proposals import Proposal


class Wire(Protocol):
    """The form of an encoded proposal: the bytes of its entity's key, then those of its aspect.

    The bytes of an aspect are the same whichever entity has it.
    """

    def encode_entity_key(self, entity_type: str, urn: str) -> bytes:
        """Return the bytes that name the entity."""
        ...

    def encode_aspect(self, aspect_name: str, aspect: bytes) -> bytes:
        """Return the bytes that name the aspect and hold its JSON."""
        ...

    def aspect_name(self, encoded: bytes) -> str:
        """Return the name of the aspect that an encoded proposal writes."""
        ...

    def content(self, encoded: bytes) -> memoryview:
        """Return an encoded proposal without its system metadata, which is that of one crawl."""
        ...

    def proposal(self, entity: EncodedEntity, encoded: bytes) -> Proposal:
        """Decode one of the entity's encoded proposals."""
        ...


class WriteRequest(msgspec.Struct, frozen=True):
    """A request to GMS that writes one batch, or a part of it."""

    path: str
    body: bytes
    headers: Mapping[str, str] = {}
    method: Literal["POST", "PATCH"] = "POST"


class GmsWire(Wire, Protocol):
    """A wire of one of GMS' endpoints."""

    lists_taken: bool
    """Whether answers list the aspects that GMS took."""

    def packer(self, max_proposals: int, max_bytes: int) -> Packer | PackerByType:
        """Return a packer of batches that one request may hold."""
        ...

    def requests(self, batch: Batch, *, asynchronous: bool) -> list[WriteRequest]:
        """Return what writes a batch, in order. GMS answers `asynchronous` requests when they are in its queue."""
        ...

    def left_out(self, batch: Batch, answers: Sequence[bytes]) -> list[tuple[str, str]] | None:
        """Return the (URN, aspect) pairs of the batch that no answer lists; None where an answer is no list."""
        ...
