"""Whole crawls into a GMS that loses what it took: what is not there is named, kept and told by the exit code."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from crawler.errors import CredentialsRefused, ExitCode, WrongServer
from crawler.pipeline.check import DatahubCheck, check
from crawler.pipeline.crawl import crawl
from crawler.pipeline.replay import replay
from crawler.settings.sinks import Confirm, Endpoint
from crawler.telemetry.report import Report
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import into_gms, settings_for_gms
from tests.support.dead_letters import letters

ALL = 376
ENTITIES = {"container", "dataProcessInstance", "dataset", "mlModel", "mlModelGroup", "platformResource", "tag"}
MODEL = "urn:li:mlModel:"
endpoints = pytest.mark.parametrize("endpoint", [Endpoint.RESTLI, Endpoint.OPENAPI])
confirms = pytest.mark.parametrize("confirm", list(Confirm))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a minute for what never comes."""
    monkeypatch.setattr("crawler.delivery.verification.patience.OVERTAKEN_WAIT", 0.5)


def ways(report: Report) -> dict[str, int]:
    """How many entities were confirmed how."""
    sums: dict[str, int] = {}
    for counts in report.confirmed.values():
        for how, count in counts.items():
            sums[how] = sums.get(how, 0) + count
    return sums


@endpoints
@confirms
@pytest.mark.parametrize("config", [{}, {"mode": "SYNC"}], ids=str)
async def test_everything_is_confirmed_and_the_report_says_how(
    golden_server: MlflowServer, tmp_path: Path, confirm: Confirm, endpoint: Endpoint, config: dict[str, Any]
) -> None:
    async with Gms() as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=confirm, endpoint=endpoint, **config)
    assert (report.failures, report.warnings, gms.violations) == ([], [], [])
    assert report.proposals == len(gms.aspects) == ALL
    assert set(report.confirmed) == ENTITIES
    expected = {
        Confirm.NONE: "status",
        Confirm.STORED: "stored",
        Confirm.ENTITIES: "answer" if endpoint is Endpoint.OPENAPI else "read back",
    }[confirm]
    assert ways(report) == {expected: sum(report.delivered.values())}
    assert bool(gms.read_backs) == (expected in {"stored", "read back"})
    assert report.to_dict()["confirmed"]["tag"] == {expected: 4}  # type: ignore[index]


async def test_a_few_requests_are_enough(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    assert sum(gms.read_backs) == sum(report.delivered.values())
    assert len(gms.read_backs) <= 2 * len(ENTITIES)


@pytest.mark.parametrize("confirm", [Confirm.ENTITIES, Confirm.STORED])
async def test_an_entity_that_is_lost_behind_a_200_is_named_and_kept(
    golden_server: MlflowServer, tmp_path: Path, confirm: Confirm
) -> None:
    async with Gms() as gms:
        await into_gms(golden_server, tmp_path, gms)
        lost = min(urn for urn, _ in gms.aspects if urn.startswith(MODEL))
    async with Gms(loses={lost}) as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=confirm)
    aspects = {aspect for urn, aspect in letters(tmp_path / "dead.jsonl")}
    assert {urn for urn, _ in letters(tmp_path / "dead.jsonl")} == {lost}
    assert {letter["code"] for letter in letters(tmp_path / "dead.jsonl").values()} == {"not_stored"}
    (failure,) = report.failures
    assert (failure.code, failure.count) == ("not_stored", len(aspects))
    assert failure.samples[0].startswith(f"{lost}: ")
    assert (report.status, report.rejected) == ("failures", len(aspects))
    assert report.proposals == len(gms.aspects) == ALL - len(aspects)
    assert report.delivered["mlModel"] == 17


