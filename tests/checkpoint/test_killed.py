"""Real processes that are killed at random moments, until one comes to its end."""

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import Values, recipe_file

pytestmark = pytest.mark.slow


async def crawl_process(recipe: Path, kill_after: float | None, *more: str) -> int:
    """The exit code of one crawl, with more options; negative where it was killed."""
    state, report = recipe.with_name("state.db"), recipe.with_name("report.json")
    options = ["-c", recipe, "--state", state, "--report", report, "--page-size", "7", "--batch-size", "10", *more]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "crawler", "crawl", *map(str, options), cwd=recipe.parent, stderr=asyncio.subprocess.PIPE
    )
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), kill_after)
    except TimeoutError:
        process.send_signal(signal.SIGKILL)
    _, words = await process.communicate()
    assert process.returncode in {0, -signal.SIGKILL}, words.decode()
    return process.returncode


def recipe_in(folder: Path, server: MlflowServer, gms: Gms) -> Path:
    folder.mkdir()
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "max_threads": 2}}
    return recipe_file(folder, server.url, sink=sink)


def report_in(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "report.json").read_bytes())
    return read


@pytest.mark.parametrize(
    ("seed", "options"), [(0, []), (1, []), (2, []), (3, ["--changed-only"]), (4, ["--incremental"])]
)
async def test_killed_crawls_end_as_an_undisturbed_one(
    golden_server: MlflowServer, tmp_path: Path, seed: int, options: list[str]
) -> None:
    random = Random(seed)
    async with Gms() as gms:
        assert await crawl_process(recipe_in(tmp_path / "whole", golden_server, gms), None) == 0
        expected: Values = dict(gms.aspects)
        whole = report_in(tmp_path / "whole")
    async with Gms(latency=0.15) as gms:
        recipe = recipe_in(tmp_path / "killed", golden_server, gms)
        codes: list[int] = []
        while 0 not in codes:
            kill_after = random.uniform(0.5, 5.0) if len(codes) < 5 else None
            codes.append(await crawl_process(recipe, kill_after, *options))
        assert gms.violations == [], codes
        assert gms.aspects == expected, codes
    assert [each.name for each in recipe.parent.glob("state.db*") if each.suffix != ".lock"] == ["state.db"]
    report = report_in(recipe.parent)
    assert report["failures"] == []
    if report["since"] is not None:
        # The last kill came after the crawl's end, so that the next one reads what may have changed: nothing.
        assert (report["read"]["runs"], report["written"]["proposals"]) == (0, 0), codes
        return
    # What was written once more counts as often as it is there: once.
    assert report["read"] == whole["read"]
    written = Counter(report["written"]["entities"])
    assert written + Counter(report["unchanged"]) == whole["written"]["entities"], codes
    confirmed = {entity_type: sum(ways.values()) for entity_type, ways in report["confirmed"].items()}
    assert confirmed == written
