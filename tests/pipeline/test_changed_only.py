"""Crawls one after the other into one DataHub: only what has changed is sent, and what failed is sent again."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.checkpoint.sqlite import MEMORY_TABLES, Database
from crawler.delivery.verification import patience
from crawler.errors import CredentialsRefused
from crawler.mapping.runs import run_urn
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import KeepingCurrent, Settings
from crawler.settings.sinks import Confirm
from crawler.telemetry.report import Report
from tests.conftest import GOLDEN
from tests.gms.faults import Fault, refusing
from tests.gms.server import Gms
from tests.servers.editor import Editor
from tests.servers.mlflow_server import MlflowServer, mlflow_server
from tests.support.crawls import crawl_settings, settings_for_gms
from tests.support.dead_letters import letters

RUN = "dataProcessInstance"
PROPERTIES = "dataProcessInstanceProperties"
EVENT = "dataProcessInstanceRunEvent"
ALL = 376
endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])
confirms = pytest.mark.parametrize("confirm", list(Confirm))


def changed_only(server: MlflowServer, folder: Path, gms: Gms, **options: Any) -> Settings:
    settings = settings_for_gms(server, folder, gms, **options)
    return structs.replace(settings, state=folder / "state", changed_only=KeepingCurrent())


async def sent(settings: Settings, gms: Gms) -> tuple[Report, list[tuple[str, str]]]:
    """The report of a crawl, and the (URN, aspect) pairs that DataHub got, in order."""
    before = len(gms.history)
    report = await crawl_settings(settings)
    assert gms.violations == []
    return report, [(urn, aspect) for urn, aspect, _ in gms.history[before:]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """One that is edited."""
    folder = tmp_path_factory.mktemp("edited-server")
    with mlflow_server("2.20.4", folder, database=GOLDEN / "mlflow-2.20.4.db") as running:
        yield running


@endpoints
@confirms
async def test_nothing_is_sent_where_nothing_has_changed(
    golden_server: MlflowServer, tmp_path: Path, endpoint: str, confirm: Confirm
) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms, endpoint=endpoint, confirm=confirm)
        first, written = await sent(settings, gms)
        assert len(written) == first.proposals == ALL
        assert first.unchanged.total() == 0
        for _ in range(2):
            report, written = await sent(settings, gms)
            assert (written, report.proposals, report.failures, report.batches) == ([], 0, [], 0)
            assert report.unchanged == first.delivered
            assert report.read == first.read
            assert report.to_dict()["unchanged"] == dict(first.delivered)


@pytest.mark.slow
@endpoints
async def test_an_edit_is_sent_and_nothing_else(server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    edit = Editor(server.url)
    async with Gms() as gms:
        settings = changed_only(server, tmp_path, gms, endpoint=endpoint)
        await sent(settings, gms)
        run = edit.runs()[0]["info"]["run_id"]
        for value in (f"new {endpoint}", "newer", f"new {endpoint}"):
            edit("runs/set-tag", run_id=run, key="edited", value=value)
            report, written = await sent(settings, gms)
            assert written == [(run_urn(run), PROPERTIES)]
            assert gms.aspects[run_urn(run), PROPERTIES]["customProperties"]["edited"] == value
            assert (report.proposals, report.delivered) == (1, {RUN: 1})
        assert (await sent(settings, gms))[1] == []


@pytest.mark.slow
async def test_how_a_run_ended_is_sent_with_something_that_can_be_read_back(
    server: MlflowServer, tmp_path: Path
) -> None:
    edit = Editor(server.url)
    experiment = edit.runs()[0]["info"]["experiment_id"]
    run = edit("runs/create", experiment_id=experiment, start_time=1_700_000_000_000)["run"]["info"]["run_id"]
    async with Gms() as gms:
        settings = changed_only(server, tmp_path, gms)
        await sent(settings, gms)
        edit("runs/update", run_id=run, status="FINISHED", end_time=1_700_000_009_000)
        report, written = await sent(settings, gms)
        assert written == [(run_urn(run), "subTypes"), (run_urn(run), EVENT)]
        assert report.confirmed[RUN] == {"read back": 1}
        assert (await sent(settings, gms))[1] == []
    async with Gms() as gms:
        settings = changed_only(server, tmp_path, gms, endpoint="openapi")
        await sent(settings, gms)
        edit("runs/update", run_id=run, status="FAILED", end_time=1_700_000_019_000)
        # An answer that lists what was taken needs nothing beside it.
        assert (await sent(settings, gms))[1] == [(run_urn(run), EVENT)]


@endpoints
async def test_what_datahub_refused_is_sent_again(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms, endpoint=endpoint)
        bad = {"mlTrainingRunProperties", "containerProperties"}
        gms.rule = refusing(lambda key: key[1] in bad)
        report, written = await sent(settings, gms)
        refused = set(letters(tmp_path / "dead.jsonl"))
        assert {aspect for _, aspect in refused} == bad
        assert report.rejected == ALL - len(written) == len(refused)
        gms.rule = None
        report, written = await sent(settings, gms)
        assert sorted(written) == sorted(refused)
        assert report.failures == []
        assert (await sent(settings, gms))[1] == []


async def test_what_datahub_lost_is_sent_again(
    golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OVERTAKEN_WAIT", 0.5)
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms)
        lost = run_urn(Editor(golden_server.url).runs()[0]["info"]["run_id"])
        gms.loses = {lost}
        report, _ = await sent(settings, gms)
        assert [failure.code for failure in report.failures] == ["not_stored"]
        gms.loses = set()
        _, written = await sent(settings, gms)
        assert {urn for urn, _ in written} == {lost}
        assert (await sent(settings, gms))[1] == []


async def test_a_crawl_that_was_cut_off_leaves_the_rest_only(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms, confirm=Confirm.NONE, max_threads=1, max_per_batch=20)
        batches = iter(range(6))
        gms.rule = lambda _: None if next(batches, None) is not None else Fault(status=401)
        with pytest.raises(CredentialsRefused, match=r"401|credentials"):
            await crawl(settings)
        gms.rule = None
        report, written = await sent(settings, gms)
        assert len(gms.aspects) == ALL
        assert len(written) < ALL
        assert report.delivered[RUN] + report.unchanged[RUN] == report.read["runs"]
        assert (await sent(settings, gms))[1] == []


async def test_however_a_crawl_is_cut_off_each_entity_counts_once(server: MlflowServer, tmp_path: Path) -> None:
    edit = Editor(server.url)
    experiment = edit.experiment("cut off")
    early, *_, late = [edit.run(experiment, start) for start in range(1, 12)]
    edit.model("of early runs", 2, early)
    async with Gms() as gms:
        settings = changed_only(server, tmp_path, gms)
        settings = structs.replace(settings, mlflow=structs.replace(settings.mlflow, page_size=3))
        whole, _ = await sent(settings, gms)
        edit("runs/set-tag", run_id=late, key="edited", value="yes")
        gms.rule = refusing(lambda key: key[0] == run_urn(late), status=401)
        with pytest.raises(CredentialsRefused):
            await crawl(settings)
        gms.rule = None
        # Its run is read again for it, and sent.
        edit("model-versions/create", name="of early runs", source="s3://bucket/model", run_id=early)
        report, written = await sent(settings, gms)
        assert {urn for urn, _ in written} >= {run_urn(early), run_urn(late)}
        assert report.read == whole.read | {"model_versions": whole.read["model_versions"] + 1}
        assert report.unchanged + report.delivered == whole.delivered + Counter(mlModel=1)
        assert (report.delivered["mlModel"], report.delivered[RUN]) == (1, 1)
        assert {entity_type: sum(ways.values()) for entity_type, ways in report.confirmed.items()} == report.delivered


async def test_a_crawl_that_sends_everything_makes_the_state_forget(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms)
        everything = structs.replace(settings, changed_only=None)
        for each, count in ((settings, ALL), (everything, ALL), (settings, ALL), (settings, 0)):
            assert len((await sent(each, gms))[1]) == count


async def test_another_datahub_has_none_of_it(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms, Gms() as other:
        for each in (gms, other, gms):
            assert len((await sent(changed_only(golden_server, tmp_path, each), each))[1]) == ALL


async def test_other_settings_are_seen_by_what_they_change(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms)
        await sent(settings, gms)
        mapping = structs.replace(settings.mapping, ui_url="http://elsewhere")
        _, written = await sent(structs.replace(settings, mapping=mapping), gms)
        assert {aspect for _, aspect in written} == {
            "containerProperties",
            PROPERTIES,
            "mlModelGroupProperties",
            "mlModelProperties",
        }


async def test_a_state_of_an_older_release_is_taken_over(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = changed_only(golden_server, tmp_path, gms)
        await sent(structs.replace(settings, changed_only=None), gms)
        state = Database(tmp_path / "state")
        for table in MEMORY_TABLES:
            state.rows(f"DROP TABLE {table}")
        state.rows("PRAGMA user_version = 1")
        state.close()
        # A crawl that sends everything leaves it as the older release can read it.
        assert len((await sent(structs.replace(settings, changed_only=None), gms))[1]) == ALL
        assert int.from_bytes((tmp_path / "state").read_bytes()[60:64]) == 1
        assert [len((await sent(settings, gms))[1]) for _ in range(2)] == [ALL, 0]
        assert int.from_bytes((tmp_path / "state").read_bytes()[60:64]) == 2