async def test_one_that_an_earlier_crawl_stored_proves_nothing(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        await into_gms(golden_server, tmp_path, gms)
        lost = min(urn for urn, _ in gms.aspects if urn.startswith(MODEL))
        gms.loses = {lost}
        for key in [key for key in gms.aspects if key[0] == lost]:
            gms.shelf.put(key, ({"another": "value"}, {"lastObserved": 1}), queued=False)
        report = await into_gms(golden_server, tmp_path, gms)
    assert {urn for urn, _ in letters(tmp_path / "dead.jsonl")} == {lost}
    assert [failure.code for failure in report.failures] == ["not_stored"]


async def test_one_that_an_earlier_crawl_stored_as_it_is_now_is_there(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms() as gms:
        await into_gms(golden_server, tmp_path, gms)
        gms.loses = {urn for urn, _ in gms.aspects if urn.startswith((MODEL, "urn:li:tag:"))}
        report = await into_gms(golden_server, tmp_path, gms)
    assert report.failures == []
    assert report.unconfirmed == 0
    assert letters(tmp_path / "dead.jsonl") == {}


@pytest.mark.parametrize("confirm", list(Confirm))
async def test_one_aspect_that_is_lost_is_found_where_each_is_asked_for(
    golden_server: MlflowServer, tmp_path: Path, confirm: Confirm
) -> None:
    async with Gms() as gms:
        await into_gms(golden_server, tmp_path, gms)
        lost = min(key for key in gms.aspects if key[1] == "mlModelProperties")
    async with Gms(loses={lost}) as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=confirm)
    is_found = confirm is Confirm.STORED
    assert set(letters(tmp_path / "dead.jsonl")) == ({lost} if is_found else set())
    assert bool(report.failures) == is_found
    assert gms.lost == [lost] * (2 if is_found else 1)


@endpoints
async def test_what_the_queue_loses_is_written_once_more_without_it(
    golden_server: MlflowServer, tmp_path: Path, endpoint: Endpoint
) -> None:
    async with Gms(loses_queued={"urn:li:tag:mlflow_production"}) as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=Confirm.STORED, endpoint=endpoint)
    assert report.failures == []
    assert len(gms.aspects) == report.proposals == ALL
    assert gms.modes == {"true", "false"}
    assert letters(tmp_path / "dead.jsonl") == {}


@pytest.mark.parametrize("confirm", [Confirm.ENTITIES, Confirm.STORED])
async def test_a_queue_that_lags_is_waited_for(golden_server: MlflowServer, tmp_path: Path, confirm: Confirm) -> None:
    async with Gms(lag=lambda urn, _: len(urn) % 4) as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=confirm)
    assert report.failures == []
    assert report.proposals == ALL


@pytest.mark.parametrize(
    ("options", "word"), [({"without_batch_get": True}, "404"), ({"version": "v1.0.0"}, "older than 1.0.1")], ids=str
)
async def test_a_server_that_cannot_be_asked_is_told_once(
    golden_server: MlflowServer, tmp_path: Path, options: dict[str, Any], word: str
) -> None:
    async with Gms(**options) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    (warning,) = report.warnings
    assert warning.code == "unconfirmed_by_server"
    assert word in warning.message + " ".join(warning.samples)
    assert (report.failures, gms.read_backs) == ([], [])
    assert ways(report) == {"status": sum(report.delivered.values())}


async def test_one_entity_that_a_user_may_not_read_is_named(golden_server: MlflowServer, tmp_path: Path) -> None:
    hidden = "urn:li:tag:mlflow_production"
    async with Gms(unreadable={hidden}) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    (warning,) = report.warnings
    assert (warning.code, warning.count) == ("unconfirmed_by_server", 1)
    assert warning.samples[0].startswith(f"{hidden}: ")
    assert "403" in warning.samples[0]
    assert report.confirmed["tag"] == {"read back": 3, "status": 1}
    assert report.failures == []


