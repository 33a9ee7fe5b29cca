"""What GMS makes of one batch, by whichever endpoint it came: refuses it, drops items silently, stores them."""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson
from datahub.metadata.schema_classes import KEY_ASPECTS

from tests.gms import patches
from tests.gms.answers import JSON, Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.urn_rules import URN_COLUMN_CHARACTERS, MalformedUrn, entity_type_of, illegal, key_parts
from tests.support.judge import Refused, judge_aspect, judge_registered, judge_system_metadata


class GenericAspect(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """An aspect on Rest.li's wire: JSON text within JSON."""

    value: str
    content_type: str


class Proposal(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """MetadataChangeProposal.pdl, as far as a writer of ours may use it."""

    entity_type: str
    entity_urn: str
    change_type: str
    aspect_name: str = ""
    aspect: GenericAspect | None = None
    system_metadata: dict[str, Any] | None = None
    headers: dict[str, str] | None = None


class Batch(msgspec.Struct, forbid_unknown_fields=True):
    """The parameters of the action ingestProposalBatch (AR): `async` is a string, and false by default. A request by
    OpenAPI is brought into this form.
    """

    proposals: list[Proposal]
    asynchronous: str = msgspec.field(name="async", default="false")

    @property
    def is_async(self) -> bool:
        """Java's `Boolean.parseBoolean`."""
        return self.asynchronous.lower() == "true"


@dataclass(frozen=True)
class Item:
    """One aspect that GMS stored."""

    urn: str
    aspect_name: str
    value: dict[str, Any]
    """Of a patch, what it is for an aspect that is not there yet."""
    system_metadata: dict[str, Any] | None
    changes: list[dict[str, Any]] | None = None
    """Of a patch, its operations."""


@dataclass
class Verdict:
    """What became of a batch that was answered with success; `dropped` holds (urn, why)."""

    stored: list[Item] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)


class _Dropped(Exception):
    """An IllegalArgumentException while an item is built: ABI.mcps logs it, skips the item and proceeds."""


def weigh(batch: Batch, behaviour: Behaviour, *, skips: bool) -> Verdict:
    """In the order of AR: privileges, items (ABI, CII), proposed-phase validators (ABI), storage (ESI).

    An IllegalArgumentException skips its item (Rest.li), or else fails the request with 500 (OpenAPI).
    """
    _check_privileges(batch, behaviour)
    verdict = Verdict()
    for proposal in batch.proposals:
        try:
            verdict.stored.append(_built(proposal, behaviour))
        except _Dropped as dropped:
            if not skips:
                raise Refusal(500, str(dropped)) from dropped
            verdict.dropped.append((proposal.entity_urn, str(dropped)))
    for item in verdict.stored:
        _check_proposed(item)
    _store(batch, verdict, behaviour)
    return verdict


def check_envelope(proposal: Proposal) -> None:
    """Coercion of `entityUrn` and `systemMetadata`: what is malformed is a 400 for the whole batch [inferred]."""
    try:
        entity_type_of(proposal.entity_urn)
        key_parts(proposal.entity_urn)
        if proposal.system_metadata is not None:
            judge_system_metadata(proposal.system_metadata)
    except (MalformedUrn, Refused) as error:
        raise Refusal(400, str(error)) from error


def _check_privileges(batch: Batch, behaviour: Behaviour) -> None:
    """AR, before anything is built: the message lists each refused proposal's URN."""
    urns = [
        proposal.entity_urn
        for proposal in batch.proposals
        if proposal.entity_urn in behaviour.forbidden or proposal.entity_type in behaviour.forbidden_types
    ]
    if urns:
        listed = ", ".join(f"HttpStatus: 403 Urn: {urn}" for urn in urns)
        raise Refusal(403, f"User urn:li:corpuser:datahub is unauthorized to modify entity: {listed}")


def _built(proposal: Proposal, behaviour: Behaviour) -> Item:
    """ABI.mcps for one proposal."""
    _check_registry(proposal, behaviour)
    if why := illegal(proposal.entity_urn, strict=behaviour.strict):
        raise _Dropped(why)
    if proposal.change_type == "PATCH" and proposal.aspect is not None:
        text, content_type = proposal.aspect.value, proposal.aspect.content_type
        changes = patches.operations(proposal.aspect_name, text, content_type, behaviour.version)
        value = patches.patched(None, changes)
        _judge(proposal.aspect_name, value)
        return Item(proposal.entity_urn, proposal.aspect_name, value, proposal.system_metadata, changes)
    if proposal.change_type != "UPSERT":
        raise _Dropped(f"Change type not supported: {proposal.change_type}")
    return Item(proposal.entity_urn, proposal.aspect_name, _record(proposal), proposal.system_metadata)


def _check_registry(proposal: Proposal, behaviour: Behaviour) -> None:
    """VAU.validateMCP (alternate flow: 422) or the registry's own exceptions (classic flow: drop, or 500)."""
    entity_type, aspect_name = proposal.entity_type, proposal.aspect_name
    if entity_type not in KEY_ASPECTS:
        message = f"Failed to find entity with name {entity_type} in EntityRegistry"
        raise Refusal(422, message) if behaviour.alternate else _Dropped(message)
    if entity_type_of(proposal.entity_urn) != entity_type:
        raise _Dropped(f"Urn {proposal.entity_urn} is not of entity type {entity_type}")
    if not aspect_name or proposal.aspect is None:
        raise Refusal(500, "Aspect and aspect name is required for create and update operations")
    if not knows_aspect(entity_type, aspect_name, behaviour):
        status = 422 if behaviour.alternate else 500
        raise Refusal(status, f"Unknown aspect {aspect_name} for entity {entity_type}")


def knows_aspect(entity_type: str, aspect_name: str, behaviour: Behaviour) -> bool:
    """Whether the server's registry has the aspect."""
    if (entity_type, aspect_name) in behaviour.lacks:
        return False
    try:
        judge_registered(entity_type, aspect_name)
    except Refused:
        return False
    return True


def _record(proposal: Proposal) -> dict[str, Any]:
    """CII.convertToRecordTemplate (not JSON: 500) and VAU.validateOrThrow (not the schema: 422)."""
    aspect = proposal.aspect
    if aspect is None or aspect.content_type != JSON:
        raise _Dropped("contentType is not application/json")
    try:
        value = orjson.loads(aspect.value)
    except orjson.JSONDecodeError as error:
        raise Refusal(500, f"Could not deserialize {aspect.value[:80]} for aspect: {error}") from error
    if not isinstance(value, dict):
        raise Refusal(500, f"Could not deserialize {aspect.value[:80]} for aspect {proposal.aspect_name}")
    _judge(proposal.aspect_name, value)
    return value


def _judge(aspect_name: str, value: dict[str, Any]) -> None:
    try:
        judge_aspect(aspect_name, value)
    except Refused as refused:
        message = f"Failed to validate record with class {aspect_name}: ERROR :: {refused}"
        raise Refusal(422, message) from refused


def _check_proposed(item: Item) -> None:
    """Validators of the proposed phase (ABI.build), in both modes."""
    if item.aspect_name == "versionProperties" and "isLatest" in item.value:
        raise Refusal(422, "IsLatest should not be specified, this is a computed field")


def _store(batch: Batch, verdict: Verdict, behaviour: Behaviour) -> None:
    """The limits of SQL's URN column (EbeanAspectV2) and of Kafka's messages.

    Without `async` the request fails whole, and not by a ValidationException: 500 [inferred]. With it a long
    URN fails in the mce-consumer only, after the 200; a message that Kafka does not take fails the request.
    """
    for proposal in batch.proposals:
        if proposal.aspect and len(proposal.aspect.value.encode()) > behaviour.kafka_limit:
            raise Refusal(500, "RecordTooLargeException: The message is larger than max.request.size")
    too_long = [item for item in verdict.stored if len(item.urn) > URN_COLUMN_CHARACTERS]
    if too_long and not batch.is_async:
        raise Refusal(500, "PersistenceException: Data truncation: Data too long for column 'urn' at row 1")
    for item in too_long:
        verdict.stored.remove(item)
        verdict.dropped.append((item.urn, "too long for the column 'urn', after the answer"))
