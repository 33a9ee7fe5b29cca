"""Dead letters are for one target: no file has those of two, and none is sent elsewhere by mistake."""

import asyncio
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import CredentialsRefused, SettingsError
from crawler.pipeline.crawl import crawl
from crawler.pipeline.entities_once import EachEntityOnce
from crawler.telemetry.events import Outcome, Outcomes
from crawler.telemetry.report import Report
from tests.gms.faults import Fault, refusing
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run, start
from tests.support.crawls import crawl_settings, recipe_file
from tests.support.dead_letters import kept_in, letters

ALL = 376
ENTITIES = 69
LETTER = {
    "at": "2026-11-24T10:00:00Z",
    "code": "refused_422",
    "proposal": {
        "entityType": "tag",
        "entityUrn": "urn:li:tag:a",
        "aspectName": "status",
        "aspect": {"json": {"removed": False}},
    },
}
REFUSES = Fault(status=422)


def letter(**more: str) -> str:
    return f"{json.dumps(LETTER | more)}\n"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def crawl_into(server: MlflowServer, gms: Gms, folder: Path, *flags: object) -> tuple[int, str]:
    given = ("crawl", "--mlflow-uri", server.url, "--datahub-url", gms.url, "--report", "crawl.json")
    code, _, errors = await run(*given, *flags, folder=folder)
    return code, " ".join(errors.split())


async def replay(file: object, gms: Gms, folder: Path, *flags: object) -> tuple[int, str, dict[str, Any]]:
    given = ("replay", file, "--datahub-url", gms.url, "--report", "replay.json")
    code, _, errors = await run(*given, *flags, folder=folder)
    return code, " ".join(errors.split()), json.loads((folder / "replay.json").read_text())


