"""One bad proposal costs itself: refused batches are taken apart, what is refused is named and kept, and a server that
refuses everything is not asked for each proposal.
"""

import asyncio
import json
from collections.abc import Callable
from math import ceil, log2
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.errors import ServerError
from crawler.pipeline import crawl
from crawler.recipe import Flags, load
from crawler.report import CrawlReport
from tests.crawls import crawl_settings, recipe_file
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer

ALL = 376
endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])
Key = tuple[str, str]


def refusing(bad: set[Key], status: int) -> Callable[[list[dict[str, Any]]], Fault | None]:
    """Refuses every batch that holds one of these (URN, aspect)."""

    def rule(proposals: list[dict[str, Any]]) -> Fault | None:
        held = {(proposal["entityUrn"], proposal["aspectName"]) for proposal in proposals}
        return Fault(status=status, body={"message": "it is bad"}) if held & bad else None

    return rule


def letters(folder: Path) -> dict[Key, dict[str, Any]]:
    lines = (folder / "dead.jsonl").read_bytes().splitlines()
    read = [json.loads(line) for line in lines]
    found = {(letter["proposal"]["entityUrn"], letter["proposal"]["aspectName"]): letter for letter in read}
    assert len(found) == len(lines), "a proposal has two letters"
    return found


async def into_gms(server: MlflowServer, folder: Path, gms: Gms, **config: object) -> CrawlReport:
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1, **config}}
    settings = load(recipe_file(folder, server.url, sink=sink), {}, Flags(), home=folder)
    settings = settings_with_letters(settings, folder)
    return await crawl_settings(settings)


def settings_with_letters(settings: Any, folder: Path) -> Any:
    return structs.replace(settings, dead_letters=folder / "dead.jsonl")


async def everything(server: MlflowServer, folder: Path) -> dict[Key, Any]:
    async with Gms() as gms:
        await into_gms(server, folder, gms)
    assert len(gms.aspects) == ALL
    return gms.aspects


@endpoints
@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_one_bad_proposal_costs_only_itself(
    golden_server: MlflowServer, tmp_path: Path, status: int, endpoint: str
) -> None:
    whole = await everything(golden_server, tmp_path)
    runs = sorted(urn for urn, aspect in whole if aspect == "mlTrainingRunProperties")
    bad = {(runs[3], "mlTrainingRunProperties"), (runs[7], "status")}
    async with Gms() as gms:
        gms.rule = refusing(bad, status)
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint)
    assert gms.aspects == {key: value for key, value in whole.items() if key not in bad}
    kept = letters(tmp_path)
    assert kept.keys() == bad
    assert {letter["code"] for letter in kept.values()} == {f"refused_{status}"}
    assert {letter["status"] for letter in kept.values()} == {status}
    assert all("it is bad" in letter["reason"] for letter in kept.values())
    assert {key: letter["proposal"]["aspect"]["json"] for key, letter in kept.items()} == {
        key: whole[key] for key in bad
    }
    (failure,) = report.failures
    assert (failure.code, failure.count, report.rejected) == (f"refused_{status}", 2, 2)
    assert report.proposals == ALL - 2
    assert report.delivered["dataProcessInstance"] == len(runs) - 2
    refusals = sum(answer == status for answer, _ in gms.answers)
    tries = 2 if status == 500 else 1
    assert refusals <= tries * (1 + 2 * len(bad) * ceil(log2(200)))
    assert gms.violations == []


@endpoints
async def test_what_the_token_may_not_write_is_told_from_the_rest(
    golden_server: MlflowServer, tmp_path: Path, endpoint: str
) -> None:
    whole = await everything(golden_server, tmp_path)
    tag = "urn:li:tag:mlflow_production"
    async with Gms(forbidden={tag}) as gms:
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint)
    assert gms.aspects == {key: value for key, value in whole.items() if key[0] != tag}
    assert {urn for urn, _ in letters(tmp_path)} == {tag}
    (failure,) = report.failures
    assert failure.code == "refused_403"
    assert report.delivered["tag"] == 3
    if endpoint == "restli":
        assert sum(answer == 403 for answer, _ in gms.answers) == 1, "the answer names the URN: no search is needed"


async def test_a_server_that_refuses_everything_ends_the_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    whole = await everything(golden_server, tmp_path)
    async with Gms() as gms:
        gms.rule = Fault(status=400, body={"message": "never"})
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "max_threads": 2}}
        settings = load(recipe_file(tmp_path, golden_server.url, sink=sink), {}, Flags(), home=tmp_path)
        report = CrawlReport("r")
        with pytest.raises(ServerError, match="DataHub refuses everything") as caught:
            await crawl(settings_with_letters(settings, tmp_path), report, asyncio.Event())
    assert caught.value.exit_code == 3
    assert len(gms.answers) < 200
    assert gms.aspects == {}
    kept = letters(tmp_path)
    assert {letter["code"] for letter in kept.values()} == {"refused_400", "not_sent"}
    assert report.rejected == len(kept)
    assert kept.keys() <= whole.keys()
    assert report.proposals == 0


async def test_a_body_that_a_proxy_does_not_take_is_halved(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(body_limit=20_000) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    assert report.failures == []
    assert len(gms.aspects) == ALL
