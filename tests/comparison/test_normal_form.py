"""Equal meanings are equal values: what acryl-datahub's classes spell out, and what DataHub adds, is no difference."""

import random
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from datahub.metadata.schema_classes import ASPECT_NAME_MAP
from hypothesis import given
from hypothesis import strategies as st

from crawler.comparison.difference import differing_fields
from crawler.comparison.normal_form import DEFAULTS, Path, normal_form
from crawler.datahub import aspects
from crawler.datahub.readback import TIMESERIES
from crawler.mapping.stages import stage_tags
from tests.support.examples import examples

MODULES = [import_module(f"{aspects.__name__}.{each.name}") for each in iter_modules(aspects.__path__)]
WRITTEN = sorted({each.NAME for module in MODULES for each in vars(module).values() if hasattr(each, "NAME")})


def defaults_of(schema: Any, path: Path, depth: int = 0) -> Iterator[tuple[Path, Any]]:
    """Each default of a schema but null and empty lists, by the path of its field."""
    if schema.type == "record" and depth < 12:
        for field in schema.fields:
            if field.has_default and field.default is not None and field.default != []:
                yield (*path, field.name), _without_nulls(field.default)
            yield from defaults_of(field.type, (*path, field.name), depth + 1)
    inner = {"union": getattr(schema, "schemas", []), "array": [getattr(schema, "items", None)]}.get(schema.type, [])
    for each in inner:
        yield from defaults_of(each, path, depth + 1)


def _without_nulls(value: Any) -> Any:
    return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


@pytest.mark.parametrize("name", WRITTEN)
def test_the_defaults_are_those_of_datahubs_schemas(name: str) -> None:
    assert dict(defaults_of(ASPECT_NAME_MAP[name].RECORD_SCHEMA, ())) == DEFAULTS.get(name, {})


def test_no_default_is_of_an_aspect_that_is_not_written() -> None:
    assert DEFAULTS.keys() <= set(WRITTEN)
    assert "dataProcessInstanceRunEvent" in TIMESERIES


SAID: dict[str, Any] = {"name": "a", "customProperties": {}, "description": None, "tags": []}


@pytest.mark.parametrize(
    ("aspect", "ours", "theirs"),
    [
        ("mlModelProperties", {"name": "a"}, SAID),
        ("status", {"removed": False}, {"removed": False, "lifecycleStage": "urn:li:lifecycleStage:draft"}),
        ("status", {"removed": False}, {}),
        ("versionProperties", {"sortId": "1"}, {"sortId": "1", "isLatest": True, "aliases": []}),
        ("versionProperties", {"sortId": "1", "versioningScheme": "LEXICOGRAPHIC_STRING"}, {"sortId": "1"}),
        (
            "ownership",
            {"owners": [{"owner": "a", "type": "NONE"}]},
            {
                "owners": [{"owner": "a", "type": "NONE", "typeUrn": None}],
                "ownerTypes": {"NONE": ["a"]},
                "lastModified": {"time": 7, "actor": "urn:li:corpuser:ann"},
            },
        ),
        ("schemaMetadata", {"fields": [{"fieldPath": "a", "nullable": False}]}, {"fields": [{"fieldPath": "a"}]}),
        (
            "dataProcessInstanceInput",
            {"inputEdges": [{"destinationUrn": "a"}]},
            {"inputEdges": [{"destinationUrn": "a", "properties": None}], "inputs": []},
        ),
        (
            "upstreamLineage",
            {"upstreams": [{"dataset": "a", "auditStamp": {"time": 0, "actor": "urn:li:corpuser:unknown"}}]},
            {"upstreams": [{"dataset": "a"}]},
        ),
        (
            "dataProcessInstanceRunEvent",
            {"partitionSpec": {"type": "FULL_TABLE", "partition": "FULL_TABLE_SNAPSHOT"}},
            {"eventGranularity": None},
        ),
        ("mlTrainingRunProperties", {"hyperParams": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}, None),
    ],
)
def test_what_is_no_difference(aspect: str, ours: dict[str, Any], theirs: dict[str, Any] | None) -> None:
    if theirs is None:
        theirs = {name: each[::-1] for name, each in ours.items()}
    assert differing_fields(aspect, ours, theirs) == differing_fields(aspect, theirs, ours) == []


@pytest.mark.parametrize(
    ("aspect", "ours", "theirs", "fields"),
    [
        ("status", {"removed": False}, {"removed": True}, ["removed"]),
        ("mlModelProperties", {"description": "a"}, {"description": ""}, ["description"]),
        ("containerProperties", {"name": "a"}, {"name": "a", "description": "x"}, ["description"]),
        (
            "containerProperties",
            {"customProperties": {"a": "1", "b": "2"}},
            {"customProperties": {"a": "1", "b": "3", "c": ""}},
            ["customProperties.b", "customProperties.c"],
        ),
        # In a map the user's keys have no defaults.
        (
            "dataProcessInstanceRunEvent",
            {"result": {"type": "PARTITION"}},
            {"result": {"type": "SUCCESS"}},
            ["result.type"],
        ),
        (
            "containerProperties",
            {"customProperties": {"removed": "False"}},
            {"customProperties": {}},
            ["customProperties"],
        ),
        ("schemaMetadata", {"fields": [{"fieldPath": "a"}, {"fieldPath": "b"}]}, None, ["fields"]),
        ("subTypes", {"typeNames": ["a", "b"]}, None, ["typeNames"]),
        ("mlModelProperties", {"tags": ["a", "a"]}, {"tags": ["a"]}, ["tags"]),
        (
            "schemaMetadata",
            {"fields": [{"type": {"type": {"com.linkedin.schema.NumberType": {}}}}]},
            {"fields": [{"type": {"type": {"com.linkedin.schema.StringType": {}}}}]},
            ["fields"],
        ),
    ],
)
def test_what_is_a_difference(
    aspect: str, ours: dict[str, Any], theirs: dict[str, Any] | None, fields: list[str]
) -> None:
    if theirs is None:
        theirs = {name: each[::-1] for name, each in ours.items()}
    assert differing_fields(aspect, ours, theirs) == differing_fields(aspect, theirs, ours) == fields


def tags(*names: str) -> dict[str, Any]:
    return {"tags": [{"tag": f"urn:li:tag:{name}", "attribution": {"time": 1}} for name in names]}


@pytest.mark.parametrize(
    ("stored", "differs"),
    [
        (tags("mlflow_production"), False),
        (tags("mlflow_production", "pii"), False),
        (tags("pii"), True),
        (tags("mlflow_production", "mlflow_staging"), True),
        ({"tags": "spoilt"}, True),
    ],
)
def test_tags_of_others_do_not_count(stored: dict[str, Any], differs: bool) -> None:
    assert stage_tags()[0].urn == "urn:li:tag:mlflow_production"
    found = differing_fields("globalTags", {"tags": [{"tag": "urn:li:tag:mlflow_production"}]}, stored)
    assert found == (["tags"] if differs else [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=12,
)


@examples(100)
@given(st.sampled_from(WRITTEN), st.dictionaries(st.text(max_size=2), JSON, max_size=4), st.randoms())
def test_the_normal_form_is_stable_and_knows_no_order(name: str, value: dict[str, Any], chance: random.Random) -> None:
    normal = normal_form(name, value)
    assert normal_form(name, normal) == normal
    assert normal_form(name, _shuffled(value, chance)) == normal


def _shuffled(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(each, chance) for key, each in chance.sample([*value.items()], len(value))}
    if isinstance(value, list):
        return [_shuffled(each, chance) for each in chance.sample(value, len(value))]
    return value
