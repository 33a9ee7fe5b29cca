"""What GMS takes for a URN: UVU (UrnValidationUtil), the key aspect, and the column that holds it."""

from urllib.parse import quote_plus

from datahub.metadata.schema_classes import KEY_ASPECTS

URN_NUM_BYTES_LIMIT = 512
URN_COLUMN_CHARACTERS = 500
URN_DELIMITER_SEPARATOR = "␟"


class MalformedUrn(ValueError):
    """No URN by its syntax: java's `Urn` does not parse it, so the request fails before any item is built."""


def entity_type_of(urn: str) -> str:
    """The entity type that a URN names; blanks around the URN are UVU's to find."""
    head = urn.strip().split(":", 3)
    if head[:2] != ["urn", "li"] or len(head) != 4 or not all(head):
        raise MalformedUrn(f"Invalid URN {urn!r}")
    return head[2]


def key_parts(urn: str) -> list[str]:
    """The parts of a URN's key, split at the commas that no inner bracket holds (java's `TupleKey`)."""
    key = urn.strip().split(":", 3)[3]
    if not (key.startswith("(") and key.endswith(")")):
        return [key]
    parts, depth = [""], 0
    for character in key[1:-1]:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    if depth or not all(parts):
        raise MalformedUrn(f"Invalid URN {urn!r}: mismatched paren nesting or empty part")
    return parts


def key_aspect(urn: str) -> tuple[str, dict[str, str]]:
    """The name and the value of an entity's key aspect, which holds the parts of its URN."""
    key = KEY_ASPECTS[entity_type_of(urn)]
    names = [field.name for field in key.RECORD_SCHEMA.fields]
    return key.ASPECT_NAME, dict(zip(names, key_parts(urn), strict=True))


def encoded_length(urn: str) -> int:
    """The length after `java.net.URLEncoder`: letters, digits and `.-*_` stay, a blank becomes `+`."""
    return len(quote_plus(urn, safe="*").replace("~", "%7E"))


def illegal(urn: str, *, strict: bool) -> str | None:
    """Why UVU throws an IllegalArgumentException, which drops the proposal silently; None where it does not.

    `strict` is STRICT_URN_VALIDATION_ENABLED: quickstart says true, application.yaml false (a warning only).
    """
    entity_type, parts = entity_type_of(urn), key_parts(urn)
    if problem := _key_problem(entity_type, parts):
        return f"Invalid urn: {urn}: {problem}"
    if urn != urn.strip():
        return "Error: cannot provide an URN with leading or trailing whitespace"
    if entity_type != "schemaField" and encoded_length(urn) > URN_NUM_BYTES_LIMIT:
        return f"Error: cannot provide an URN longer than {URN_NUM_BYTES_LIMIT} bytes (when URL encoded)"
    if URN_DELIMITER_SEPARATOR in urn:
        return f"Error: URN cannot contain {URN_DELIMITER_SEPARATOR} character"
    if strict and any(_is_illegal_part(part) for part in parts):
        return f"Illegal characters detected in URN {urn} component(s)"
    return None


def _key_problem(entity_type: str, parts: list[str]) -> str | None:
    """UVU.validateUrn first builds the key aspect: a part for each field, enums with known symbols."""
    fields = KEY_ASPECTS[entity_type].RECORD_SCHEMA.fields
    if len(parts) != len(fields):
        return f"{len(parts)} parts instead of {len(fields)}"
    for field, part in zip(fields, parts, strict=True):
        if field.type.type == "enum" and part not in field.type.symbols:
            return f"{part} is no {field.type.name}"
    return None


def _is_illegal_part(part: str) -> bool:
    """UVU.processUrnPartRecursively, and its check of commas in a URN that is no tuple."""
    if part.startswith("urn:li:"):
        return False
    if "," in part:
        return True
    return "%28" not in part and "%29" not in part and ("(" in part or ")" in part)
