"""Rest.li's POST /aspects?action=getTimeseriesAspectValues: timeseries aspects of one entity, the newest first (AR)."""

import json
from typing import Any

import msgspec
from aiohttp import web
from datahub.metadata.schema_classes import ASPECT_NAME_MAP

from tests.gms import answers
from tests.gms.answers import JSON, Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.urn_rules import entity_type_of

History = list[tuple[str, str, dict[str, Any]]]


class _Criterion(msgspec.Struct, forbid_unknown_fields=True):
    field: str
    values: list[str]
    condition: str


class _And(msgspec.Struct, forbid_unknown_fields=True):
    criteria: list[_Criterion] = msgspec.field(name="and")


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    any_of: list[_And] = msgspec.field(name="or")


class _Query(msgspec.Struct, forbid_unknown_fields=True):
    """The action's parameters, as far as a reader of ours or DataHub's own client uses them."""

    urn: str
    entity: str
    aspect: str
    limit: int = 10_000
    filter: _Filter = msgspec.field(default_factory=lambda: _Filter([_And([])]))


def answer(request: web.Request, body: bytes, behaviour: Behaviour, history: History) -> web.Response:
    """A TimeseriesAspectResult: aspects as JSON text; nothing where the entity has none."""
    if request.headers.get("X-RestLi-Protocol-Version") != "2.0.0":
        raise Refusal(400, "Rest.li protocol version is not 2.0.0")
    try:
        query = msgspec.json.decode(body, type=_Query)
    except msgspec.DecodeError as error:
        raise Refusal(400, f"Cannot parse request entity: {error}") from error
    if query.urn in behaviour.unreadable:
        raise Refusal(403, f"User is unauthorized to get timeseries aspect {query.aspect} for {query.urn}")
    if query.entity != entity_type_of(query.urn) or ASPECT_NAME_MAP[query.aspect].ASPECT_TYPE != "timeseries":
        raise Refusal(500, f"no timeseries aspect {query.aspect} of {query.entity}")
    found = [value for urn, name, value in history if (urn, name) == (query.urn, query.aspect)]
    found = [value for value in found if _passes(value, query.filter)]
    found.sort(key=lambda value: value["timestampMillis"], reverse=True)
    values = [{"aspect": {"value": json.dumps(value), "contentType": JSON}} for value in found[: query.limit]]
    listed = {"entityName": query.entity, "aspectName": query.aspect, "limit": query.limit, "values": values}
    return answers.as_json({"value": listed}, headers={"X-RestLi-Protocol-Version": "2.0.0"})


def _passes(value: dict[str, Any], asked: _Filter) -> bool:
    if any(each.condition != "EQUAL" for part in asked.any_of for each in part.criteria):
        raise Refusal(500, "a condition that the double does not know")
    return any(all(value.get(each.field) in each.values for each in part.criteria) for part in asked.any_of)
