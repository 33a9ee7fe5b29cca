"""One JSON object of a file → the proposal that it holds: alone as in a file sink's output, or in a dead letter."""

import re

import msgspec

from crawler.datahub.proposals import Proposal

_NAME = re.compile("[A-Za-z][A-Za-z0-9]*")


class FiledProposal(msgspec.Struct, frozen=True):
    """A proposal of a file; `code` is its failure code where it is a dead letter, `target` what it was to be sent to.

    `last_observed` (ms since epoch) is that of its system metadata, if it has any.
    """

    proposal: Proposal
    code: str = ""
    target: str = ""
    last_observed: int | None = None


class NoProposal(ValueError):
    """A JSON object that cannot be sent as a proposal; the message says why."""


class _Aspect(msgspec.Struct, rename="camel"):
    json: msgspec.Raw = msgspec.Raw()
    value: str | None = None
    content_type: str = "application/json"


class _SystemMetadata(msgspec.Struct, rename="camel"):
    last_observed: int | None = None


class _Object(msgspec.Struct, rename="camel"):
    """A proposal, or a dead letter around one."""

    entity_type: str = ""
    entity_urn: str = ""
    change_type: str = "UPSERT"
    aspect_name: str = ""
    aspect: _Aspect | None = None
    proposal: "_Object | None" = None
    code: str = ""
    target: str = ""
    system_metadata: _SystemMetadata | None = None


_decode = msgspec.json.Decoder(_Object).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def decode_proposal(text: bytes) -> FiledProposal:
    """Decode one object. The aspect keeps its bytes.

    Raises:
        NoProposal: It is no proposal, or none that can be sent again.
    """
    try:
        outer = _decode(text)
        inner = outer.proposal or outer
        proposal = Proposal(inner.entity_type, inner.entity_urn, inner.aspect_name, _aspect(inner.aspect))
    except UnicodeDecodeError:
        raise NoProposal("it is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise NoProposal(f"it is no proposal: {error}") from None
    except RecursionError:
        raise NoProposal("it is nested too deeply") from None
    if not _NAME.fullmatch(proposal.entity_type) or not _NAME.fullmatch(proposal.aspect_name):
        raise NoProposal("it is no proposal: it names no entityType and aspectName as DataHub has them")
    if inner.change_type != "UPSERT":
        raise NoProposal(f"its changeType is {inner.change_type}, and only UPSERT can be sent again")
    metadata = inner.system_metadata
    return FiledProposal(proposal, outer.code, outer.target, None if metadata is None else metadata.last_observed)


def _aspect(aspect: _Aspect | None) -> bytes:
    if aspect is None or aspect.content_type != "application/json":
        raise NoProposal("it holds no aspect as JSON")
    raw = aspect.json if aspect.value is None else _decode_raw(aspect.value.strip())
    data = bytes(raw)
    if not data.startswith(b"{"):
        raise NoProposal("its aspect is no JSON object")
    if not data.isascii():
        data.decode()
    return data
