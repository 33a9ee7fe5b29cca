"""Imports point down the list of layers in CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CRAWLER = ROOT / "crawler"
LAYERS = re.findall(r"^crawler/(\w+)/", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
ENTRANCES = {"__init__.py", "__main__.py"}
"""They lead to every layer."""


def imported_by(path: Path) -> Iterator[str]:
    """The names below `crawler` that a module imports, also within functions and for types only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "crawler":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crawler."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("crawler."))


def test_every_folder_is_a_layer() -> None:
    assert sorted(LAYERS) == sorted(path.parent.name for path in CRAWLER.glob("*/__init__.py"))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_those_below_it(layer: str) -> None:
    above = set(LAYERS[: LAYERS.index(layer)]) | ({"datahub"} if layer == "mlflow" else set())
    for path in (CRAWLER / layer).rglob("*.py"):
        assert not above.intersection(imported_by(path)), path


def test_a_module_beside_the_layers_imports_none_of_them() -> None:
    for path in CRAWLER.glob("*.py"):
        assert path.name in ENTRANCES or not set(LAYERS).intersection(imported_by(path)), path
