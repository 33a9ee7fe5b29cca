"""Where the endpoints lie."""

import re

RESTLI = "/aspects"
_OPENAPI = re.compile(r".*/openapi/v3/entity/(\w+)")


def entity_type_in(path: str) -> str | None:
    """The entity type that a path of OpenAPI v3 names; None for any other path."""
    match = _OPENAPI.fullmatch(path)
    return match and match[1]
