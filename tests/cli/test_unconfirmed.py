"""The command where DataHub takes everything, and was not seen to have it in time: exit code 4, a file, its replay."""

import asyncio
import json
import signal
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import ended, run, start
from tests.support.crawls import recipe_file
from tests.support.dead_letters import kept_in, letters

ALL = 376
LOOKUPS = 40
ENTITIES = 69
NEVER = "1h"
GRACE = "20s"
"""Half of it is waited for; in the other half a slow machine, too, writes down what is not confirmed."""


def command(server: MlflowServer, gms: Gms, *flags: object) -> tuple[object, ...]:
    """A crawl that waits for DataHub's queue until it is stopped, if flags do not say how long."""
    servers = ("--mlflow-uri", server.url, "--datahub-url", gms.url)
    return ("crawl", *servers, "--report", "report.json", "--confirm-wait", NEVER, *flags)


def report_in(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return read


class TestReplay:
    """A queue stands still while a crawl goes on; then its file is held against DataHub."""

    async def crawl(self, server: MlflowServer, folder: Path, gms: Gms) -> Path:
        gms.shelf.queue.clear()
        code, _, errors = await run(*command(server, gms, "--confirm-wait", "100ms"), folder=folder)
        gms.shelf.queue.set()
        assert code == 4, errors
        told = " ".join(errors.split())
        assert f"Everything was taken; {ENTITIES} entities could not be confirmed in time." in told
        kept = kept_in(folder, "unconfirmed")
        assert f"{kept.name}; `replay {kept.name}" in told
        assert "--unconfirmed` later" in told
        report = report_in(folder)
        assert (report["status"], report["failures"], report["rejected"]) == ("unconfirmed", [], 0)
        assert report["unconfirmed"]["entities"] == ENTITIES
        assert report["unconfirmed"]["proposals"] == ALL
        assert report["written"]["proposals"] == 0
        assert set(letters(kept)) == set(gms.aspects)
        assert {letter["target"] for letter in letters(kept).values()} == {gms.url}
        assert kept.stat().st_mode & 0o777 == 0o600
        assert not kept_in(folder).exists()
        return kept

    async def replay(self, kept: Path, gms: Gms, *flags: str) -> tuple[int, str]:
        code, _, errors = await run(
            *("replay", kept.name, "--unconfirmed", "--datahub-url", gms.url, "--report", "report.json", *flags),
            folder=kept.parent,
        )
        return code, " ".join(errors.split())

    async def test_what_has_arrived_meanwhile_is_not_sent_again(
        self, golden_server: MlflowServer, tmp_path: Path
    ) -> None:
        async with Gms() as gms:
            kept = await self.crawl(golden_server, tmp_path, gms)
            sent = len(gms.history)
            code, errors = await self.replay(kept, gms)
        assert code == 0, errors
        assert len(gms.history) == sent
        report = report_in(tmp_path)
        assert (report["status"], report["written"]["proposals"]) == ("success", ALL)
        assert f"{kept.name} is no longer needed: DataHub has all of its proposals" in errors

    @pytest.mark.parametrize("aspects", ["all", "one"])
    async def test_only_what_is_missing_is_sent(
        self, golden_server: MlflowServer, tmp_path: Path, aspects: str
    ) -> None:
        async with Gms() as gms:
            kept = await self.crawl(golden_server, tmp_path, gms)
            gone = {key for key in gms.aspects if key[0] == "urn:li:tag:mlflow_production"}
            gone = gone if aspects == "all" else {min(gone)}
            for key in gone:
                gms.shelf.forget(key)
            sent = len(gms.history)
            code, errors = await self.replay(kept, gms)
        assert code == 0, errors
        assert {(urn, aspect) for urn, aspect, _ in gms.history[sent:]} == gone
        assert report_in(tmp_path)["written"]["proposals"] == ALL

    async def test_what_is_still_not_confirmed_is_in_a_file_of_its_own(
        self, golden_server: MlflowServer, tmp_path: Path
    ) -> None:
        async with Gms() as gms:
            kept = await self.crawl(golden_server, tmp_path, gms)
            before = kept.read_bytes()
            gms.shelf.queue.clear()
            code, errors = await self.replay(kept, gms, "--confirm-wait", "100ms")
        assert code == 4, errors
        assert kept.read_bytes() == before
        assert set(letters(kept.with_suffix(".2.jsonl"))) == set(gms.aspects)

    async def test_a_server_that_cannot_be_asked_is_no_place_to_look(
        self, golden_server: MlflowServer, tmp_path: Path
    ) -> None:
        async with Gms() as gms:
            kept = await self.crawl(golden_server, tmp_path, gms)
        async with Gms(version="v0.14.0") as gms:
            code, errors = await self.replay(kept, gms, "--any-target")
        assert code == 2
        assert "It takes DataHub 1.0.1 or later" in errors
        assert gms.aspects == {}


async def test_what_arrives_within_the_grace_is_confirmed(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.shelf.queue.clear()
        waiting = told_when_all_is_taken(gms)
        process = await start(*command(golden_server, gms, "--grace", NEVER), folder=tmp_path)
        await waiting.wait()
        process.send_signal(signal.SIGTERM)
        gms.shelf.queue.set()
        code, _, errors = await ended(process)
    assert code == 0, errors
    assert report_in(tmp_path)["written"]["proposals"] == ALL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_signal_while_only_the_queue_is_waited_for_keeps_what_is_not_confirmed(
    golden_server: MlflowServer, tmp_path: Path, number: signal.Signals
) -> None:
    async with Gms() as gms:
        gms.shelf.queue.clear()
        waiting = told_when_all_is_taken(gms)
        process = await start(*command(golden_server, gms, "--grace", GRACE), folder=tmp_path)
        await waiting.wait()
        process.send_signal(number)
        code, _, errors = await ended(process)
        assert code == 4, errors
        assert len(gms.history) == ALL
        kept = letters(kept_in(tmp_path, "unconfirmed"))
        assert set(kept) == set(gms.aspects)
        report = report_in(tmp_path)
        assert (report["status"], report["failures"], report["rejected"]) == ("unconfirmed", [], 0)
        assert report["unconfirmed"]["entities"] == ENTITIES
        assert report["written"]["proposals"] == 0
        assert "Everything was taken" in errors


def told_when_all_is_taken(gms: Gms) -> asyncio.Event:
    """Set once DataHub was sent everything, and was asked for it over and over: by then nothing is read any more."""
    taken = asyncio.Event()
    rounds = count(1)

    def asked(_entities: list[dict[str, Any]]) -> Fault | None:
        if len(gms.aspects) == ALL and next(rounds) == LOOKUPS:
            taken.set()
        return None

    gms.read_rule = asked
    return taken


async def test_a_gms_without_batches_is_told_in_one_sentence(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(without_batches=True) as gms:
        code, _, errors = await run(*command(golden_server, gms), folder=tmp_path)
    assert code == 3, errors
    assert " ".join(errors.split()).count("has no /aspects?action=ingestProposalBatch") >= 1
    assert gms.requests <= 16


async def test_a_server_without_system_metadata_is_told_once(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(shows_metadata=False) as gms:
        code, _, errors = await run(*command(golden_server, gms), folder=tmp_path)
    assert code == 0, errors
    (warning,) = report_in(tmp_path)["warnings"]
    assert (warning["code"], warning["count"]) == ("no_system_metadata", 1)


@pytest.mark.parametrize("instance", ["first", "second"], ids=["the same server", "another server"])
async def test_two_crawls_into_one_lagging_queue_do_not_name_each_others_words(
    golden_server: MlflowServer, tmp_path: Path, instance: str
) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    async with Gms(lag=lambda urn, name: (len(urn) * 7 + len(name)) % 9) as gms:
        processes = []
        for folder, name in zip(folders, ("first", instance), strict=True):
            folder.mkdir()
            recipe = recipe_file(folder, golden_server.url, {"platform_instance": name})
            processes.append(await start(*command(golden_server, gms, "-c", recipe), folder=folder))
        for process in processes:
            code, _, errors = await ended(process)
            assert code == 0, errors
    for folder in folders:
        report = report_in(folder)
        assert (report["status"], report["warnings"], report["failures"]) == ("success", [], [])
        assert report["unconfirmed"]["entities"] == 0
