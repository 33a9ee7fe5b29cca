"""The JSON Schema of a recipe, from the structs that load it: for editors, and for checks before a crawl. Pure.

It says of each key what the loader says of it. What takes several keys, a variable, a file or a server to find out is
not in it.
"""

import types
from collections.abc import Mapping, Sequence
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from crawler.config.descriptions import descriptions
from crawler.config.environment import FROM_ENVIRONMENT
from crawler.config.load_owner import OWN_TYPE, OWNERSHIP_TYPES
from crawler.config.sections.connection import Auth, DatahubApi
from crawler.config.sections.recipe import (
    DatahubReporter,
    FailureLog,
    FileReporter,
    NoOptions,
    Pipeline,
    RecipeFlags,
    Reporter,
    Transformer,
    Typed,
)
from crawler.config.sections.sink import FileSink, LiteFile, LiteSink, RestSink
from crawler.config.sections.source import (
    DatahubStateProvider,
    FileStateProvider,
    Incremental,
    MlflowSource,
    OwnerOptions,
    StatefulIngestion,
    StateProvider,
)
from crawler.config.source import ENVS
from crawler.config.unsupported import (
    UNSUPPORTED_IN_CLIENT,
    UNSUPPORTED_IN_DATAHUB_REPORTER,
    UNSUPPORTED_IN_FAILURE_LOG,
    UNSUPPORTED_IN_FLAGS,
    UNSUPPORTED_IN_LITE_FILE,
    UNSUPPORTED_IN_LITE_SINK,
    UNSUPPORTED_IN_PIPELINE,
    UNSUPPORTED_IN_REST_SINK,
    UNSUPPORTED_IN_SOURCE,
    UNSUPPORTED_TRANSFORMERS,
    Unsupported,
)
from crawler.secrets.secret import Secret
from crawler.settings.durations import Duration
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Include
from crawler.settings.since import Since
from crawler.settings.sinks import CaseInsensitive
from crawler.settings.sizes import Size

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL: Schema = {"type": "null"}
_VARIABLE: Schema = {"type": "string", "pattern": r"^\$|\$\{.+\}"}
"""Its value is what counts."""
_EMPTY: Schema = {"const": ""}
_NOTHING: Schema = {"type": "object", "maxProperties": 0}
_EXPRESSIONS: Schema = {"type": "array", "items": {"type": "string", "format": "regex"}}
_URL: Schema = {"type": "string", "pattern": r"^\s*[Hh][Tt][Tt][Pp][Ss]?://[^/\s]"}
_SERVER: Schema = {"anyOf": [_URL, {"const": FROM_ENVIRONMENT}]}
_TRANSFORMER: Schema = {"type": "string", "minLength": 1, "not": {"enum": sorted(UNSUPPORTED_TRANSFORMERS)}}
_NUMBER = r"\d{1,12}(\.\d{1,9})?"
_DURATION = rf"^\s*({_NUMBER}|({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?({_NUMBER}ms)?)\s*$"
_LONG_AGO = rf"^\s*(?=\d)({_NUMBER}d)?({_NUMBER}h)?({_NUMBER}m)?({_NUMBER}s)?({_NUMBER}ms)?\s*$"
_DATE = r"^\s*\d{4}-(\d\d-\d\d|W\d\d(-\d)?)([T ].+)?\s*$"
_SIZE = r"^\s*\d{1,15}(\.\d{1,9})?\s?[KMGTkmgt]?([Ii]?[Bb])?\s*$"
_OF_KINDS: dict[Any, Schema] = {
    str: {"type": "string"},
    Secret: {"type": "string"},
    Path: {"type": "string", "minLength": 1, "not": {"pattern": "://"}},
    bool: {
        "anyOf": [{"type": "boolean"}, {"enum": [0, 1]}, {"pattern": "^([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[01])$"}]
    },
    Duration: {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": _DURATION}]},
    Since: {"type": "string", "anyOf": [{"pattern": _LONG_AGO}, {"pattern": _DATE}]},
    Size: {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": _SIZE}]},
    Any: {},
}


def recipe_schema() -> Schema:
    """Return the JSON Schema of a whole recipe, before its variables are replaced."""
    pattern = _section(AllowDenyPattern, {"allow": _EXPRESSIONS, "deny": _EXPRESSIONS})
    source = _section(
        MlflowSource,
        {
            **dict.fromkeys(("tracking_uri", "registry_uri", "base_external_url"), _URL),
            "env": _any_case(sorted(ENVS)),
            "include": _section(Include),
            **{name: pattern for name in MlflowSource.__struct_fields__ if name.endswith("_pattern")},
            "owner": _owner(),
            "incremental": _section(Incremental),
            "stateful_ingestion": _section(StatefulIngestion, {"state_provider": _state_provider()}),
        },
    )
    typed_source = _typed(Typed, {"mlflow": source}, UNSUPPORTED_IN_SOURCE)
    datahub = {"server": _SERVER, "auth": _auth()}
    datahub_api = _section(DatahubApi, datahub, UNSUPPORTED_IN_CLIENT, required=("server",))
    file = _section(FileSink, unsupported=UNSUPPORTED_IN_FAILURE_LOG)
    whole = _section(
        Pipeline,
        {
            "source": {"anyOf": [typed_source, _NOTHING]},
            "sink": _typed(Typed, _sinks()),
            "datahub_api": {"anyOf": [datahub_api, _NOTHING]},
            "transformers": _list_of(_section(Transformer, {"type": _TRANSFORMER}, required=("type",))),
            "reporting": _list_of(_typed(Reporter, _reporters())),
            "failure_log": _section(FailureLog, {"log_config": file}),
            "flags": _section(RecipeFlags, unsupported=UNSUPPORTED_IN_FLAGS),
        },
        UNSUPPORTED_IN_PIPELINE,
    )
    return {"$schema": DIALECT, "title": "A recipe of mlflow-datahub-crawler", **whole}


def _sinks() -> dict[str, Schema]:
    lite_file = _section(LiteFile, unsupported=UNSUPPORTED_IN_LITE_FILE)
    return {
        "datahub-rest": _rest(),
        "file": _section(FileSink),
        "console": _section(NoOptions),
        "datahub-lite": _section(LiteSink, {"config": lite_file}, UNSUPPORTED_IN_LITE_SINK),
    }


def _rest() -> Schema:
    return _section(RestSink, {"server": _SERVER, "auth": _auth()}, UNSUPPORTED_IN_REST_SINK)


def _auth() -> Schema:
    return _section(Auth, required=("type",))


def _reporters() -> dict[str, Schema]:
    return {
        "datahub": _section(DatahubReporter, unsupported=UNSUPPORTED_IN_DATAHUB_REPORTER),
        "file": _section(FileReporter, required=("filename",)),
    }


def _state_provider() -> Schema:
    kinds = {
        "datahub": _section(DatahubStateProvider, {"datahub_api": _rest()}),
        "file": _section(FileStateProvider, required=("filename",)),
    }
    return _typed(StateProvider, kinds)


def _owner() -> Schema:
    kind = {"anyOf": [_any_case(sorted(OWNERSHIP_TYPES)), {"type": "string", "pattern": f"^{OWN_TYPE}"}]}
    tags = {"type": "array", "items": {"type": "string"}, "minItems": 1}
    return _section(OwnerOptions, {"tags": tags, "type": kind}, required=("tags",))


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _typed(
    struct: type[msgspec.Struct], kinds: Mapping[str, Schema], unsupported: Mapping[str, Unsupported] | None = None
) -> Schema:
    """Return the schema of a section that has a type, which says what its `config` may have."""
    known: dict[str, Schema] = {"type": {"enum": list(kinds)}, "config": {"type": "object"}}
    found = _section(struct, known, unsupported, required=("type",))
    found["allOf"] = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"config": _or_left_out(config)}}
            | ({"required": ["config"]} if config.get("required") else {}),
        }
        for name, config in kinds.items()
    ]
    return found


