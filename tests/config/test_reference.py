"""docs/recipe.md is what the structs say, names every key, and every variable that is read."""

import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import msgspec
import pytest

from crawler.config import environment, sections, unsupported
from crawler.config.descriptions import descriptions
from crawler.secrets import sources
from scripts.recipe_reference import PAGE, VARIABLES, render

MODULES = [import_module(f"{sections.__name__}.{each.name}") for each in iter_modules(sections.__path__)]
STRUCTS = [
    each
    for module in MODULES
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__module__ == module.__name__
]


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == render(), "run python -m scripts.recipe_reference"


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_key_is_described_in_one_line(struct: type[msgspec.Struct]) -> None:
    found = descriptions(struct)
    assert set(found) == set(struct.__struct_fields__)
    for text in found.values():
        assert "\n" not in text
        assert text.endswith((".", "…"))
    for name in found:
        assert f"| `{name}` |" in PAGE.read_text()


def test_every_variable_that_is_read_is_listed() -> None:
    modules = [*Path(environment.__file__).parent.glob("*.py"), *Path(sources.__file__).parent.glob("*.py")]
    source = "".join(path.read_text() for path in modules)
    read = set(re.findall(r"\"((?:MLFLOW|DATAHUB|REQUESTS|CURL)_[A-Z_0-9]+|NETRC)\"", source.replace("'", '"')))
    files = {f"{name}_FILE" for name in re.findall(r"_secret\(environment, \"(\w+)\"", source)}
    assert read | files == set(VARIABLES) | set(unsupported.UNSUPPORTED_SIGN_INS)