async def test_each_crawl_has_a_file_of_its_own_by_default(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.rule = refusing(lambda key: key[1] == "containerProperties")
        for _ in range(2):
            code, errors = await crawl_into(golden_server, gms, tmp_path)
            assert code == 1, errors
            report = json.loads((tmp_path / "crawl.json").read_text())
            kept = letters(tmp_path / f"mlflow-datahub-dead-letters-{report['run_id']}.jsonl")
            assert {(each["run_id"], each["target"]) for each in kept.values()} == {(report["run_id"], gms.url)}
            assert len(kept) == report["dead_letters"]["count"] == 6
    assert len([name for name in names(tmp_path) if name.endswith(".jsonl")]) == 2


async def test_a_file_of_another_target_is_refused_before_anything_is_sent(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    for name in ("letters.jsonl", "letters-unconfirmed.jsonl"):
        path = tmp_path / name
        path.write_text(letter() + letter(target="http://other:8080"))
        before = path.read_bytes()
        async with Gms() as gms:
            code, errors = await crawl_into(golden_server, gms, tmp_path, "--dead-letters", "letters.jsonl")
        assert (code, gms.requests) == (2, 0)
        assert f"{name} holds what was kept for http://other:8080, and this is for {gms.url}." in errors
        assert path.read_bytes() == before
        path.unlink()


async def test_nightly_crawls_share_a_file_and_replay_counts_each_entity_once(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    async with Gms() as gms:
        gms.rule = REFUSES
        for _ in range(2):
            code, errors = await crawl_into(golden_server, gms, tmp_path, "--dead-letters", "letters.jsonl")
            assert code == 3, errors
        runs = {json.loads(line)["run_id"] for line in (tmp_path / "letters.jsonl").read_bytes().splitlines()}
        assert len(runs) == 2
        gms.rule = None
        code, errors, report = await replay("letters.jsonl", gms, tmp_path)
        assert code == 0, errors
        sent = {urn for urn, _ in gms.aspects}
        assert report["read"]["proposals"] == 2 * len(gms.aspects)
        assert sum(report["written"]["entities"].values()) == len(sent)
        assert sum(sum(ways.values()) for ways in report["confirmed"].values()) == len(sent)
        code, errors, report = await replay("letters.jsonl", gms, tmp_path, "--dry-run")
        assert f"nothing was written; {len(sent)} entities would be" in errors


@pytest.mark.parametrize("way", ["path", "pipe", "standard input"])
async def test_letters_for_another_datahub_are_not_sent(tmp_path: Path, way: str) -> None:
    there = letter(target="http://other:8080")
    path = tmp_path / "in.jsonl"
    path.write_text(there)
    async with Gms() as gms:
        for flags, expected in (((), (2, 0)), (("--any-target",), (0, 1))):
            if way == "path":
                code, errors, _ = await replay(path.name, gms, tmp_path, *flags)
            else:
                source = path.open("rb") if way == "standard input" else None
                process = await start(
                    *("replay", "-", "--datahub-url", gms.url, *flags),
                    folder=tmp_path,
                    stdin=source.fileno() if source else subprocess.PIPE,
                )
                output, words = await process.communicate(None if source else there.encode())
                assert process.returncode is not None
                code, errors = process.returncode, " ".join((output + words).decode().split())
                if source:
                    source.close()
            assert (code, len(gms.aspects)) == expected, errors
            if not flags:
                assert f"kept for http://other:8080, and they would be sent to {gms.url}." in errors
                assert "--any-target" in errors


async def test_nothing_is_sent_where_only_the_last_letter_is_for_another(tmp_path: Path) -> None:
    async with Gms() as gms:
        mine = letter(target=gms.url)
        (tmp_path / "in.jsonl").write_text(mine * 3 + letter(target="http://other:8080"))
        code, errors, report = await replay("in.jsonl", gms, tmp_path)
        assert (code, gms.requests, report["status"]) == (2, 0, "failed"), errors
        (tmp_path / "in.jsonl").write_text(mine)
        code, errors, report = await replay("in.jsonl", gms, tmp_path)
        assert (code, report["warnings"], len(gms.aspects)) == (0, [], 1), errors


async def test_letters_of_older_releases_are_sent_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(letter() + json.dumps(LETTER["proposal"]))
    async with Gms() as gms:
        code, errors, report = await replay("in.jsonl", gms, tmp_path)
    assert (code, report["written"]["proposals"]) == (0, 2), errors
    (warning,) = report["warnings"]
    assert (warning["code"], warning["count"]) == ("no_target", 1)


async def test_letters_may_become_a_file_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text(letter(target="http://other:8080"))
    code, _, errors = await run("replay", "in.jsonl", "-o", "out.json", folder=tmp_path)
    assert code == 0, errors
    assert len(json.loads((tmp_path / "out.json").read_text())) == 1


@pytest.mark.parametrize("output", ["-", "/dev/full"])
async def test_a_file_that_fails_keeps_no_letters(golden_server: MlflowServer, tmp_path: Path, output: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    given = ("crawl", "--mlflow-uri", golden_server.url, "-o", output, "--report", "report.json")
    process = await start(*given, folder=tmp_path, stdout=writing)
    os.close(writing)
    _, said = await process.communicate()
    errors = said.decode()
    assert process.returncode == 1, errors
    assert names(tmp_path) == ["report.json"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["rejected"] == ALL
    assert report["dead_letters"] == {"path": None, "count": 0}
    assert "dead letters" not in errors.lower()


@pytest.mark.slow
async def test_letters_for_a_catalog_are_for_that_catalog(tmp_path: Path) -> None:
    wrong = LETTER["proposal"] | {"aspectName": "noSuchAspect"}  # type: ignore[operator]
    (tmp_path / "in.jsonl").write_text(json.dumps(wrong))
    for catalog, kept, expected in (("a.db", "in.jsonl", 1), ("b.db", "in.2.jsonl", 2), ("a.db", "in.2.jsonl", 1)):
        code, _, errors = await run("replay", kept, "--sink", "lite", "-o", catalog, folder=tmp_path)
        assert code == expected, errors
    (line,) = (tmp_path / "in.2.jsonl").read_bytes().splitlines()
    assert json.loads(line)["target"] == str(tmp_path / "a.db")


async def interrupted_with_letters(server: MlflowServer, gms: Gms, folder: Path, flags: Flags) -> Report:
    """A crawl of which some proposals are refused, until DataHub takes no credentials any more."""
    refused = refusing(lambda key: key[1] == "tagProperties")

    def rule(proposals: list[dict[str, Any]]) -> Fault | None:
        assert callable(refused)
        return Fault(status=401) if len(gms.aspects) > ALL // 3 else refused(proposals)

    gms.rule = rule
    settings = load(recipe_file(folder, server.url), {}, flags, home=folder)
    report = Report(settings.run_id)
    with pytest.raises(CredentialsRefused):
        await crawl(settings, report=report)
    gms.rule = refused
    return report


@pytest.mark.parametrize("path", [None, "elsewhere.jsonl"])
async def test_a_resumed_crawl_adds_to_the_letters_of_the_first(
    golden_server: MlflowServer, tmp_path: Path, path: str | None
) -> None:
    async with Gms() as gms:
        # One at a time: the tags, which are refused, come before what the credentials are refused for.
        flags = Flags(
            datahub_url=gms.url, state=tmp_path / "state.db", batch_size=20, page_size=7, datahub_concurrency=1
        )
        first = await interrupted_with_letters(golden_server, gms, tmp_path, flags)
        before = kept_in(tmp_path)
        count = len(letters(before))
        assert count == first.dead_letters > 0
        again = Flags(
            datahub_url=gms.url,
            state=tmp_path / "state.db",
            batch_size=20,
            page_size=7,
            dead_letters=None if path is None else tmp_path / path,
        )
        report = await crawl_settings(load(recipe_file(tmp_path, golden_server.url), {}, again, home=tmp_path))
    assert report.run_id == first.run_id
    elsewhere = [warning for warning in report.warnings if warning.code == "letters_elsewhere"]
    if path is None:
        assert elsewhere == []
        assert len(before.read_bytes().splitlines()) == report.dead_letters
        assert report.dead_letters_path == before
    else:
        (warning,) = elsewhere
        assert (warning.count, warning.samples) == (count, [str(before)])


async def test_a_fixed_run_id_does_not_mix_targets(golden_server: MlflowServer, tmp_path: Path) -> None:
    recipe = recipe_file(tmp_path, golden_server.url)
    recipe.write_text(f"{recipe.read_text()}run_id: nightly\n")
    async with Gms() as one, Gms() as other:
        one.rule = refusing(lambda key: key[1] == "tagProperties")
        await crawl_settings(load(recipe, {}, Flags(datahub_url=one.url), home=tmp_path))
        with pytest.raises(SettingsError, match="Give --dead-letters another path"):
            await crawl_settings(load(recipe, {}, Flags(datahub_url=other.url), home=tmp_path))
        assert other.requests == 0


def test_an_entity_counts_once_however_its_places_end() -> None:
    report = Report("r")
    once = EachEntityOnce(report)

    def told(urn: str, delivered: int = 0, rejected: int = 0, unconfirmed: int = 0) -> None:
        once(Outcomes([Outcome("tag", urn, delivered, rejected=rejected, unconfirmed=unconfirmed)]))

    told("a", delivered=1)
    told("a", delivered=2)
    told("b", rejected=1)
    told("b", delivered=1, rejected=1)
    told("b", delivered=1)
    told("c", unconfirmed=1)
    told("c", delivered=1, unconfirmed=1)
    told("c", delivered=1)
    assert report.delivered == {"tag": 3}
    assert report.unconfirmed == 1


async def test_a_pipe_is_not_read_beyond_what_is_for_another(tmp_path: Path) -> None:
    async with Gms() as gms:
        process = await start("replay", "-", "--datahub-url", gms.url, folder=tmp_path, stdin=subprocess.PIPE)
        lines = letter(target=gms.url) + letter(target="http://other:8080") + letter(target=gms.url)
        _, errors = await asyncio.wait_for(process.communicate(lines.encode()), 60)
    assert process.returncode == 2, errors.decode()
    assert len(gms.history) == 1
