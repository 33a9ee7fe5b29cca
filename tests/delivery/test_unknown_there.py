"""An aspect or entity type that DataHub does not know is refused once, then left out, named and kept."""

from pathlib import Path
from typing import Any

import pytest

from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.dialect import Dialect, run
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings, into_gms, settings_for_gms
from tests.support.dead_letters import letters

endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])
RUN = "dataProcessInstance"
LACKS = {(RUN, "mlTrainingRunProperties"), (RUN, "dataProcessInstanceRunEvent"), ("mlModel", "versionProperties")}


@endpoints
@pytest.mark.parametrize("alternate", [True, False], ids=["422", "500"])
async def test_unknown_aspects_are_left_out_and_kept(
    golden_server: MlflowServer, tmp_path: Path, endpoint: str, *, alternate: bool
) -> None:
    async with Gms() as gms:
        await into_gms(golden_server, tmp_path, gms)
        whole = gms.aspects
    async with Gms(lacks=LACKS, alternate=alternate) as gms:
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint)
    missing = {
        (urn, aspect)
        for urn, aspect in whole
        for entity_type, unknown in LACKS
        if f":{entity_type}:" in urn and aspect == unknown
    }
    assert gms.aspects.keys() == whole.keys() - missing
    kept = letters(tmp_path / "dead.jsonl")
    assert kept.keys() == missing
    assert all("Unknown aspect" in letter["reason"] for letter in kept.values())
    counts = {f"unknown_{kind}.{aspect}": sum(each == aspect for _, each in missing) for kind, aspect in LACKS}
    assert {failure.code: failure.count for failure in report.failures} == counts
    assert report.rejected == len(missing)
    refused = sum(status >= 400 for status, _ in gms.answers)
    assert refused <= 16 * len(LACKS), "each writer may have had one batch of each kind on its way"


@endpoints
async def test_an_unknown_entity_type_is_left_out(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    def refuse(proposals: list[dict[str, Any]]) -> Fault | None:
        known = all(each["entityType"] != "platformResource" for each in proposals)
        words = "Failed to find entity with name platformResource in EntityRegistry"
        return None if known else Fault(status=500, body={"message": words})

    async with Gms() as gms:
        gms.rule = refuse
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint)
    (failure,) = report.failures
    assert failure.code == "unknown_platformResource"
    kept = letters(tmp_path / "dead.jsonl")
    assert len(kept) == failure.count == report.rejected
    assert {letter["proposal"]["entityType"] for letter in kept.values()} == {"platformResource"}
    assert sum(status == 500 for status, _ in gms.answers) <= 16
    assert not any(":platformResource:" in urn for urn, _ in gms.aspects)
    assert report.delivered["dataProcessInstance"] == 24


async def test_a_thousand_runs_cost_no_more_writes_than_without(tmp_path: Path) -> None:
    dialect = Dialect()
    dialect.runs = [run(f"r{number}", 1_000 + number) for number in range(1_000)]
    writes = []
    for lacks in (set(), LACKS):
        async with dialect.serve() as url, Gms(lacks=lacks, alternate=False) as gms:
            server = MlflowServer("", url, tmp_path, 0, tmp_path)
            report = await crawl_settings(settings_for_gms(server, tmp_path, gms, max_threads=4))
        writes.append(len(gms.answers))
        assert (report.rejected == 0) == (not lacks)
        assert report.read["runs"] == 1_000
        assert sum(status >= 400 for status, _ in gms.answers) <= 4 * len(lacks), "one batch of each writer and kind"
    assert writes[1] <= writes[0] + 4 * len(LACKS), "what was refused goes on whole"


async def test_words_about_something_that_was_not_sent_are_no_reason_to_leave_it_out(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    def refuse(proposals: list[dict[str, Any]]) -> Fault | None:
        if not any(each["entityUrn"] == "urn:li:tag:mlflow_production" for each in proposals):
            return None
        return Fault(status=400, body={"message": "Unknown aspect schemaMetadata for entity dataset"})

    async with Gms() as gms:
        gms.rule = refuse
        report = await into_gms(golden_server, tmp_path, gms)
    (failure,) = report.failures
    assert failure.code == "refused_400"
    assert {urn for urn, _ in letters(tmp_path / "dead.jsonl")} == {"urn:li:tag:mlflow_production"}


async def test_where_only_bad_ones_are_left_datahub_does_not_refuse_everything(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    """At the end: tags are read first and taken, all that comes later is refused, and what was taken still is."""

    def refuse(proposals: list[dict[str, Any]]) -> Fault | None:
        good = all(each["entityType"] == "tag" for each in proposals)
        return None if good else Fault(status=400, body={"message": "never"})

    async with Gms() as gms:
        gms.rule = refuse
        report = await into_gms(golden_server, tmp_path, gms, max_threads=1)
    assert report.status == "failures"
    assert [failure.code for failure in report.failures] == ["refused_400"]
    assert {urn.split(":")[2] for urn, _ in gms.aspects} == {"tag"}
    assert report.rejected == len(letters(tmp_path / "dead.jsonl"))
