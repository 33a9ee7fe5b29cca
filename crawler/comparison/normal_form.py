"""The normal form of an aspect's value, in which equal meanings are equal values: pure.

DataHub stores a value as it was written, so writers that spell out defaults and nulls, as acryl-datahub's classes do,
store another JSON than writers that leave them out.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

Value = Mapping[str, Any]
"""The JSON of an aspect, or of a record in it."""
Path = tuple[str, ...]
"""Names of fields from the aspect down; the items of a list have the path of the list."""

_NO_PROPERTIES: Mapping[Path, object] = {("customProperties",): {}}
_NO_SOURCE: Mapping[Path, object] = {("version", "metadataAttribution", "sourceDetail"): {}}
_UNKNOWN = {"actor": "urn:li:corpuser:unknown", "time": 0}

DEFAULTS: Mapping[str, Mapping[Path, object]] = {
    "status": {("removed",): False},
    "containerProperties": _NO_PROPERTIES,
    "platformResourceInfo": {("value", "contentType"): "JSON"},
    "dataProcessInstanceProperties": _NO_PROPERTIES,
    "mlTrainingRunProperties": _NO_PROPERTIES,
    "dataProcessInstanceRunEvent": {
        ("eventGranularity", "multiple"): 1,
        ("partitionSpec",): {"partition": "FULL_TABLE_SNAPSHOT", "type": "FULL_TABLE"},
        ("partitionSpec", "timePartition", "length", "multiple"): 1,
        ("partitionSpec", "type"): "PARTITION",
    },
    "mlModelGroupProperties": {**_NO_PROPERTIES, **_NO_SOURCE},
    "mlModelProperties": {**_NO_PROPERTIES, **_NO_SOURCE},
    "versionProperties": {
        **_NO_SOURCE,
        ("aliases", "metadataAttribution", "sourceDetail"): {},
        ("versioningScheme",): "LEXICOGRAPHIC_STRING",
    },
    "globalTags": {("tags", "attribution", "sourceDetail"): {}},
    "ownership": {
        ("lastModified",): _UNKNOWN,
        ("ownerTypes",): {},
        ("owners", "attribution", "sourceDetail"): {},
    },
    "institutionalMemory": {("elements", "settings", "showInAssetPreview"): False},
    "datasetProperties": _NO_PROPERTIES,
    "schemaMetadata": {
        ("created",): _UNKNOWN,
        ("lastModified",): _UNKNOWN,
        ("fields", "nullable"): False,
        ("fields", "recursive"): False,
        ("fields", "isPartOfKey"): False,
        ("fields", "globalTags", "tags", "attribution", "sourceDetail"): {},
        ("fields", "glossaryTerms", "terms", "attribution", "sourceDetail"): {},
    },
    "upstreamLineage": {
        ("upstreams", "auditStamp"): _UNKNOWN,
        ("fineGrainedLineages", "confidenceScore"): 1.0,
    },
}
"""The defaults in DataHub's schemas (metadata-models, `*.pdl`) of what a crawl writes, but for empty lists."""

_COMPUTED: Mapping[str, frozenset[str]] = {
    "status": frozenset({"lifecycleStage", "lifecycleLastUpdated"}),
    "versionProperties": frozenset({"isLatest", "metadataCreatedTimestamp"}),
    "ownership": frozenset({"ownerTypes", "lastModified"}),
}
"""Fields that are DataHub's own, or its users': no crawl has a say in them."""

_ORDERED = frozenset({("fields",), ("path",), ("typeNames",)})
"""Lists whose order has a meaning: columns, browse paths, subtypes."""

_encode = msgspec.json.Encoder(order="sorted").encode


def normal_form(aspect_name: str, value: Value) -> dict[str, Any]:
    """Return the value without nulls, empty lists, defaults and what DataHub computes; lists without order sorted."""
    computed = _COMPUTED.get(aspect_name, frozenset())
    defaults = DEFAULTS.get(aspect_name, {})
    return _record({name: each for name, each in value.items() if name not in computed}, (), defaults)


def _record(value: Value, path: Path, defaults: Mapping[Path, object]) -> dict[str, Any]:
    normal: dict[str, Any] = {}
    for name, each in value.items():
        below = (*path, name)
        member = _normal(each, below, defaults)
        if member is None or member == [] or (below in defaults and member == defaults[below]):
            continue
        normal[name] = member
    return normal


def _normal(value: object, path: Path, defaults: Mapping[Path, object]) -> object:
    if isinstance(value, dict):
        return _record(value, path, defaults)
    if isinstance(value, list):
        items = [_normal(each, path, defaults) for each in value]
        return items if path in _ORDERED else sorted(items, key=_encode)
    return value
