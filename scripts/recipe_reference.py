"""Writes docs/recipe.md, the reference of all keys of a recipe, from the structs of crawler/config/sections.py."""

import ast
import inspect
import itertools
import types
from collections.abc import Iterable, Iterator, Mapping
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from crawler.config import sections, unsupported
from crawler.config.settings import Secret
from crawler.config.unsupported import Unsupported

PAGE = Path(__file__).parents[1] / "docs" / "recipe.md"

HEADER = """\
# Recipe reference

<!-- Written by `python -m scripts.recipe_reference`: change the structs in crawler/config/sections.py instead. -->

A recipe is that of `datahub ingest`: a YAML file, or a JSON file whose name ends with `.json`.

```yaml
source:
  type: mlflow
  config:
    tracking_uri: http://mlflow:5000
sink:
  type: datahub-rest
  config:
    server: http://datahub-gms:8080
    token: ${DATAHUB_TOKEN}
```

`${VAR}` and `${VAR:-default}` are replaced by environment variables. A key without a value counts as left out. An
unknown key is an error that names the nearest known one. Environment variables win over the recipe, and flags win over
both.
"""

VARIABLES = {
    "MLFLOW_TRACKING_URI": "`tracking_uri`",
    "MLFLOW_REGISTRY_URI": "`registry_uri`",
    "MLFLOW_WORKSPACE": "`workspace`",
    "MLFLOW_TRACKING_USERNAME": "`username` of the source",
    "MLFLOW_TRACKING_PASSWORD": "`password` of the source",
    "MLFLOW_TRACKING_PASSWORD_FILE": "`password_file` of the source",
    "MLFLOW_TRACKING_TOKEN": "`token` of the source; ignored if both user name and password are set as variables",
    "MLFLOW_TRACKING_TOKEN_FILE": "`token_file` of the source",
    "MLFLOW_TRACKING_INSECURE_TLS": "`disable_ssl_verification` of the source; `true`, `yes` or `1`",
    "MLFLOW_TRACKING_SERVER_CERT_PATH": "`ca_certificate_path` of the source",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH": "`client_certificate_path` of the source",
    "DATAHUB_GMS_URL": "`server` of the sink",
    "DATAHUB_GMS_HOST": "the host of `server`, if DATAHUB_GMS_URL is not set",
    "DATAHUB_GMS_PORT": "its port, 8080 by default",
    "DATAHUB_GMS_PROTOCOL": "its protocol, `http` by default",
    "DATAHUB_GMS_TOKEN": "`token` of the sink",
    "DATAHUB_GMS_TOKEN_FILE": "`token_file` of the sink",
    "DATAHUB_CLIENT_CERT_PATH": "`client_certificate_path` of the sink",
    "DATAHUB_CLIENT_KEY_PATH": "`client_key_path` of the sink",
    "DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT": "`endpoint`, only if the recipe does not name one",
    "DATAHUB_SKIP_CONFIG": "`true` ignores `~/.datahubenv`",
}
"""Each variable that crawler/config/environment.py reads, with the key whose value it replaces."""

PROXIES = """\
`~/.datahubenv`, which `datahub init` writes, gives the options of datahub-rest that the recipe leaves out, if neither
the recipe nor the environment names a server. HTTP_PROXY, HTTPS_PROXY and NO_PROXY have their usual meaning.
"""


def render() -> str:
    """Return the page."""
    parts = [
        HEADER,
        *_section("The whole recipe", sections.Pipeline, unsupported.UNSUPPORTED_IN_PIPELINE),
        *_section("`source` and `sink`", sections.Typed, unsupported.UNSUPPORTED_IN_SOURCE),
        *_section("`source.config` of mlflow", sections.MlflowSource),
        *_section("`source.config.stateful_ingestion`", sections.StatefulIngestion),
        *_section("`sink.config` of datahub-rest", sections.RestSink, unsupported.UNSUPPORTED_IN_REST_SINK),
        *_section("`sink.config` of file", sections.FileSink),
        *_section("`sink.config` of datahub-lite", sections.LiteSink, unsupported.UNSUPPORTED_IN_LITE_SINK),
        *_section("`sink.config.config` of datahub-lite", sections.LiteFile, unsupported.UNSUPPORTED_IN_LITE_FILE),
        "## `flags`\n",
        *_refusals(unsupported.UNSUPPORTED_IN_FLAGS),
        "## Environment variables\n",
        *_table(("variable", "replaces"), [(f"`{name}`", replaced) for name, replaced in VARIABLES.items()]),
        PROXIES,
    ]
    return "\n".join(parts)


def descriptions(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the text under each field, in the order of the source; a class's own fields come before inherited ones."""
    found: dict[str, str] = {}
    for part in struct.__mro__[: struct.__mro__.index(msgspec.Struct)]:
        body = getattr(ast.parse(inspect.getsource(part)).body[0], "body", [])
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found.setdefault(ast.unparse(field.target), str(text.value.value))
    return found


def _section(
    title: str, struct: type[msgspec.Struct], refused: Mapping[str, Unsupported] | None = None
) -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    rows = [
        (f"`{name}`", _type(fields[name].type), _default(fields[name]), text)
        for name, text in descriptions(struct).items()
    ]
    yield f"## {title}\n"
    yield from _table(("key", "type", "default", "meaning"), rows)
    if refused:
        yield from _refusals(refused)


def _refusals(refused: Mapping[str, Unsupported]) -> Iterator[str]:
    yield "Official keys that are accepted only with a value that changes nothing:\n"
    yield from _table(("key", "why"), [(f"`{key}`", each.why) for key, each in refused.items()])


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or value == {}:
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{getattr(value, 'value', value)}`"


def _type(kind: Any) -> str:
    """Return the words for a field's type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, EnumType):
        return " or ".join(f"`{member.value}`" for member in kind)  # type: ignore[var-annotated]
    if origin in (types.UnionType, Union):
        return " or ".join(_type(each) for each in arguments if each is not types.NoneType)
    if origin is Annotated:
        return _type(arguments[0]) + _bounds(arguments[1])
    if origin is Literal:
        return " or ".join(f"`{choice}`" for choice in arguments)
    if origin is dict:
        return "mapping" if arguments[1] is Any else f"mapping of text to {_type(arguments[1])}"
    return {str: "text", Path: "path", Secret: "secret", bool: "true or false", int: "integer", float: "number"}[kind]


def _bounds(meta: msgspec.Meta) -> str:
    low = f" ≥ {meta.ge:,}" if meta.ge is not None else f" > {meta.gt:,}" if meta.gt is not None else ""
    high = "" if meta.le is None else f"{' and' if low else ''} ≤ {meta.le:,}"
    return low + high


if __name__ == "__main__":
    PAGE.write_text(render())
