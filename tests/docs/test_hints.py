"""Messages name only flags, keys and variables that exist: whoever follows one must find what it names."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import msgspec
import pytest

import crawler
from crawler import errors
from crawler.cli.parser import command_parser
from crawler.config import sections, unsupported
from crawler.settings.selection import Include
from crawler.telemetry.findings.catalogue import CATALOGUE
from scripts.recipe_reference import VARIABLES

CRAWLER = Path(crawler.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
KEY = re.compile(r"(?<![\w/.<{-])[a-z]+(?:_[a-z]+)+\b(?!\()|\b[a-z_]+(?=: (?:true|false)\b)")
OF_OTHERS = {"--allowed-hosts", "--backend-store-uri", "--enable-workspaces", "page_token", "start_time"}
"""Words of MLflow."""
PROXIES = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}


def flags() -> set[str]:
    """Every flag of every command."""
    commands = next(each for each in command_parser()._actions if each.dest == "command").choices
    assert isinstance(commands, dict)
    return {option for each in commands.values() for action in each._actions for option in action.option_strings}


def keys() -> set[str]:
    """Every key of a recipe."""
    modules = [import_module(f"{sections.__name__}.{each.name}") for each in iter_modules(sections.__path__)]
    named = [Include, *(each for module in modules for each in vars(module).values())]
    structs = [each for each in named if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    tables = [each for name, each in vars(unsupported).items() if name.startswith("UNSUPPORTED_IN_")]
    return {field for each in structs for field in each.__struct_fields__} | {key for table in tables for key in table}


def messages() -> Iterator[tuple[str, str]]:
    """Each text that users read, with its place: of errors, findings, log lines and whatever is called a hint."""
    for path in sorted(CRAWLER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (isinstance(node, ast.Call) and _is_told(node.func)) or (
                isinstance(node, ast.Assign) and _is_hint(node.targets)
            ):
                for text in _texts(node):
                    yield f"{path.relative_to(CRAWLER)}:{node.lineno}", text


def _is_told(called: ast.expr) -> bool:
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    raised = {each for each in vars(errors) if isinstance(vars(errors)[each], type)}
    told = {"Unsupported", "_without_effect", "FindingKind", "note", "info", "warning", "error", "parse_address"}
    return name in raised | told


def _is_hint(targets: list[ast.expr]) -> bool:
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    return any("HINT" in name or name.startswith("UNSUPPORTED_") or name == "_DATABRICKS" for name in names)


def _texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in part.values)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def unknown(text: str) -> set[str]:
    """What a text names and nobody has."""
    codes = {each.code for each in CATALOGUE}
    return {
        *(set(FLAG.findall(text)) - flags()),
        *(set(VARIABLE.findall(text)) - set(VARIABLES) - set(unsupported.UNSUPPORTED_SIGN_INS) - PROXIES),
        *(set(KEY.findall(text)) - keys() - codes - set(unsupported.UNSUPPORTED_TRANSFORMERS)),
    } - OF_OTHERS


def test_all_that_messages_name_is_there() -> None:
    found = list(messages())
    assert len(found) > 300
    wrong = [f"{place}: {sorted(names)} in {text!r}" for place, text in found if (names := unknown(text))]
    assert wrong == []


@pytest.mark.parametrize(
    "text",
    [
        "Turn it off (verify: false).",
        "Name the CA (ca_certificate).",
        "Use --page-sise.",
        "Set MLFLOW_TRACKING_URL.",
    ],
)
def test_what_is_not_there_is_found(text: str) -> None:
    assert len(unknown(text)) == 1


def test_the_page_of_findings_names_what_is_there() -> None:
    for each in CATALOGUE:
        assert unknown(each.advice) == unknown(each.message) == set()
