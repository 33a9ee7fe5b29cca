"""Each exported name has a docstring with an example, and the examples run, against a real MLflow server."""

import ast
import asyncio
import doctest
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

import crawler
from crawler.config.flags import Flags
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import ROOT, recipe_file

NEED_DATAHUB = {"Differences", "diff"}
DEAD_LETTER = (
    '{"at":"2026-11-28T00:00:00Z","code":"not_sent","reason":"","status":null,"proposal":{"entityType":"tag",'
    '"entityUrn":"urn:li:tag:a","changeType":"UPSERT","aspectName":"status","aspect":{"json":{"removed":false}}}}\n'
)


def example_of(name: str) -> str:
    """The example in the docstring of an exported name."""
    docstring = inspect.cleandoc(getattr(crawler, name).__doc__ or "")
    _, found, rest = docstring.partition("Example:\n")
    assert found, f"{name} has no example"
    indented = []
    for line in rest.splitlines():
        if line and not line.startswith("    "):
            break
        indented.append(line)
    return textwrap.dedent("\n".join(indented)) + "\n"


def compiled(code: str) -> CodeType:
    """An example, with `await` and `async with` at its top level."""
    made: CodeType = compile(code, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return made


def run(code: str) -> None:
    names = {name: getattr(crawler, name) for name in crawler.__all__} | {"asyncio": asyncio}
    example = compiled(code)
    if example.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(example, names))
    else:
        exec(example, names)


@contextmanager
def sink_for(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A file, or a double of DataHub where the example needs one."""
    if name not in NEED_DATAHUB:
        yield {"type": "file", "config": {"filename": str(folder / "proposals.json")}}
        return
    with subprocess.Popen([sys.executable, "-m", "tests.gms"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as gms:
        assert gms.stdout is not None
        try:
            yield {"type": "datahub-rest", "config": {"server": gms.stdout.readline().strip()}}
        finally:
            gms.terminate()


@pytest.mark.parametrize("name", crawler.__all__)
def test_the_example_runs(
    name: str, golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sink_for(name, tmp_path) as sink:
        run_example(name, golden_server, tmp_path, sink, monkeypatch)


def run_example(
    name: str, golden_server: MlflowServer, tmp_path: Path, sink: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe_file(tmp_path, golden_server.url, sink=sink)
    (tmp_path / "dead-letters.jsonl").write_text(DEAD_LETTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    code = example_of(name)
    if code.startswith(">>>"):
        example = doctest.DocTestParser().get_doctest(code, {name: getattr(crawler, name)}, name, None, None)
        assert not doctest.DocTestRunner().run(example).failed
    else:
        run(code)


def test_a_stream_can_be_left_at_any_moment(golden_server: MlflowServer, tmp_path: Path) -> None:
    settings = crawler.load({"source": {"type": "mlflow", "config": {"tracking_uri": golden_server.url}}}, {})

    async def first(count: int) -> list[str]:
        urns: list[str] = []
        async with crawler.open_entities(settings) as entities:
            async for entity in entities:
                urns.append(entity.urn)
                if len(urns) == count:
                    break
        return urns

    whole = asyncio.run(first(10**9))
    assert len(whole) == len(set(whole)) > 50
    for count in (1, 7, len(whole) // 2):
        some = asyncio.run(first(count))
        assert len(some) == count
        assert set(some) <= set(whole)


def test_a_stream_has_what_a_dry_run_maps(golden_server: MlflowServer, tmp_path: Path) -> None:
    recipe = {"source": {"type": "mlflow", "config": {"tracking_uri": golden_server.url}}}
    mapped: dict[str, int] = {}

    async def stream() -> None:
        async with crawler.open_entities(crawler.load(recipe, {})) as entities:
            async for entity in entities:
                mapped[entity.type] = mapped.get(entity.type, 0) + 1

    asyncio.run(stream())
    report = asyncio.run(crawler.crawl(crawler.load(recipe, {}, Flags(dry_run=True))))
    assert report.dry_run
    assert report.mapped == mapped


def test_importing_the_library_imports_no_http_client() -> None:
    code = "import sys, crawler; print('aiohttp' in sys.modules, crawler.__version__)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split()[0] == "False"
