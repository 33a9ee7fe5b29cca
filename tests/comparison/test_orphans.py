"""What DataHub lists wrongly, or ceases to list, ends the search for orphans, and is said."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from crawler.comparison.run import diff
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.telemetry.report import Report
from tests.gms.other_writers import overwrite
from tests.gms.paths import SCROLL
from tests.gms.server import Gms, Handler
from tests.servers.dialect import Dialect
from tests.support.crawls import crawl_settings, recipe_file

GONE = "urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,gone,PROD)"
PAGE = {"entities": [{"urn": GONE}, {"urn": "urn:li:tag:a"}, {"urn": "no urn"}, {"urn": ""}]}


async def searched(folder: Path, *pages: tuple[int, Any]) -> tuple[Report, list[str], int]:
    """A diff of what was crawled, where DataHub lists these pages, the last again and again: what is orphaned."""
    asked = 0

    def around(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            nonlocal asked
            if request.path != SCROLL:
                return await handler(request)
            status, body = pages[min(asked, len(pages) - 1)]
            asked += 1
            return web.json_response(body, status=status)

        return answer

    gms = Gms(reads_timeseries=True)
    gms.around = around
    async with Dialect().serve() as url, gms:
        sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0}}
        settings = load(recipe_file(folder, url, sink=sink), {}, Flags(), home=folder)
        await crawl_settings(settings)
        overwrite(gms, GONE, "status", {"removed": False})
        report = Report(settings.run_id)
        differences = await diff(settings, report=report)
    assert (differences.missing, differences.different) == (0, 0)
    return report, [urn for kind in differences.kinds.values() for urn in kind.first_orphaned], asked


async def test_only_what_is_an_entity_of_mlflow_is_asked_for(tmp_path: Path) -> None:
    report, orphaned, asked = await searched(tmp_path, (200, PAGE))
    assert (report.failures, orphaned, asked) == ([], [GONE], 1)


@pytest.mark.parametrize(
    ("pages", "asked"),
    [
        ([(200, PAGE | {"scrollId": "same"})], 2),
        ([(200, PAGE | {"scrollId": "next"}), (400, {"error": "expired"})], 2),
        ([(200, PAGE | {"scrollId": "next"}), (200, {"entities": [{}]})], 2),
        ([(200, PAGE | {"scrollId": "next"}), (200, [])], 2),
    ],
)
async def test_a_list_that_does_not_come_to_its_end(pages: list[tuple[int, Any]], asked: int, tmp_path: Path) -> None:
    report, orphaned, count = await searched(tmp_path, *pages)
    assert orphaned == [GONE]
    assert [failure.code for failure in report.failures] == ["orphans_not_listed"]
    assert count == asked


async def test_without_a_filter_where_that_is_not_known(tmp_path: Path) -> None:
    report, orphaned, asked = await searched(tmp_path, (500, {"error": "filter?"}), (200, PAGE))
    assert (report.failures, orphaned, asked) == ([], [GONE], 2)