def _section(
    struct: type[msgspec.Struct],
    known: Mapping[str, Schema] | None = None,
    unsupported: Mapping[str, Unsupported] | None = None,
    *,
    required: Sequence[str] = (),
) -> Schema:
    """Return the schema of a section; that of its `known` keys is given, all others have that of their fields."""
    texts, known = descriptions(struct), known or {}
    properties: dict[str, Schema] = {}
    for field in msgspec.structs.fields(struct):
        value = known[field.name] if field.name in known else _of(field.type)
        properties[field.name] = {
            "description": texts[field.name],
            **(value if field.name in required else _or_left_out(value, empty=field.default is None)),
        }
    properties |= {key: _refused_option(each) for key, each in (unsupported or {}).items()}
    found: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": list(required)} if required else {})


def _or_left_out(schema: Schema, *, empty: bool = False) -> Schema:
    """Return the schema of a key that may have no value; a scalar may also be a variable's."""
    kinds = [schema, _NULL]
    if schema.get("type") not in {"object", "array"}:
        kinds.append(_VARIABLE)
        kinds += [_EMPTY] if empty else []
    return {"anyOf": kinds}


def _refused_option(option: Unsupported) -> Schema:
    """Return the schema of an official key that is no option here."""
    about = {"description": option.why, "deprecated": True}
    if option.without_effect:
        return about
    kinds: list[Schema] = [{"enum": list(option.harmless)}]
    if option.only_enabled:
        kinds.append({"type": "object", "properties": {"enabled": {"enum": [False, None, 0, ""]}}})
    return about | {"anyOf": kinds}


def _of(kind: Any) -> Schema:
    """Return the schema of a field's type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, EnumType) or origin is Literal:
        values = list(arguments) or [member.value for member in kind]
        return (
            _any_case(values) if isinstance(kind, EnumType) and issubclass(kind, CaseInsensitive) else {"enum": values}
        )
    if origin in (types.UnionType, Union):
        (only,) = (each for each in arguments if each is not types.NoneType)
        return _of(only)
    if origin is Annotated:
        return _number(arguments[0], arguments[1])
    if origin in {list, dict}:
        items = _of(arguments[-1])
        return _list_of(items) if origin is list else {"type": "object", "additionalProperties": items}
    return _number(kind, msgspec.Meta()) if kind in {int, float} else _OF_KINDS[kind]


def _number(kind: type, bounds: msgspec.Meta) -> Schema:
    """Return the schema of a number, which may be given as text, too."""
    limits = {
        "minimum": bounds.ge,
        "exclusiveMinimum": bounds.gt,
        "maximum": bounds.le,
        "exclusiveMaximum": bounds.lt,
    }
    name, pattern = ("integer", r"^-?\d+$") if kind is int else ("number", r"^-?\d+(\.\d*)?([eE][+-]?\d+)?$")
    number = {"type": name} | {key: limit for key, limit in limits.items() if limit is not None}
    return {"anyOf": [number, {"type": "string", "pattern": pattern}]}


def _any_case(values: Sequence[str]) -> Schema:
    """Return the schema of words in any case. JSON Schema knows no flags of regular expressions."""
    words = "|".join(
        "".join(f"[{each.lower()}{each}]" if each.isalpha() else each for each in word.upper()) for word in values
    )
    return {"type": "string", "pattern": f"^({words})$", "examples": list(values)}
