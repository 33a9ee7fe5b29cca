"""`crawl --show-config`: each setting and where it is from, secrets hidden."""

import argparse
import logging
import os
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

import msgspec

from crawler.cli.settings import explained_settings_of
from crawler.cli.standard_streams import write_output
from crawler.config.flags import Flags
from crawler.config.layers import DEFAULT, RECIPE, Merged
from crawler.config.load import Explained
from crawler.errors import ExitCode
from crawler.http.credentials import credentials_of
from crawler.http.proxy import proxy_for
from crawler.settings.crawl import Settings
from crawler.settings.urls import Address, parse_address
from crawler.telemetry.logs import printable

HIDDEN = "***"
_URLS = frozenset({"tracking_uri", "registry_uri", "base_external_url", "server"})
_PLAIN_MAPPINGS = frozenset(
    {
        "source_mapping_to_platform",
        "incremental",
        "include",
        "owner",
        "workspace_pattern",
        "experiment_pattern",
        "registered_model_pattern",
        "run_name_pattern",
    }
)
_COMMANDS = frozenset({"token_command", "password_command"})
_OF_A_JOB = ("dead_letters", "state", "max_duration", "grace", "dry_run", "validate")

_log = logging.getLogger("crawler")

Line = tuple[str, str, str]


def show_config(arguments: argparse.Namespace) -> ExitCode:
    """Print a line for each setting: its path in a recipe or its flag, its value, and where it is from."""
    explained = explained_settings_of(arguments)
    for note in explained.settings.notes:
        _log.info(note)
    lines = list(_lines(explained, arguments))
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    rows = (f"{path:<{widths[0]}}  {value:<{widths[1]}}  {origin}" for path, value, origin in lines)
    write_output("".join(f"{printable(row)}\n" for row in rows))
    return ExitCode.OK


def _lines(explained: Explained, arguments: argparse.Namespace) -> Iterator[Line]:
    settings = explained.settings
    yield "sink.type", explained.sink_type, explained.sink_origin
    for name in ("pipeline_name", "run_id"):
        yield name, str(getattr(settings, name) or "-"), explained.pipeline_origins.get(name, DEFAULT)
    for path, merged in explained.options.items():
        yield from _section_lines(path, merged)
    yield from _lines_beside(settings)
    servers = {"MLflow": settings.mlflow.tracking, "its registry": settings.mlflow.registry}
    sign_ins = {name: origin for merged in explained.options.values() for name, origin in merged.sign_ins.items()}
    for where, server in (servers | {"DataHub": settings.sink.server}).items():
        if server is not None:
            address = parse_address(server.url, f"The URL of {where}", "")
            yield f"credentials of {where}", credentials_of(server, address).shown, sign_ins[where]
            yield _proxy_line(address, where)
    for field in _OF_A_JOB:
        given = getattr(arguments, field, None)
        value = _shown(field, getattr(settings, field))
        yield Flags.name_of(field), value, "flag" if given not in {None, False} else DEFAULT


def _lines_beside(settings: Settings) -> Iterator[Line]:
    """Yield what is for neither source nor sink."""
    transformers = ", ".join(each.type for each in settings.transformers)
    yield "transformers", transformers or "-", RECIPE if transformers else DEFAULT
    if settings.graph is not None:
        is_named = settings.graph != settings.sink.server
        yield "datahub_api.server", _shown("server", settings.graph.url), RECIPE if is_named else "sink.config.server"
    page = settings.ingestion_page
    shown = "not shown" if page is None else "shown"
    yield "Ingestion page", shown, RECIPE if page is not None and page.is_asked_for else DEFAULT
    for path in settings.report_files:
        yield "reporting file", str(path), RECIPE


def _section_lines(path: str, merged: Merged[Any]) -> Iterator[Line]:
    for field in msgspec.structs.fields(merged.section):
        value = getattr(merged.section, field.name)
        yield f"{path}.{field.name}", _shown(field.name, value), merged.origins.get(field.name, DEFAULT)


def _proxy_line(address: Address, where: str) -> Line:
    proxy = proxy_for(address)
    if proxy is None:
        return f"proxy of {where}", "-", DEFAULT
    names = [name for scheme in (address.scheme, "all") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())]
    origin = next((name for name in names if os.environ.get(name)), "environment")
    return f"proxy of {where}", re.sub(r"//[^/]*@", "//", proxy), origin


def _shown(name: str, value: Any) -> str:
    """Return a value as text: of secrets, commands and mappings of anything only that they are there."""
    if value is None or value == {}:
        return "-"
    if name in _URLS:
        return parse_address(value, name, "").url
    if name in _COMMANDS:
        return f"{value.split()[0]} …"
    if isinstance(value, Mapping):
        hides = name not in _PLAIN_MAPPINGS
        return ", ".join(f"{key}: {HIDDEN if hides else _plain(each)}" for key, each in value.items())
    return _plain(value)


def _plain(value: Any) -> str:
    match value:
        case Enum():
            return str(value.value)
        case bool():
            return str(value).lower()
        case float():
            return f"{value:g}"
    # A Secret shows itself as hidden.
    return str(value)
