"""Real processes over TCP: the command crawls a real MLflow 3.17.2 through a line with faults, GMS goes and comes, and
the crawl itself is killed.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.proxy import FaultProxy, Toxic
from tests.gms.server import Gms
from tests.servers.filled import FilledServer
from tests.support.commands import run, start
from tests.support.crawls import recipe_file

pytestmark = pytest.mark.slow

Aspects = dict[tuple[str, str], Any]
KILLS = 50
TOXICS = {
    "latency": lambda _: Toxic(latency=0.02),
    "bandwidth": lambda _: Toxic(bandwidth=400_000),
    "slicer": lambda _: Toxic(slicer=97),
    "slow_close": lambda _: Toxic(slow_close=0.1),
    "limit_data": lambda number: Toxic(limit_data=700) if number % 3 == 0 else Toxic(),
    "reset_peer": lambda number: Toxic(reset_peer=300) if number % 3 == 0 else Toxic(),
    "reset at once": lambda number: Toxic(reset_peer=0, slicer=1) if number % 3 == 0 else Toxic(),
}


def crawl_arguments(folder: Path, mlflow: str, gms: str) -> list[object]:
    """Small pages and batches, and links that do not tell by which address MLflow was read."""
    recipe = recipe_file(folder, mlflow, {"base_external_url": "http://mlflow"})
    return ["crawl", "-c", recipe, "--datahub-url", gms, "--page-size", "3", "--batch-size", "20"]


@pytest.fixture(scope="module")
def undisturbed(filled_server: Callable[[str], FilledServer], tmp_path_factory: pytest.TempPathFactory) -> Aspects:
    """What a crawl writes when nothing happens."""
    return asyncio.run(written(filled_server("3.17.2").server.url, tmp_path_factory.mktemp("undisturbed")))


async def written(mlflow: str, folder: Path) -> Aspects:
    async with Gms() as gms:
        code, _, errors = await run(*crawl_arguments(folder, mlflow, gms.url), folder=folder)
    assert code == 0, errors
    return gms.aspects


@asynccontextmanager
async def numbered(url: str, toxic: Callable[[int], Toxic]) -> AsyncIterator[FaultProxy]:
    """A proxy whose fault goes by the number of the connection."""
    proxy = FaultProxy(url, lambda: toxic(proxy.connections))
    async with proxy:
        yield proxy


@pytest.mark.parametrize("name", TOXICS)
@pytest.mark.parametrize("before", ["mlflow", "datahub"])
async def test_a_bad_line_costs_time_and_nothing_else(
    filled_server: Callable[[str], FilledServer], undisturbed: Aspects, tmp_path: Path, name: str, before: str
) -> None:
    mlflow = filled_server("3.17.2").server.url
    async with Gms() as gms, numbered(mlflow if before == "mlflow" else gms.url, TOXICS[name]) as proxy:
        urls = (proxy.url, gms.url) if before == "mlflow" else (mlflow, proxy.url)
        code, _, errors = await run(*crawl_arguments(tmp_path, *urls), folder=tmp_path)
    assert code == 0, errors
    assert gms.aspects == undisturbed
    assert gms.violations == []
    assert proxy.connections > 0


async def one_turned_away(port: int) -> None:
    """Close each connection at once, until there was one."""
    turned_away = asyncio.Event()

    def turn_away(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        turned_away.set()

    async with await asyncio.start_server(turn_away, "127.0.0.1", port):
        await turned_away.wait()


async def test_gms_goes_and_comes_while_the_crawl_waits(
    filled_server: Callable[[str], FilledServer], undisturbed: Aspects, tmp_path: Path
) -> None:
    first, busy = Gms(latency=0.05), asyncio.Event()

    def third(_: object) -> None:
        if len(first.answers) >= 3:
            busy.set()

    first.rule = third
    async with first as gms:
        arguments = crawl_arguments(tmp_path, filled_server("3.17.2").server.url, gms.url)
        crawling = await start(*arguments, "--report", "r.json", "--datahub-concurrency", "1", folder=tmp_path)
        await busy.wait()
        port = int(gms.url.rsplit(":", 1)[1])
    await one_turned_away(port)
    second = Gms(port=port)
    second.shelf, second.aspects = first.shelf, first.aspects
    async with second:
        _, errors = await crawling.communicate()
    assert crawling.returncode == 0, errors.decode()
    assert second.aspects == undisturbed
    assert json.loads((tmp_path / "r.json").read_text())["datahub"]["retries"] > 0


async def test_a_crawl_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    filled_server: Callable[[str], FilledServer], undisturbed: Aspects, tmp_path: Path
) -> None:
    """Killed at random moments, each crawl goes on with the state of the one before."""
    chance = random.Random(5)
    async with Gms(latency=0.02) as gms:
        arguments = [*crawl_arguments(tmp_path, filled_server("3.17.2").server.url, gms.url), "--state", "s.db"]
        kills, ended = 0, False
        while kills < KILLS:
            if ended:
                gms.aspects.clear()
            crawling = await start(*arguments, "--datahub-concurrency", "1", folder=tmp_path)
            try:
                async with asyncio.timeout(chance.uniform(0.2, 1.5)):
                    await crawling.wait()
            except TimeoutError:
                crawling.kill()
                await crawling.wait()
                kills += 1
                ended = False
                continue
            assert crawling.returncode == 0
            assert gms.aspects == undisturbed
            ended = True
        code, _, errors = await run(*arguments, folder=tmp_path)
        assert code == 0, errors
        assert gms.aspects == undisturbed
    assert gms.violations == []
