"""Where the endpoints lie."""

import re

RESTLI = "/aspects"
SCROLL = "/openapi/v3/entity/scroll"
RUNS = "/runs"
GENERIC = "generic"
"""In the place of an entity type: a request for entities of several types."""
TIMESERIES = "getTimeseriesAspectValues"
OFFSETS = "/openapi/operations/kafka/mcp/consumer/offsets"
_OPENAPI = re.compile(r".*/openapi/v3/entity/(\w+)(/batchGet)?")


def entity_type_in(path: str) -> str | None:
    """The entity type that a path of OpenAPI v3 names; None for any other path."""
    match = _OPENAPI.fullmatch(path)
    return match and match[1]


def is_batch_get(path: str) -> bool:
    """Whether a path of OpenAPI v3 reads entities back."""
    match = _OPENAPI.fullmatch(path)
    return match is not None and match[2] is not None
