"""PATCH: what GMS makes of a change to a part of an aspect (AspectTemplateEngine, StatusTemplate; ESI)."""

import json
import re
from typing import Any

from tests.gms.answers import Refusal

JSON_PATCH = "application/json-patch+json"
_FIRST = (1, 7)
"""The first version with a template for `status` (acryl-datahub's `auto_status_aspect.py`)."""


def operations(aspect_name: str, text: str, content_type: str, version: str) -> list[dict[str, Any]]:
    """The operations of a patch, which only some aspects take: `status` of what we write, from 1.7 on."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if aspect_name != "status" or found is None or (int(found[1]), int(found[2])) < _FIRST:
        raise Refusal(500, f"No AspectTemplate for {aspect_name}")
    if content_type != JSON_PATCH:
        raise Refusal(500, f"contentType {content_type} is no patch")
    changes = json.loads(text)
    known = [{"op", "path", "value"}] * len(changes)
    if not changes or [set(change) for change in changes] != known or any(each["op"] != "add" for each in changes):
        raise Refusal(500, f"no patch that the double knows: {text}")
    found_operations: list[dict[str, Any]] = changes
    return found_operations


def patched(stored: dict[str, Any] | None, changes: list[dict[str, Any]]) -> dict[str, Any]:
    """The aspect with the changes; one that is not there yet begins as its template's default."""
    value = {"removed": False} if stored is None else dict(stored)
    for change in changes:
        value[change["path"].removeprefix("/")] = change["value"]
    return value
