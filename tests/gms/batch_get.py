"""OpenAPI's POST /openapi/v3/entity/{type}/batchGet and …/generic/batchGet: their requests and answers (EC3:
getEntityBatch, batchGetGenericEntities, toEntityVersionRequest, buildEntityVersionedAspectList).
"""

from contextlib import suppress
from typing import Any

import orjson
from aiohttp import web
from datahub.metadata.schema_classes import ASPECT_NAME_MAP

from tests.gms import answers, intake, openapi
from tests.gms.answers import Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.paths import GENERIC, entity_type_in
from tests.gms.shelf import Shelf
from tests.gms.urn_rules import entity_type_of, key_aspect

AUDIT_STAMP = {"time": 1, "actor": "urn:li:corpuser:datahub"}


def unverified_batch(_request: web.Request, body: bytes) -> list[dict[str, Any]]:
    """The entities of a body, as far as it is one."""
    with suppress(ValueError):
        asked = orjson.loads(body)
        listed = [each for group in asked.values() for each in group] if isinstance(asked, dict) else asked
        if isinstance(listed, list):
            return [entity for entity in listed if isinstance(entity, dict)]
    return []


def answer(request: web.Request, body: bytes, behaviour: Behaviour, shelf: Shelf) -> web.Response:
    """Entities in the order of the request, without what is not stored: aspects, and entities that have none of those
    asked for. The key aspect comes only where it was asked for (`alwaysIncludeKeyAspect` is false).
    """
    entity_type = entity_type_in(request.path)
    if entity_type != GENERIC:
        return answers.as_json(_listed(request, entity_type, openapi.entities(body), behaviour, shelf))
    if not behaviour.reads_several_types:
        # It takes `generic` for an entity type, and what is no array for no entities.
        return answers.as_json([])
    asked = openapi.decoded(body)
    if not isinstance(asked, dict):
        raise Refusal(500, "class ArrayNode cannot be cast to class ObjectNode")
    return answers.as_json(
        {name: _listed(request, name, openapi.entities_in(group), behaviour, shelf) for name, group in asked.items()}
    )


def error(refusal: Refusal, _behaviour: Behaviour) -> web.Response:
    """GCEH: what nobody foresaw has no message."""
    message = "Internal server error occurred" if refusal.status == 500 else refusal.message
    return answers.as_json({"error": message}, refusal.status)


def timeseries_in(entities: list[dict[str, Any]]) -> list[str]:
    """The aspects asked for that lie in the search index only: EC3 reads each entity's by a query of its own."""
    known = {name for name, aspect in ASPECT_NAME_MAP.items() if aspect.ASPECT_TYPE == "timeseries"}
    return sorted({name for entity in entities for name in entity if name in known})


def _listed(
    request: web.Request, entity_type: str | None, entities: list[dict[str, Any]], behaviour: Behaviour, shelf: Shelf
) -> list[dict[str, Any]]:
    asked = _asked(request, entity_type, entities, behaviour, shelf)
    if any(urn in behaviour.unreadable for urn in asked):
        # AuthUtil.isAPIAuthorizedEntityUrns: all or nothing.
        raise Refusal(403, "urn:li:corpuser:datahub is unauthorized to READ  entities.")
    with_metadata = behaviour.shows_metadata and request.query.get("systemMetadata", "false") == "true"
    listed: list[dict[str, Any]] = []
    for urn, names in asked.items():
        found = {name: stored for name in names if (stored := _stored(shelf, urn, name)) is not None}
        if found:
            listed.append({"urn": urn} | {name: _shown(stored, with_metadata) for name, stored in found.items()})
    return listed


def _asked(
    request: web.Request, entity_type: str | None, entities: list[dict[str, Any]], behaviour: Behaviour, shelf: Shelf
) -> dict[str, list[str]]:
    """An unknown aspect is passed over without a word; who asks for none is answered all. Two items of one entity are
    one. What no reader can mean (another type than the path's, which EC3 does not look at) is a 400 here.
    """
    if request.query.get("systemMetadata", "false") not in {"true", "false"}:
        raise Refusal(400, "Parameter 'systemMetadata' is no boolean")
    asked: dict[str, list[str]] = {}
    for entity in entities:
        urn = openapi.urn_of(entity_type, entity)
        named = entity_type_of(urn)
        names = [name for name in entity if name != "urn" and intake.knows_aspect(named, name, behaviour)]
        asked.setdefault(urn, []).extend(names or shelf.aspects_of(urn))
    return asked


def _stored(shelf: Shelf, urn: str, name: str) -> tuple[dict[str, Any], dict[str, Any] | None] | None:
    """ESI stores the key aspect with the first of an entity's versioned aspects."""
    key_name, key = key_aspect(urn)
    if name == key_name and shelf.aspects_of(urn):
        return key, None
    return shelf.get((urn, name))


def _shown(stored: tuple[dict[str, Any], dict[str, Any] | None], with_metadata: bool) -> dict[str, Any]:
    value, metadata = stored
    # A row without system metadata is shown with the defaults of SystemMetadata.pdl.
    told = {"lastObserved": 0, "runId": "no-run-id-provided"} | (metadata or {})
    return {"value": value} | ({"systemMetadata": told, "auditStamp": AUDIT_STAMP} if with_metadata else {})
