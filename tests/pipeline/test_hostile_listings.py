"""Servers that answer what no MLflow would: each ends in a named failure or is survived, never in a hang or a trace."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from crawler.mapping.runs import run_urn
from crawler.telemetry.report import Report
from tests.mlflow.listings import meets, number_token
from tests.support.crawls import crawl_to_file, recipe_file, values

API = "/api/2.0/mlflow"
ESCAPE = "\x1b[2J\x1b]0;owned\x07\u202e"
NO_RETRIES = {"retry_max_times": 0}
Spoil = Callable[[list[dict[str, Any]], bytes], bytes | int]
"""Makes of the runs of a page and its honest body what is answered: a body or a status."""


def a_run(number: int, **info: Any) -> dict[str, Any]:
    return {"info": {"run_id": f"{number:032x}", "experiment_id": "1", "start_time": 1_000 + number // 3, **info}}


@asynccontextmanager
async def hostile(runs: list[dict[str, Any]], spoil: Spoil, experiment: str = "victim") -> AsyncIterator[str]:
    """A server with one experiment of such runs, sorted by start time, whose pages are spoilt."""

    async def search_runs(request: web.Request) -> web.Response:
        query = await request.json()
        bounds = query.get("filter", "").split(" AND ")
        found = [run for run in runs if all(meets(run["info"], bound) for bound in bounds)]
        if "DESC" in query.get("order_by", [""])[0]:
            found.reverse()
        offset = _offset(query.get("page_token"))
        rows = found[offset : offset + query["max_results"]]
        token = number_token(offset + len(rows)) if offset + len(rows) < len(found) else ""
        answer = spoil(rows, json.dumps({"runs": rows, "next_page_token": token}).encode())
        if isinstance(answer, int):
            return web.json_response({"error_code": "INTERNAL_ERROR", "message": f"broken {ESCAPE}"}, status=answer)
        return web.Response(body=answer, content_type="application/json")

    async def experiments(_request: web.Request) -> web.Response:
        return web.json_response({"experiments": [{"experiment_id": "1", "name": experiment}]})

    async def nothing(_request: web.Request) -> web.Response:
        return web.json_response({})

    app = web.Application()
    app.router.add_post(f"{API}/runs/search", search_runs)
    app.router.add_post(f"{API}/experiments/search", experiments)
    app.router.add_get(f"{API}/registered-models/search", nothing)
    app.router.add_get(f"{API}/model-versions/search", nothing)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


def _offset(token: str | None) -> int:
    from base64 import b64decode  # noqa: PLC0415

    return int(json.loads(b64decode(token))["offset"]) if token else 0


async def crawl(url: str, folder: Path, page_size: int = 16) -> tuple[Report, set[str]]:
    report, proposals = await crawl_to_file(recipe_file(folder, url, NO_RETRIES), folder, {"page_size": page_size})
    return report, {each["entityUrn"] for each in proposals if ":dataProcessInstance:" in each["entityUrn"]}


def holds(rows: list[dict[str, Any]], number: int) -> bool:
    return any(row["info"]["run_id"] == f"{number:032x}" for row in rows)


DEEP = b'{"runs": [{"info": {"run_id": "r", "x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}}]}"


@pytest.mark.parametrize(
    "answer",
    [DEEP, b'{"runs": [{"info": {"run_id": "\xff\xfe"}}]}', b'{"runs": [', b"[]", b'{"runs": 5}', b"\x00" * 1_000, 500],
    ids=["deep", "not UTF-8", "cut off", "a list", "no list", "zeros", "500"],
)
async def test_a_row_that_spoils_its_page_costs_itself_only(answer: bytes | int, tmp_path: Path) -> None:
    runs = [a_run(number) for number in range(60)]
    async with hostile(runs, lambda rows, body: answer if holds(rows, 31) else body) as url:
        report, urns = await crawl(url, tmp_path)
    assert urns == {run_urn(f"{number:032x}") for number in range(60) if number != 31}
    ((code, count),) = [(failure.code, failure.count) for failure in report.failures]
    assert (code, count) == ("unreadable_runs", 1)
    assert f"between {30:032x} (start_time 1010) and {32:032x}" in report.failures[0].samples[0]


async def test_an_unusual_value_costs_not_even_its_row(tmp_path: Path) -> None:
    runs = [a_run(number) for number in range(12)]
    runs[2] = a_run(2, run_name="half \ud83d")
    runs[4] = a_run(4, start_time=1_001.5)
    runs[7] = a_run(7, end_time="soon")
    async with hostile(runs, lambda _, body: body) as url:
        report, urns = await crawl(url, tmp_path)
    assert urns == {run_urn(f"{number:032x}") for number in range(12)}
    assert report.failures == []
    ((code, samples),) = [(warning.code, warning.samples) for warning in report.warnings if "mended" in warning.code]
    assert code == "mended_runs"
    assert samples == [
        f"{2:032x} 1: half of a surrogate pair in 'half \\ud83d' was replaced by U+FFFD",
        f"{4:032x} 1: start_time 1001.5 was cut to whole milliseconds",
        f"{7:032x} 1: end_time 'soon' was left out: it is no time",
    ]


async def test_a_server_that_spoils_every_page_is_a_named_failure(tmp_path: Path) -> None:
    requests = 0

    def spoil(_rows: list[dict[str, Any]], _body: bytes) -> int:
        nonlocal requests
        requests += 1
        return 500

    async with hostile([a_run(number) for number in range(1_000)], spoil) as url:
        report, urns = await crawl(url, tmp_path, 512)
    assert urns == set()
    assert [failure.code for failure in report.failures] == ["experiment"]
    assert requests < 25


async def test_a_run_id_that_comes_twice_with_other_data_is_named(tmp_path: Path) -> None:
    runs = [a_run(number) for number in range(8)]
    twins = [runs[0], a_run(0, run_name="another"), *runs[1:], runs[7]]
    async with hostile(twins, lambda _rows, body: body) as url:
        report, urns = await crawl(url, tmp_path)
    assert urns == {run_urn(f"{number:032x}") for number in range(8)}
    assert report.read["runs"] == 8
    (failure,) = report.failures
    assert failure.samples == [f"run {0:032x} comes twice, with other data: only the first is kept"]


async def test_no_control_character_of_a_server_reaches_the_terminal(tmp_path: Path) -> None:
    runs = [a_run(number, run_name=ESCAPE) for number in range(20)]
    runs[12]["info"]["run_id"] += ESCAPE
    runs[12]["info"]["end_time"] = "soon"

    async with hostile(runs, lambda rows, body: 500 if holds(rows, 5) else body, experiment=ESCAPE) as url:
        recipe = recipe_file(tmp_path, url, NO_RETRIES)
        arguments = ("-m", "crawler", "crawl", "--verbose", "-c", str(recipe), "--output", str(tmp_path / "out.json"))
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        shown = "".join(part.decode() for part in await process.communicate())
    assert process.returncode == 1
    assert "unreadable_runs" in shown
    assert "owned" in shown
    assert not any(character in shown for character in "\x1b\x07\u202e")


def escaped(body: bytes) -> bytes:
    """The JSON with each sign of its texts as a number."""

    def by_number(found: re.Match[str]) -> str:
        return "".join(f"\\u{ord(sign):04x}" for sign in found[1]).join('""')

    return re.sub(r'"([^"\\]*)"', by_number, body.decode()).encode()


@pytest.mark.parametrize("spell", [lambda body: body, escaped], ids=["as MLflow does", "by numbers"])
@pytest.mark.parametrize("failures", [0, 3, 1_000], ids=["", "some pages fail", "pages fail"])
@pytest.mark.parametrize("page_size", [2, 16, 100])
async def test_however_json_comes_parents_are_named_and_secrets_left_out(
    spell: Callable[[bytes], bytes], page_size: int, failures: int, tmp_path: Path
) -> None:
    runs = [a_run(number) for number in range(30)]
    parent, child = (f"{number:032x}" for number in (3, 20))
    runs[20]["data"] = {
        "tags": [{"key": "mlflow.parentRunId", "value": parent}],
        "params": [{"key": "remote", "value": "https://ann:s3cr3t@git.example.com/o/r.git"}],
    }
    left = iter(range(failures))

    def spoil(rows: list[dict[str, Any]], body: bytes) -> bytes | int:
        fails = len(rows) > 1 and holds(rows, 20) and next(left, None) is not None
        return 500 if fails else spell(body)

    options = {"page_size": page_size}
    async with hostile(runs, spoil) as url:
        report, proposals = await crawl_to_file(recipe_file(tmp_path, url, NO_RETRIES), tmp_path, options)
    written = values(proposals)
    assert "s3cr3t" not in json.dumps(proposals)
    assert "https://git.example.com/o/r.git" in json.dumps(written[run_urn(child), "mlTrainingRunProperties"])
    assert written[run_urn(child), "dataProcessInstanceRelationships"]["parentInstance"] == run_urn(parent)
    assert [(each.code, each.count) for each in report.warnings] == [("url_credentials", 1)]
