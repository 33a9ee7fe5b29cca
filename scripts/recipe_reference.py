"""Writes docs/recipe.md, the reference of all keys of a recipe, from the structs of crawler/config/sections/."""

import types
from collections.abc import Iterable, Iterator
from enum import EnumType
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec.structs import FieldInfo

from crawler.config.descriptions import descriptions
from crawler.config.sections.connection import Auth, DatahubApi
from crawler.config.sections.recipe import (
    DatahubReporter,
    FailureLog,
    FileReporter,
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
from crawler.secrets.secret import Secret
from crawler.settings.durations import Duration
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Include
from crawler.settings.since import Since
from crawler.settings.sizes import Size
from scripts.official_options import OFFICIAL, RELEASE, rows

PAGE = Path(__file__).parents[1] / "docs" / "recipe.md"

HEADER = """\
# Recipe reference

<!-- Written by `python -m scripts.recipe_reference`: change the structs in crawler/config/sections/ instead. -->

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
unknown key is an error that names the nearest known one; all errors of a recipe are named at once. [Every option of
`datahub ingest`](#every-option-of-datahub-ingest) is in the last table, also those that have no effect here.

`mlflow-datahub-crawler config schema > recipe.schema.json` writes the same as JSON Schema, for editors and programs.
Many editors use it where a recipe begins with `# yaml-language-server: $schema=recipe.schema.json`.

## Whose settings count

Flags, then the recipe, then environment variables, then `~/.mlflow/credentials` and `~/.datahubenv`, then the defaults:
the first place that names a setting counts. `crawl --show-config` prints each setting and where it is from.

A server and its credentials come from the same place. Credentials of a place that names another server are not sent,
and a line in the log says so. The server that is named by

- *a flag* gets those of the first place that has some and names no server, or the same one;
- *the recipe*, for MLflow: the recipe's, else the environment's if MLFLOW_TRACKING_URI is not set or the same server;
- *the recipe*, for DataHub: the recipe's, else those of DATAHUB_AUTH_TYPE if DATAHUB_GMS_URL is the same server, else
  DATAHUB_SYSTEM_CLIENT_ID if DATAHUB_GMS_URL is not set or the same server; never DATAHUB_GMS_TOKEN, as in
  `datahub ingest`: write `token: ${DATAHUB_GMS_TOKEN}`;
- *the environment*: the recipe's, if that names no server, else the environment's;
- *`~/.datahubenv`*: the recipe's, else those of DATAHUB_AUTH_TYPE, else the file's.

Any server that gets none of these gets those of `~/.netrc`, if that has the host.
"""

VARIABLES = {
    "MLFLOW_TRACKING_URI": "`tracking_uri`",
    "MLFLOW_REGISTRY_URI": "`registry_uri`",
    "MLFLOW_WORKSPACE": "`workspace`",
    "MLFLOW_TRACKING_USERNAME": "`username` of the source",
    "MLFLOW_TRACKING_PASSWORD": "`password` of the source",
    "MLFLOW_TRACKING_PASSWORD_FILE": "`password_file` of the source",
    "MLFLOW_TRACKING_TOKEN": "`token` of the source; ignored if there are both user name and password",
    "MLFLOW_TRACKING_TOKEN_FILE": "`token_file` of the source",
    "MLFLOW_TRACKING_INSECURE_TLS": "`disable_ssl_verification` of the source; `true`, `yes` or `1`",
    "MLFLOW_TRACKING_SERVER_CERT_PATH": "`ca_certificate_path` of the source",
    "MLFLOW_TRACKING_CLIENT_CERT_PATH": "`client_certificate_path` of the source",
    "DATAHUB_GMS_URL": "`server` of the sink",
    "DATAHUB_GMS_HOST": "the host of `server`, if DATAHUB_GMS_URL is not set or DATAHUB_GMS_PORT is set too",
    "DATAHUB_GMS_PORT": "its port, 8080 by default",
    "DATAHUB_GMS_PROTOCOL": "its protocol, `http` by default",
    "DATAHUB_GMS_TOKEN": "`token` of the sink",
    "DATAHUB_GMS_TOKEN_FILE": "`token_file` of the sink",
    "DATAHUB_AUTH_TYPE": (
        "how to sign in, instead of DATAHUB_GMS_TOKEN: `pat`, `k8s_oidc`, `oidc_client_credentials`, `azure_entra`"
    ),
    "DATAHUB_AUTH_TOKEN_FILE": "`token_file` of the sink, for `pat` and `k8s_oidc`",
    "DATAHUB_AUTH_TOKEN_ENDPOINT": "for `oidc_client_credentials`: where tokens are asked for",
    "DATAHUB_AUTH_CLIENT_ID": "its account, with the next one",
    "DATAHUB_AUTH_CLIENT_SECRET": "its secret",
    "DATAHUB_AUTH_SCOPE": "the scopes that it asks for, if the server wants some",
    "DATAHUB_AUTH_AUDIENCE": "the audience, if the server wants one",
    "DATAHUB_AUTH_AZURE_TENANT_ID": "for `azure_entra` (`pip install 'acryl-datahub[azure-auth]'`): the tenant",
    "DATAHUB_AUTH_AZURE_CLIENT_ID": "its account",
    "DATAHUB_AUTH_AZURE_SCOPE": "the scope that it asks for",
    "DATAHUB_AUTH_AZURE_CLIENT_SECRET": "its secret; without one, the workload's identity signs in",
    "DATAHUB_SYSTEM_CLIENT_ID": "with the next one, signs in as DataHub's own services do, where there is no token",
    "DATAHUB_SYSTEM_CLIENT_SECRET": "its secret",
    "DATAHUB_CLIENT_CERT_PATH": "`client_certificate_path` of the sink",
    "DATAHUB_CLIENT_KEY_PATH": "`client_key_path` of the sink",
    "DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT": "`endpoint`",
    "DATAHUB_SKIP_CONFIG": "`true` ignores `~/.datahubenv`",
    "REQUESTS_CA_BUNDLE": "`ca_certificate_path` of both, for https",
    "CURL_CA_BUNDLE": "the same, if REQUESTS_CA_BUNDLE is not set",
    "NETRC": "the path of `~/.netrc`",
}
"""Each variable that is read, with the key whose value it is."""

PROXIES = """\
`~/.datahubenv`, which `datahub init` writes, gives the options of datahub-rest that the recipe leaves out, if neither
the recipe nor the environment names a server.

HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY have the meaning that they have for requests, which DataHub's
and MLflow's clients use: NO_PROXY has hosts, their domains, networks (`10.0.0.0/8`, `fd00::/8`) and `*`. SSL_CERT_FILE
replaces the system's certificates.

MLflow's client has ways to sign in that are not supported: MLFLOW_TRACKING_AWS_SIGV4, MLFLOW_TRACKING_AUTH, and the
URIs `databricks`, `arn:` and `azureml:`. Where they are meant, the crawl ends with an error that names them.
"""


TRANSFORMERS = """\
`type` is the name of one of acryl-datahub's transformers, of another package's, or the import path of a class of your
own. Their own code runs, on the entities of this crawler; without transformers nothing of acryl-datahub is imported.

- **They do what they do in `datahub ingest`**: the same aspects, from the first transformer to the last. What one adds,
  the next one sees. `tests/transformers` holds each of them against the official pipeline.
- **Most want datasets only**, and MLflow has few of those; `set_browse_path`, `simple_add_ownership`, `add_domain` and
  others want all types, or those of `entity_types`. Entities of other types pass as they are, at no cost.
- **One entity is one request still.** An aspect that a transformer adds goes out with its entity. What it makes of
  other entities, such as tags, follows; what it makes at the end of the stream comes last.
- **Some ask DataHub**, those with `semantics: PATCH` for example: one request for each entity that they want, to the
  server of `datahub_api`, else to that of the sink. With a sink that is a file, `datahub_api` names it.
- **Those that write patches are refused**: `set_attribution`, `simple_add_dataset_dataproduct`,
  `pattern_add_dataset_dataproduct`, and `is_container: true` of those that add owners. Write a file, and let `datahub
  ingest` run them on that.
- **A transformer that fails costs only that entity** (`datahub ingest` logs it only): the crawl goes on and ends with
  exit code 1, finding `transformer`. Unknown options of a transformer are an error before the crawl.
- A crawl with other transformers is another crawl to `--state`.

What they cost, measured with `python -m benchmarks transformers` on 2 cores; a proposal is one aspect:

| | a proposal |
| --- | --- |
| any transformer, entities that it does not want | < 1 µs |
| `simple_add_dataset_tags`, datasets | 20–26 µs |
| `simple_add_dataset_properties`, datasets | 85–90 µs |
| `pattern_add_dataset_schema_tags`, datasets | 380–470 µs |
| one of your own that takes every record, runs | 350–390 µs |
| once: to import acryl-datahub | 1–3 s, 39 MB |

Without any transformer, a proposal costs about 5 µs ([performance.md](performance.md)).
"""

EVERY_OPTION = f"""\
All options that a recipe of DataHub's own MLflow connector can have (acryl-datahub {RELEASE}: source, sinks, pipeline,
client), and what becomes of each here. What has *no effect* is accepted, with a line in the log: what is written stays
the same. What is *refused* is an error, unless its value asks for nothing (`false`, an empty list, its default).
"""


def render() -> str:
    """Return the page."""
    parts = [
        HEADER,
        *_section("The whole recipe", Pipeline),
        *_section("`source` and `sink`", Typed),
        *_section("`source.config` of mlflow", MlflowSource),
        *_section("`source.config.include`", Include),
        *_section("`workspace_pattern` and the other patterns of `source.config`", AllowDenyPattern),
        *_section("`source.config.owner`", OwnerOptions),
        *_section("`source.config.incremental`", Incremental),
        *_section("`source.config.stateful_ingestion`", StatefulIngestion),
        *_section("`state_provider` of stateful_ingestion", StateProvider),
        *_section("`state_provider.config` of datahub", DatahubStateProvider),
        *_section("`state_provider.config` of file", FileStateProvider),
        *_section("`sink.config` of datahub-rest", RestSink),
        *_section("`auth` of datahub-rest and `datahub_api`", Auth),
        *_section("`sink.config` of file", FileSink),
        *_section("`sink.config` of datahub-lite", LiteSink),
        *_section("`sink.config.config` of datahub-lite", LiteFile),
        *_section("`transformers`, a list", Transformer),
        TRANSFORMERS,
        *_section("`datahub_api`", DatahubApi),
        *_section("`reporting`, a list", Reporter),
        *_section("`config` of a reporter of type datahub", DatahubReporter),
        *_section("`config` of a reporter of type file", FileReporter),
        *_section("`failure_log`", FailureLog),
        *_section("`flags`", RecipeFlags),
        "## Environment variables\n",
        *_table(("variable", "is"), [(f"`{name}`", replaced) for name, replaced in VARIABLES.items()]),
        PROXIES,
        "## Every option of `datahub ingest`\n",
        EVERY_OPTION,
        *_table(("where", "option", "here", "meaning, or why"), _official_rows()),
    ]
    return "\n".join(parts)


def _official_rows() -> Iterator[tuple[str, str, str, str]]:
    ours = {config.struct: descriptions(config.struct) for config in OFFICIAL}
    for path, option, here, meaning in rows(ours):
        yield path and f"`{path}`", f"`{option}`", here, meaning[:1].upper() + meaning[1:]


def _section(title: str, struct: type[msgspec.Struct]) -> Iterator[str]:
    fields = {field.name: field for field in msgspec.structs.fields(struct)}
    keys = [
        (f"`{name}`", _type(fields[name].type), _default(fields[name]), text)
        for name, text in descriptions(struct).items()
    ]
    yield f"## {title}\n"
    yield from _table(("key", "type", "default", "meaning"), keys)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
    yield ""


def _default(field: FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value in (None, "", {}, [], ()):
        return ""
    if isinstance(value, tuple):
        value = list(value)
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
    if origin in _COLLECTIONS:
        values = arguments[1] if origin is dict else arguments[0]
        return "mapping" if values is Any else f"{_COLLECTIONS[origin]} {_type(values)}"
    return _NAMES[kind]


_COLLECTIONS = {list: "list of", tuple: "list of", dict: "mapping of text to"}
_NAMES = {
    str: "text",
    Path: "path",
    Secret: "secret",
    bool: "true or false",
    int: "integer",
    float: "number",
    Duration: "duration",
    Since: "duration or date",
    Size: "size",
}


def _bounds(meta: msgspec.Meta) -> str:
    low = f" ≥ {meta.ge:,}" if meta.ge is not None else f" > {meta.gt:,}" if meta.gt is not None else ""
    high = "" if meta.le is None else f"{' and' if low else ''} ≤ {meta.le:,}"
    return low + high


if __name__ == "__main__":
    PAGE.write_text(render())
