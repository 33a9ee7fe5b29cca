"""One bad proposal costs itself: refused batches are taken apart, what is refused is named and kept, and a server that
refuses everything is not asked for each proposal.
"""

from math import ceil, log2
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import ServerError
from crawler.pipeline.crawl import crawl
from crawler.telemetry.report import Report
from tests.gms.faults import Fault, refusing
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import into_gms, settings_for_gms
from tests.support.dead_letters import letters

ALL = 376
endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])
Key = tuple[str, str]


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
        gms.rule = refusing(lambda key: key in bad, status)
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint)
    assert gms.aspects == {key: value for key, value in whole.items() if key not in bad}
    kept = letters(tmp_path / "dead.jsonl")
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
    assert {urn for urn, _ in letters(tmp_path / "dead.jsonl")} == {tag}
    (failure,) = report.failures
    assert failure.code == "refused_403"
    assert report.delivered["tag"] == 3
    if endpoint == "restli":
        assert sum(answer == 403 for answer, _ in gms.answers) == 1, "the answer names the URN: no search is needed"


async def test_a_server_that_refuses_everything_ends_the_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    whole = await everything(golden_server, tmp_path)
    async with Gms() as gms:
        gms.rule = Fault(status=400, body={"message": "never"})
        settings = settings_for_gms(golden_server, tmp_path, gms, max_threads=2)
        report = Report("r")
        with pytest.raises(ServerError, match="DataHub refuses everything") as caught:
            await crawl(settings, report=report)
    assert caught.value.exit_code == 3
    assert len(gms.answers) < 200
    assert gms.aspects == {}
    kept = letters(tmp_path / "dead.jsonl")
    codes = {letter["code"] for letter in kept.values()}
    # Of a request that was under way at the end it is not known what DataHub made of it.
    assert {"refused_400", "not_sent"} <= codes <= {"refused_400", "not_sent", "not_answered"}
    assert report.rejected == len(kept)
    assert kept.keys() <= whole.keys()
    assert report.proposals == 0


async def test_a_body_that_a_proxy_does_not_take_is_halved(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(body_limit=20_000) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    assert report.failures == []
    assert len(gms.aspects) == ALL
