"""DataHub's search index, and OpenAPI's POST /openapi/v3/entity/scroll that lists what is in it (EC3: scrollEntities).

It follows what is written, but it is another store: it may know what is gone, and not know what is there.
"""

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

from tests.gms import answers, batch_get, openapi
from tests.gms.answers import Refusal
from tests.gms.behaviour import Behaviour

error = batch_get.error
PARAMETERS = {
    *("count", "query", "scrollId", "sort", "sortCriteria", "sortOrder", "systemMetadata", "skipCache"),
    *("includeSoftDelete", "pitKeepAlive", "sliceId", "sliceMax"),
}
MOST = 10_000
"""SEARCH_SERVICE_LIMIT_RESULTS_MAX; a larger `count` becomes the default of the API."""
DEFAULT_COUNT = 5_000


class SearchIndex:
    """A document for each entity. While it `stands`, nothing that is written comes into it."""

    def __init__(self) -> None:
        self.stands = False
        self._documents: dict[str, dict[str, dict[str, Any]]] = {}

    def put(self, urn: str, aspect_name: str, value: dict[str, Any]) -> None:
        """Take an aspect that was written."""
        if not self.stands:
            self._documents.setdefault(urn, {})[aspect_name] = value

    def remove(self, urn: str) -> None:
        """Forget an entity."""
        if not self.stands:
            self._documents.pop(urn, None)

    def found(self, entity_types: list[str], criteria: list[Mapping[str, Any]], *, removed: bool) -> list[str]:
        """The URNs that all criteria match, in the order of the URNs."""
        return sorted(
            urn
            for urn, document in self._documents.items()
            if urn.split(":")[2] in entity_types
            and (removed or not document.get("status", {}).get("removed"))
            and all(_matches(urn, document, each) for each in criteria)
        )


def answer(request: web.Request, body: bytes, behaviour: Behaviour, index: SearchIndex) -> web.Response:
    """A page of URNs; its scroll id is left out where there is no next one."""
    if behaviour.scroll == "forbidden":
        raise Refusal(403, "urn:li:corpuser:datahub is unauthorized to READ  entities.")
    if unknown := set(request.query) - PARAMETERS:
        raise Refusal(400, f"Unknown parameters {sorted(unknown)}")
    asked = openapi.decoded(body)
    fields = {"entities", "aspects"} | ({"filter", "sortCriteria"} if behaviour.scroll == "filtered" else set())
    if not isinstance(asked, dict) or set(asked) - fields:
        raise Refusal(400, f"JSON parse error: Unrecognized field, only {sorted(fields)} are known")
    if "aspects" in asked:
        raise Refusal(400, "The double lists URNs only: with `aspects`, GMS reads them all from its store")
    urns = index.found(
        asked["entities"], _criteria(asked), removed=request.query.get("includeSoftDelete", "false") == "true"
    )
    after = base64.b64decode(request.query["scrollId"]).decode() if "scrollId" in request.query else ""
    count = int(request.query.get("count", 10))
    left = [urn for urn in urns if urn > after]
    page = left[: behaviour.scroll_page or (count if count <= MOST else DEFAULT_COUNT)]
    next_page = {"scrollId": base64.b64encode(page[-1].encode()).decode()} if len(page) < len(left) else {}
    return answers.as_json({**next_page, "entities": [{"urn": urn} for urn in page], "totalCount": len(urns)})


def _criteria(asked: dict[str, Any]) -> list[Mapping[str, Any]]:
    """Filter.java: `and` holds alternatives (it becomes `or`), each with `criteria` that all must match."""
    alternatives = asked.get("filter", {"and": [{"criteria": []}]})["and"]
    if len(alternatives) != 1:
        raise Refusal(400, "The double knows one alternative only")
    criteria: list[Mapping[str, Any]] = alternatives[0]["criteria"]
    return criteria


def _matches(urn: str, document: Mapping[str, Any], criterion: Mapping[str, Any]) -> bool:
    if criterion["field"] != "platform.keyword" or criterion["condition"] != "EQUAL":
        raise Refusal(400, f"The double has no {orjson.dumps(criterion).decode()}")
    by_key = urn.split("(", 1)[1].partition(",")[0] if ":(" in urn else ""
    platform = document.get("dataPlatformInstance", {}).get("platform", by_key)
    return platform in criterion["values"]
