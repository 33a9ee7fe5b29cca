"""acryl-datahub as the judge of what we write: its URNs, entity registry, classes and Avro schemas.

Our aspects are structs of our own; this module is how tests know that DataHub's own library would have
written the same. `judge` takes one proposal as DataHub's file sink writes it and raises `Refused` with a
sentence that says where and why. What acryl-datahub does not know about a server (limits of length, silent
drops) is told by `tests/gms/`.
"""

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import orjson
from avrogen.dict_wrapper import DictWrapper
from datahub.emitter.aspect import ASPECT_MAP, TIMESERIES_ASPECT_MAP
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.serialization_helper import post_json_transform
from datahub.metadata import schemas
from datahub.metadata.schema_classes import KEY_ASPECTS, SystemMetadataClass
from datahub.metadata.urns import Urn
from datahub.utilities.urns.error import InvalidUrnError

from tests.support.urn_places import urns_within

PROPOSAL_KEYS = {"entityType", "entityUrn", "changeType", "aspectName", "aspect", "systemMetadata", "headers"}
AVRO_ERRORS = (avro.errors.AvroException, TypeError, ValueError, KeyError, AttributeError)


class Refused(Exception):
    """The proposal is not what acryl-datahub would write; the message is one sentence for a person."""


def judge(proposal: Mapping[str, Any]) -> None:
    """Raise `Refused` unless acryl-datahub would have written this proposal, field by field."""
    urn, aspect_name = proposal.get("entityUrn"), proposal.get("aspectName")
    try:
        _judge_envelope(proposal)
        judge_registered(proposal["entityType"], proposal["aspectName"])
        judge_urn(proposal["entityUrn"], proposal["entityType"])
        aspect = judge_aspect(proposal["aspectName"], proposal["aspect"]["json"])
        system_metadata = None
        if "systemMetadata" in proposal:
            system_metadata = judge_system_metadata(proposal["systemMetadata"])
        _judge_wrapper(proposal, aspect, system_metadata)
    except Refused as refused:
        raise Refused(f"{aspect_name} of {urn}: {refused}") from refused.__cause__


def judge_all(proposals: Iterable[Mapping[str, Any]]) -> Counter[tuple[str, str]]:
    """Judge every proposal; how many there are of each (entity type, aspect)."""
    counts: Counter[tuple[str, str]] = Counter()
    for proposal in proposals:
        judge(proposal)
        counts[proposal["entityType"], proposal["aspectName"]] += 1
    return counts


