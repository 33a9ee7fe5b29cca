"""A crawl that chooses among runs and is cut off: whatever it had done, the report adds up to that of a whole one."""

from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.telemetry.report import Report
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.dialect import Dialect, run
from tests.support.crawls import crawl_settings, recipe_file

CHOICES: list[dict[str, Any]] = [
    {"run_name_pattern": {"deny": ["odd"]}},
    {"run_name_pattern": {"deny": ["odd"]}, "max_runs_per_experiment": 20, "lifecycle": "all"},
]


def filled() -> Dialect:
    """Three experiments of 60 runs, many of which began at once; some are in the trash, some made a version."""
    dialect = Dialect()
    dialect.experiments = [{"experiment_id": str(number), "name": name} for number, name in enumerate("abc")]
    dialect.runs = []
    for number in range(180):
        row = run(f"r{number:03}", 1_000 + number // 9, str(number % 3))
        row["info"]["run_name"] = "odd" if number % 2 else "even"
        row["info"]["lifecycle_stage"] = "deleted" if number % 10 == 4 else "active"
        dialect.runs.append(row)
    dialect.models = [{"name": "m"}]
    dialect.versions = [
        {"name": "m", "version": str(number), "run_id": f"r{number * 7:03}", "creation_timestamp": 1}
        for number in range(1, 20)
    ]
    return dialect


def settings_for(url: str, folder: Path, gms: Gms, choice: dict[str, Any]) -> Settings:
    sink = {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 0, "max_threads": 1}}
    flags = Flags(state=folder / "state", page_size=8, batch_size=20, dead_letters=folder / "letters")
    return load(recipe_file(folder, url, choice, sink), {}, flags, home=folder)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
async def test_what_is_left_out_is_counted_once(choice: dict[str, Any], tmp_path: Path) -> None:
    async with filled().serve() as url:
        (tmp_path / "whole").mkdir()
        async with Gms() as gms:
            whole = await crawl_settings(settings_for(url, tmp_path / "whole", gms, choice))
            expected = dict(gms.aspects)
        assert whole.skipped["runs left out"]
        for stop in range(len(expected) // 3, len(expected) - 60, len(expected) // 4):
            folder = tmp_path / str(stop)
            folder.mkdir()
            async with Gms() as gms:
                gms.rule = lambda _, gms=gms, stop=stop: Fault(status=401) if len(gms.aspects) >= stop else None
                with pytest.raises(CredentialsRefused):
                    await crawl(settings_for(url, folder, gms, choice), report=Report("r"))
                gms.rule = None
                report = await crawl_settings(settings_for(url, folder, gms, choice))
                assert gms.aspects == expected
            assert (report.read, report.skipped, report.failures) == (whole.read, whole.skipped, []), stop
