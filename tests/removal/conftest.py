"""What the tests of stale removal share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.removal.crawls import World, removed, world


@pytest.fixture
async def crawled(tmp_path: Path) -> AsyncIterator[World]:
    """A world that was crawled once."""
    async with world(tmp_path) as whole:
        report = await whole.crawl()
        assert (report.status, removed(whole.gms)) == ("success", set())
        yield whole