def flapping(proposals: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The (urn, aspect) pairs written with more than one value, in order of their second value.

    Values of a timeseries aspect differ by nature: there, two values of one moment count.
    """
    first: dict[tuple[Any, ...], Any] = {}
    found: dict[tuple[str, str], None] = {}
    for proposal in proposals:
        urn, name, value = proposal["entityUrn"], proposal["aspectName"], proposal["aspect"]["json"]
        moment = value.get("timestampMillis") if name in TIMESERIES_ASPECT_MAP else None
        if first.setdefault((urn, name, moment), value) != value:
            found[urn, name] = None
    return list(found)


def judge_one_value(proposals: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Refused` when one aspect of one entity is written with two different values."""
    if found := flapping(proposals):
        urn, name = found[0]
        raise Refused(f"{len(found)} aspects have two different values in one crawl, such as {name} of {urn}")


def judge_contiguous(proposals: Iterable[Mapping[str, Any]]) -> None:
    """Raise `Refused` when the proposals of one entity are not next to each other."""
    seen: set[str] = set()
    for urn, _ in groupby(proposals, key=lambda proposal: proposal["entityUrn"]):
        if urn in seen:
            raise Refused(f"the proposals of {urn} are not next to each other")
        seen.add(urn)


def judge_registered(entity_type: str, aspect_name: str) -> None:
    """Raise `Refused` unless DataHub's entity registry gives entities of this type that aspect."""
    if entity_type not in KEY_ASPECTS:
        raise Refused(f"DataHub knows no entity type {entity_type}")
    key_aspect = KEY_ASPECTS[entity_type]
    known = (key_aspect.ASPECT_NAME, *key_aspect.get_aspect_info()["entityAspects"])
    if aspect_name not in known or aspect_name not in ASPECT_MAP:
        raise Refused(f"unknown aspect {aspect_name} for entity {entity_type}")


def judge_urn(urn: str, entity_type: str) -> None:
    """Raise `Refused` unless the URN is one of that entity type and makes a valid key."""
    found = _parsed_type(urn)
    if found != entity_type:
        raise Refused(f"{urn} is a URN of {found}, not of {entity_type}")


def judge_aspect(aspect_name: str, value: Any) -> DictWrapper:
    """The aspect as acryl-datahub's own object; `Refused` when it cannot be exactly that."""
    if not isinstance(value, dict):
        raise Refused(f"the aspect is no JSON object but {type(value).__name__}")
    if not value:
        raise Refused("an empty aspect cannot be read back by DataHub's file source")
    return _aspect_of(aspect_name, _json(value))


def judge_system_metadata(value: Any) -> SystemMetadataClass:
    """The system metadata as acryl-datahub's own object."""
    if not isinstance(value, dict):
        raise Refused(f"systemMetadata is no JSON object but {type(value).__name__}")
    return _system_metadata_of(_json(value))


def _judge_envelope(proposal: Mapping[str, Any]) -> None:
    """What is around the aspect: DataHub's file sink writes these keys and no other."""
    if unknown := set(proposal) - PROPOSAL_KEYS:
        raise Refused(f"a proposal has no {', '.join(sorted(unknown))}")
    for key in ("entityType", "entityUrn", "changeType", "aspectName"):
        if not isinstance(proposal.get(key), str):
            raise Refused(f"{key} is no string but {proposal.get(key)!r}")
    if proposal["changeType"] != "UPSERT":
        raise Refused(f"changeType is {proposal['changeType']}, not UPSERT")
    aspect = proposal.get("aspect")
    if not isinstance(aspect, dict) or list(aspect) != ["json"]:
        raise Refused('aspect is not of the form {"json": {…}}')


def _judge_wrapper(
    proposal: Mapping[str, Any], aspect: DictWrapper, system_metadata: SystemMetadataClass | None
) -> None:
    """What the official connector would hand to its sink must be buildable and valid."""
    wrapper = MetadataChangeProposalWrapper(
        entityType=proposal["entityType"],
        entityUrn=proposal["entityUrn"],
        changeType=proposal["changeType"],
        aspectName=proposal["aspectName"],
        aspect=aspect,
        systemMetadata=system_metadata,
        headers=proposal.get("headers"),
    )
    if not wrapper.validate():
        raise Refused("MetadataChangeProposalWrapper does not validate")


def _json(value: Any) -> bytes:
    """Canonical JSON, as key of the caches below. Refuses what no JSON in UTF-8 can hold."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (TypeError, orjson.JSONEncodeError) as error:
        raise Refused(f"no JSON: {error}") from error


@lru_cache(maxsize=16_384)
def _aspect_of(aspect_name: str, blob: bytes) -> DictWrapper:
    """Decode and judge one aspect; the many equal ones (status, subTypes, …) are judged once."""
    aspect: DictWrapper = _decoded(ASPECT_MAP[aspect_name], orjson.loads(blob))
    return aspect


@lru_cache(maxsize=1_024)
def _system_metadata_of(blob: bytes) -> SystemMetadataClass:
    return _decoded(SystemMetadataClass, orjson.loads(blob))


def _decoded(cls: type[DictWrapper], value: dict[str, Any]) -> Any:
    """`value` as an object of acryl-datahub's, after all it has to say about it."""
    ours = post_json_transform(value)
    _judge_no_null(value, "")
    try:
        decoded = cls.from_obj(ours)
        theirs = decoded.to_obj()
    except AVRO_ERRORS as error:
        raise Refused(f"{cls.__name__} does not take it: {_one_line(error)}") from error
    if difference := _difference(ours, theirs, ""):
        raise Refused(difference)
    if not decoded.validate():
        raise Refused(f"{cls.__name__} does not validate")
    plain = _plain(decoded)
    _judge_avro(cls, plain)
    for path, urn, allowed in urns_within(cls, plain):
        _judge_inner_urn(path, urn, allowed)
    return decoded


def _judge_no_null(value: Any, path: str) -> None:
    """acryl-datahub never sends null (`pre_json_transform`): a field without a value is left out."""
    if value is None:
        raise Refused(f"{path} is null: leave the field out")
    for key, item in _children(value):
        _judge_no_null(item, f"{path}/{key}")


def _children(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _difference(ours: Any, theirs: Any, path: str, where: str = "acryl-datahub") -> str | None:
    """What of ours did not come back the same. Fields that were added are defaults, so no difference."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if unknown := sorted(set(ours) - set(theirs)):
            return f"unknown field {path}/{unknown[0]}"
        pairs = [(key, item, theirs[key]) for key, item in ours.items()]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(index, *pair) for index, pair in enumerate(zip(ours, theirs, strict=True))]
    elif type(ours) is type(theirs) and ours == theirs:
        return None
    else:
        return f"{path} is {ours!r} here and {theirs!r} in {where}"
    return next(
        (found for key, one, other in pairs if (found := _difference(one, other, f"{path}/{key}", where))),
        None,
    )


def _plain(value: Any) -> Any:
    """An object of acryl-datahub's as Avro's own library takes it: dicts, no names around union members."""
    if isinstance(value, DictWrapper):
        return {key: _plain(item) for key, item in value.items() if item is not None}  # type: ignore[no-untyped-call]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


@cache
def _avro_schema(name: str) -> avro.schema.Schema:
    """The schema file that acryl-datahub ships beside its classes."""
    return avro.schema.parse((Path(schemas.__file__).parent / f"{name}.avsc").read_text())


def _judge_avro(cls: type[DictWrapper], plain: dict[str, Any]) -> None:
    """Avro's own library must write it and read the same: so `true`, which Python takes for a long, is told.

    `write_data`, not `write`: the latter first calls `avro.io.validate`, which looks at keys only to choose
    the member of a union, and takes each `platformSchema: Schemaless {}` for a bare EspressoSchema.
    """
    schema, buffer = _avro_schema(cls.RECORD_SCHEMA.name), io.BytesIO()
    try:
        avro.io.DatumWriter().write_data(schema, plain, avro.io.BinaryEncoder(buffer))
    except AVRO_ERRORS as error:
        raise Refused(f"the Avro schema of {cls.__name__} refuses it: {_one_line(error)}") from error
    buffer.seek(0)
    read = avro.io.DatumReader(schema, schema).read_data(schema, schema, avro.io.BinaryDecoder(buffer))
    if difference := _difference(plain, read, "", "Avro"):
        raise Refused(difference)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:400]


@lru_cache(maxsize=131_072)
def _parsed_type(urn: str) -> str:
    """The entity type of a URN that parses, comes back the same and makes a valid key aspect.

    By its class: the property `entity_type` of a VersionSetUrn is that of the set's members.
    """
    try:
        parsed = Urn.from_string(urn)
    except (InvalidUrnError, AssertionError, AttributeError) as error:
        raise Refused(f"{urn!r} is no URN: {error}") from error
    if parsed.urn() != urn:
        raise Refused(f"{urn!r} comes back from acryl-datahub as {parsed.urn()!r}")
    entity_type = getattr(type(parsed), "ENTITY_TYPE", None)
    if entity_type not in KEY_ASPECTS or not parsed.to_key_aspect().validate():
        raise Refused(f"{urn!r} makes no valid key of an entity that DataHub knows")
    return str(entity_type)


def _judge_inner_urn(path: str, urn: str, allowed: frozenset[str]) -> None:
    try:
        found = _parsed_type(urn)
    except Refused as refused:
        raise Refused(f"{path}: {refused}") from refused.__cause__
    if allowed and found not in allowed:
        raise Refused(f"{path} takes a URN of {' or '.join(sorted(allowed))}, not {urn}")
