"""A real MLflow 3.17.2 with one of everything: what of it is delivered, and what is not."""

from pathlib import Path

from scripts.comparison.delivered import marks
from tests.servers.filled import FilledServer
from tests.support.crawls import crawl_to_file, recipe_file
from tests.support.judge import flapping, judge_contiguous

NOT_DELIVERED = {
    "columns of model signatures",
    "deleted experiments",
    "deleted runs",
    "earlier values of metrics",
    "traces",
}
"""With default options."""


async def test_everything_that_is_read_is_delivered(server_with_everything: FilledServer, tmp_path: Path) -> None:
    server, made = server_with_everything
    report, proposals = await crawl_to_file(recipe_file(tmp_path, server.url), tmp_path)
    assert (report.failures, flapping(proposals)) == ([], [])
    judge_contiguous(proposals)
    found = marks(made["texts"], [], proposals)
    assert {mark.kind for mark in found if mark.ours < mark.there} == NOT_DELIVERED