async def test_a_user_who_may_not_read_trusts_the_status(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.read_rule = lambda asked: Fault(status=403) if asked[0]["urn"].startswith("urn:li:tag:") else None
        report = await into_gms(golden_server, tmp_path, gms)
    (warning,) = report.warnings
    assert (warning.code, warning.count) == ("unconfirmed_by_server", 1)
    assert "403" in warning.samples[0]
    assert report.confirmed["tag"] == {"status": 4}
    assert report.confirmed["mlModel"] == {"read back": 18}
    assert report.failures == []


async def test_a_token_that_ends_meanwhile_ends_the_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.read_rule = Fault(status=401, body={"message": "It has expired."})
        with pytest.raises(CredentialsRefused):
            await into_gms(golden_server, tmp_path, gms)
    unsent, unconfirmed = letters(tmp_path / "dead.jsonl"), letters(tmp_path / "dead-unconfirmed.jsonl")
    assert unconfirmed
    assert set(gms.aspects) <= {*unsent, *unconfirmed}
    assert {letter["code"] for letter in unconfirmed.values()} == {"unconfirmed"}
    assert {letter["code"] for letter in unsent.values()} <= {"not_sent", "not_answered"}


@pytest.mark.parametrize("config", [{}, {"mode": "SYNC"}], ids=str)
@pytest.mark.parametrize("number", [0, 3])
async def test_an_answer_that_was_spoilt_is_no_proof_and_is_asked_for_again(
    golden_server: MlflowServer, tmp_path: Path, config: dict[str, Any], number: int
) -> None:
    async with Gms() as gms:
        gms.script = [*[None] * number, Fault(status=200, body='[{"urn":"urn:li', stored=True)]
        report = await into_gms(golden_server, tmp_path, gms, endpoint=Endpoint.OPENAPI, **config)
    assert (report.failures, report.warnings, gms.violations) == ([], [], [])
    assert ways(report) == {"answer": sum(report.delivered.values())}
    assert len(gms.aspects) == ALL


async def test_a_batch_whose_answers_are_all_spoilt_is_not_delivered(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    def spoils_models(proposals: list[dict[str, Any]]) -> Fault | None:
        return Fault(status=200, body="[{", stored=True) if proposals[0]["entityUrn"].startswith(MODEL) else None

    async with Gms() as gms:
        gms.rule = spoils_models
        report = await into_gms(golden_server, tmp_path, gms, endpoint=Endpoint.OPENAPI)
    assert len({urn for urn, _ in letters(tmp_path / "dead.jsonl")}) == 18
    assert all(urn.startswith(MODEL) for urn, _ in letters(tmp_path / "dead.jsonl"))
    (failure,) = report.failures
    assert (failure.code, failure.count) == ("not_taken", len(letters(tmp_path / "dead.jsonl")))
    assert report.delivered["mlModel"] == 0
    assert report.confirmed["tag"] == {"answer": 4}


async def test_where_no_answer_lists_what_was_taken_the_status_counts(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms() as gms:
        gms.rule = Fault(status=202, body=b"", stored=True)
        report = await into_gms(golden_server, tmp_path, gms, endpoint=Endpoint.OPENAPI)
    (warning,) = report.warnings
    assert (report.failures, warning.code, warning.count) == ([], "unconfirmed_by_server", 1)
    assert ways(report) == {"status": sum(report.delivered.values())}


async def test_what_is_read_back_needs_no_answer_that_lists_it(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.rule = Fault(status=202, body=b"", stored=True)
        report = await into_gms(golden_server, tmp_path, gms, confirm=Confirm.STORED, endpoint=Endpoint.OPENAPI)
    assert (report.failures, report.warnings) == ([], [])
    assert ways(report) == {"stored": sum(report.delivered.values())}


async def test_a_queue_that_stands_still_leaves_what_was_taken_unconfirmed_and_a_replay_sends_the_rest(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms() as gms:
        gms.shelf.queue.clear()
        report = await into_gms(golden_server, tmp_path, gms, confirm_wait="1s")
        assert (report.status, report.failures) == ("unconfirmed", [])
        assert (report.unconfirmed, report.tally.unconfirmed_proposals) == (sum(report.mapped.values()), ALL)
        assert report.delivered.total() == report.rejected == report.dead_letters == 0
        assert not (tmp_path / "dead.jsonl").exists()
        kept = tmp_path / "dead-unconfirmed.jsonl"
        assert report.unconfirmed_path == kept
        assert set(letters(kept)) == set(gms.aspects)
        assert {letter["code"] for letter in letters(kept).values()} == {"unconfirmed"}

        gms.shelf.queue.set()
        gone = "urn:li:tag:mlflow_production"
        for key in [key for key in gms.aspects if key[0] == gone]:
            del gms.aspects[key]
            gms.shelf.forget(key)
        sent = len(gms.history)
        settings = settings_for_gms(golden_server, tmp_path, gms, confirm_wait="1s")
        again = await replay(kept, structs.replace(settings, dead_letters=None), unconfirmed=True)
    assert {urn for urn, _, _ in gms.history[sent:]} == {gone}
    assert (again.status, again.proposals) == ("success", ALL)
    assert again.delivered.total() == sum(report.mapped.values())


@pytest.mark.parametrize("state", [None, "crawl.state"])
async def test_a_stop_while_only_the_queue_is_waited_for_keeps_what_is_not_confirmed(
    golden_server: MlflowServer, tmp_path: Path, state: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Batches that are not full are sent at the end only: who has everything is only waited for.
    monkeypatch.setattr("crawler.delivery.delivery.SECONDS_BETWEEN_FLUSHES", 3_600.0)
    stop, report = asyncio.Event(), Report("r")

    def stops(_asked: list[dict[str, Any]]) -> None:
        if len(gms.aspects) == ALL and report.delivered["mlModel"] == 18:
            stop.set()

    async with Gms(lag=lambda urn, _: 0 if urn.startswith(MODEL) else 1_000_000) as gms:
        gms.read_rule = stops
        settings = structs.replace(settings_for_gms(golden_server, tmp_path, gms), grace=0.1)
        settings = structs.replace(settings, state=state and tmp_path / state)
        await crawl(settings, report=report, stop=stop)
    assert (report.status, report.failures) == ("unconfirmed", [])
    kept = {urn for urn, _ in letters(tmp_path / "dead-unconfirmed.jsonl")}
    assert kept == {urn for urn, _ in gms.aspects if not urn.startswith(MODEL)}
    assert dict(+report.delivered) == {"mlModel": 18}
    assert not (tmp_path / "dead.jsonl").exists()


@pytest.mark.parametrize("confirm", [Confirm.ENTITIES, Confirm.STORED])
async def test_presence_counts_where_no_system_metadata_is_shown(
    golden_server: MlflowServer, tmp_path: Path, confirm: Confirm
) -> None:
    async with Gms(shows_metadata=False, lag=2) as gms:
        report = await into_gms(golden_server, tmp_path, gms, confirm=confirm)
    assert (report.status, report.proposals) == ("success", ALL)
    assert [(warning.code, warning.count) for warning in report.warnings] == [("no_system_metadata", 1)]
    assert ways(report)["present"] > 0


@pytest.mark.parametrize("form", ["groups", "topics"])
async def test_what_the_queue_has_passed_is_missing(golden_server: MlflowServer, tmp_path: Path, form: str) -> None:
    async with Gms(loses={"urn:li:tag:mlflow_production"}, offsets=form) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    assert {urn for urn, _ in letters(tmp_path / "dead.jsonl")} == {"urn:li:tag:mlflow_production"}
    assert [failure.code for failure in report.failures] == ["not_stored"]


async def test_two_crawls_side_by_side_into_a_lagging_queue_lose_nothing(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    async with Gms(lag=lambda urn, name: (len(urn) * 7 + len(name)) % 9) as gms, asyncio.TaskGroup() as tasks:
        crawls = [tasks.create_task(into_gms(golden_server, folder, gms)) for folder in folders]
    for each in crawls:
        report = each.result()
        assert (report.status, report.failures, report.proposals) == ("success", [], ALL)


async def test_a_gms_without_batches_is_told_in_one_sentence(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(without_batches=True) as gms:
        with pytest.raises(WrongServer, match="ingestProposalBatch") as caught:
            await into_gms(golden_server, tmp_path, gms)
        found = await check(settings_for_gms(golden_server, tmp_path, gms))
    assert caught.value.exit_code == ExitCode.SERVER
    assert gms.requests <= 17
    assert found.exit_code == ExitCode.SERVER
    assert "ingestProposalBatch" in str(found.errors[0])


@pytest.mark.parametrize(("offsets", "lag"), [("absent", None), ("forbidden", None), ("groups", 0), ("topics", 0)])
async def test_a_check_tells_how_long_the_queue_is(
    golden_server: MlflowServer, tmp_path: Path, offsets: str, lag: int | None
) -> None:
    async with Gms(offsets=offsets) as gms:
        found = await check(settings_for_gms(golden_server, tmp_path, gms))
    assert isinstance(found.output, DatahubCheck)
    assert found.output.queue_lag == lag
    assert found.exit_code == ExitCode.OK
