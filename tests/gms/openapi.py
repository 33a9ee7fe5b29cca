"""The OpenAPI v3 endpoint, POST /openapi/v3/entity/{type}, or PATCH: its requests and its answers (EC3, GEC, GCEH)."""

import json
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web
from datahub.metadata.schema_classes import KEY_ASPECTS

from tests.gms import answers, intake
from tests.gms.answers import JSON, Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.patches import JSON_PATCH
from tests.gms.paths import entity_type_in
from tests.gms.unverified_batch import Proposals
from tests.gms.urn_rules import MalformedUrn, entity_type_of

SKIPS_BAD_ITEMS = False
ASPECT_KEYS = {"value", "systemMetadata", "headers"}


def unverified_batch(request: web.Request, body: bytes) -> Proposals:
    """The aspects of a body as Rest.li's proposals, as far as it is one."""
    found: Proposals = []
    with suppress(ValueError, TypeError, AttributeError, KeyError):
        for entity in orjson.loads(body):
            found += [_proposal(request, entity["urn"], name, entity[name]) for name in entity if name != "urn"]
    return found


def parse(request: web.Request, body: bytes, behaviour: Behaviour) -> intake.Batch:
    """EC3.toMCPBatch. What it only skips or takes the last of (no array, a key twice, another type than the path's),
    no writer can mean: that is a 400 here.
    """
    if request.content_type != JSON:
        raise Refusal(415, f"Content-Type '{request.content_type}' is not supported")
    if entity_type_in(request.path) in behaviour.forbidden_types:
        raise Refusal(403, "")
    mode = request.query.get("async", "true")
    if mode not in {"true", "false"}:
        raise Refusal(400, f"Parameter 'async' is no boolean but {mode!r}")
    proposals = [
        proposal
        for entity in entities(body)
        for proposal in _proposals(request, entity)
        if _is_known(proposal, behaviour)
    ]
    return intake.Batch(proposals, mode)


def success(batch: intake.Batch, unchanged: set[tuple[str, str]]) -> web.Response:
    """What was accepted, entities in the order of a Java map.

    Without `async` what was written: the key aspects too, but nothing that was there before with the same system
    metadata (AspectDao.saveLatestAspect).
    """
    listed: dict[str, dict[str, Any]] = {}
    for proposal in reversed(batch.proposals):
        if not batch.is_async and (proposal.entity_urn, proposal.aspect_name) in unchanged:
            continue
        entity = listed.setdefault(proposal.entity_urn, {"urn": proposal.entity_urn})
        if not batch.is_async:
            entity[KEY_ASPECTS[proposal.entity_type].ASPECT_NAME] = {"value": {}}
        if proposal.aspect is not None:
            entity[proposal.aspect_name] = {"value": orjson.Fragment(proposal.aspect.value)}
    return answers.as_json(list(listed.values()), 202 if batch.is_async else 200)


def error(refusal: Refusal, behaviour: Behaviour) -> web.Response:
    """GCEH: a ValidationException has a message, and what nobody foresaw has none."""
    status, body = refusal.status, {"error": refusal.message}
    if status == 422:
        status, body = behaviour.validation_status, {"error": "Validation Error", "message": refusal.message}
    if status == 403:
        body = {"error": "urn:li:corpuser:datahub is unauthorized to CREATE entities."}
    if status == 500:
        body = {"error": "Internal server error occurred"}
    return answers.as_json(body, status)


def entities(body: bytes) -> list[dict[str, Any]]:
    """The array of entities that a body is, without a key twice."""
    return entities_in(decoded(body))


def entities_in(listed: Any) -> list[dict[str, Any]]:
    """The same, decoded."""
    if not isinstance(listed, list) or not all(isinstance(entity, dict) for entity in listed):
        raise Refusal(400, "The body is no array of entities")
    return listed


def decoded(body: bytes) -> Any:
    """A body as JSON without a key twice."""
    try:
        return json.loads(body, object_pairs_hook=_without_doubles)
    except ValueError as wrong:
        raise Refusal(400, f"JSON parse error: {wrong}") from wrong


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError(f"a key twice in one object: {[name for name, _ in pairs]}")
    return names


def urn_of(entity_type: str | None, entity: dict[str, Any]) -> str:
    """The entity's URN, which must be of the type in the path, or the one that it is listed under."""
    if "urn" not in entity:
        raise Refusal(500, "Missing `urn` field")
    urn: str = entity["urn"]
    try:
        named = entity_type_of(urn)
    except (MalformedUrn, AttributeError) as wrong:
        raise Refusal(400, f"Invalid urn: {urn}") from wrong
    if named != entity_type:
        raise Refusal(400, f"{urn} is no {entity_type}")
    return urn


def _proposals(request: web.Request, entity: dict[str, Any]) -> list[intake.Proposal]:
    urn = urn_of(entity_type_in(request.path), entity)
    return [_checked(request, urn, name, entity[name]) for name in entity if name != "urn"]


def _checked(request: web.Request, urn: str, name: str, given: Any) -> intake.Proposal:
    if not isinstance(given, dict) or "value" not in given:
        raise Refusal(500, f"No value of aspect {name}")
    if unknown := set(given) - ASPECT_KEYS:
        raise Refusal(400, f"An aspect has no {', '.join(sorted(unknown))}")
    patches = request.method == "PATCH"
    if patches and not (isinstance(given["value"], dict) and "patch" in given["value"]):
        raise Refusal(500, "Missing `patch` field.")
    shown = _proposal(request, urn, name, {**given, "value": given["value"]["patch"]} if patches else given)
    proposal = intake.Proposal(
        entity_type=shown["entityType"],
        entity_urn=urn,
        change_type="PATCH" if patches else "UPSERT",
        aspect_name=name,
        aspect=intake.GenericAspect(value=shown["aspect"]["value"], content_type=JSON_PATCH if patches else JSON),
        system_metadata=given.get("systemMetadata"),
        headers=given.get("headers"),
    )
    intake.check_envelope(proposal)
    return proposal


def _proposal(request: web.Request, urn: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    return {
        "entityType": entity_type_in(request.path),
        "entityUrn": urn,
        "aspectName": name,
        "aspect": {"value": json.dumps(given.get("value"), ensure_ascii=False), "contentType": JSON},
        "systemMetadata": given.get("systemMetadata"),
    }


def _is_known(proposal: intake.Proposal, behaviour: Behaviour) -> bool:
    """EC3.lookupAspectSpec: an unknown aspect is skipped without a word, or refused since PR #19628."""
    if intake.knows_aspect(proposal.entity_type, proposal.aspect_name, behaviour):
        return True
    if behaviour.names_unknown_aspects:
        raise Refusal(400, f"Unknown aspect {proposal.aspect_name} for entity {proposal.entity_type}")
    return False
