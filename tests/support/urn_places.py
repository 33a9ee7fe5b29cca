"""Where aspects hold URNs, and of which entity types: read off the schemas that acryl-datahub ships."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import avro.schema
from avrogen.dict_wrapper import DictWrapper
from datahub.metadata import urns

TYPE_OF_MARK = {name.lower(): cls.ENTITY_TYPE for name, cls in vars(urns).items() if hasattr(cls, "ENTITY_TYPE")}
"""Schemas mark a URN's kind by its class, `TagUrn`. In lower case: MLFeatureUrn is MlFeatureUrn elsewhere."""

ANY_TYPE: frozenset[str] = frozenset()

Relations = Mapping[tuple[str, ...], frozenset[str]]
"""The rest of a relationship's path from here (`*`: every item) to the entity types that it allows."""

UrnTree = frozenset[str] | dict[str, Any]
"""Where a value holds URNs: keys are fields (`*`: every item), leaves the entity types allowed there."""


def urns_within(cls: type[DictWrapper], value: dict[str, Any]) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Each URN in an aspect: where it is, what it is, and the entity types allowed there (none: any)."""
    return _walk(_urn_tree_of(cls), value, "")  # type: ignore[arg-type]


def _walk(tree: UrnTree, value: Any, path: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    if isinstance(tree, frozenset):
        yield path, value, tree
        return
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if (branch := tree.get("*", tree.get(key))) is not None:
            yield from _walk(branch, item, f"{path}/{key}")


@cache
def _urn_tree_of(cls: type[DictWrapper]) -> UrnTree:
    return _urn_tree(cls.RECORD_SCHEMA, {}, {}, ()) or {}


def _urn_tree(
    schema: Any,
    props: Mapping[str, Any],
    relations: Relations,
    within: tuple[str, ...],
) -> UrnTree | None:
    """Where values of this schema hold URNs: strings marked `Urn`, or named by a `Relationship` further up.

    `within` names the records around this one: a recursive record is not followed.
    """
    match schema.type:
        case "string":
            return relations.get((), _types_of_mark(props))
        case "array" | "map":
            items = schema.items if schema.type == "array" else schema.values
            branch = _urn_tree(items, props, _below(relations, "*"), within)
            return {"*": branch} if branch is not None else None
        case "union":
            return _merged(_urn_tree(member, props, relations, within) for member in schema.schemas)
        case "record" if schema.fullname not in within:
            return _urn_tree_of_record(schema, relations, (*within, schema.fullname))
    return None


def _urn_tree_of_record(
    schema: avro.schema.RecordSchema,
    relations: Relations,
    within: tuple[str, ...],
) -> UrnTree | None:
    tree = {}
    for field in schema.fields:
        known = {**_below(relations, field.name), **_relations_of(field.props)}
        if (branch := _urn_tree(field.type, field.props, known, within)) is not None:
            tree[field.name] = branch
    return tree or None


def _below(relations: Relations, step: str) -> dict[tuple[str, ...], frozenset[str]]:
    return {path[1:]: types for path, types in relations.items() if path[:1] == (step,)}


def _relations_of(props: Mapping[str, Any]) -> dict[tuple[str, ...], frozenset[str]]:
    """`{"entityTypes": …}` is about the field itself, `{"/*/destinationUrn": {…}}` about a part of it."""
    relationship = props.get("Relationship", {})
    if "entityTypes" in relationship:
        return {(): frozenset(relationship["entityTypes"])}
    return {
        tuple(path.strip("/").split("/")): frozenset(relation.get("entityTypes", ANY_TYPE))
        for path, relation in relationship.items()
        if path.startswith("/")
    }


def _types_of_mark(props: Mapping[str, Any]) -> frozenset[str] | None:
    """`Urn` is any type, `TagUrn` a tag; a string without the mark is none."""
    if "Urn" not in props:
        return None
    entity_type = TYPE_OF_MARK.get(props["Urn"].lower())
    return frozenset([entity_type]) if entity_type else ANY_TYPE


def _merged(branches: Iterable[UrnTree | None]) -> UrnTree | None:
    """One tree for all members of a union; members of one union do not disagree about a field."""
    found = [branch for branch in branches if branch is not None]
    if not found or isinstance(found[0], frozenset):
        return found[0] if found else None
    return {key: branch for tree in found for key, branch in tree.items()}  # type: ignore[union-attr]
