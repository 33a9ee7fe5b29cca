"""`replay`: what a crawl left in a file reaches DataHub as if the crawl had written it there, and what fails again is
kept once more.
"""

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from crawler.datahub.proposals import Proposal
from crawler.datahub.versions import unsupported_aspects
from crawler.pipeline.replay import _ordering_key
from crawler.telemetry.report import Report
from tests.cli.test_cli import closed_port
from tests.gms.faults import Fault, refusing
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.commands import run, start
from tests.support.crawls import crawl_to_file, crawl_to_gms, recipe_file, values
from tests.support.dead_letters import kept_in, letters

ALL = 376
endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])
Key = tuple[str, str]


async def replay(path: Path | str, gms: Gms, *flags: object, folder: Path) -> tuple[int, str, dict[str, Any]]:
    """One replay to its end: exit code, standard error and report."""
    code, _, errors = await run(
        *("replay", path, "--datahub-url", gms.url, "--report", "replay.json", *flags), folder=folder
    )
    return code, errors, json.loads((folder / "replay.json").read_text())


async def crawl_with_letters(server: MlflowServer, gms: Gms, folder: Path, endpoint: str = "restli") -> Path:
    """A crawl of which some proposals are refused; where its dead letters are."""
    code, _, errors = await run(
        *("crawl", "-c", recipe_file(folder, server.url), "--datahub-url", gms.url, "--endpoint", endpoint),
        folder=folder,
    )
    assert code == 1, errors
    return kept_in(folder)


def clean(gms: Gms) -> dict[Key, Any]:
    assert (gms.violations, gms.dropped) == ([], [])
    return gms.aspects


@endpoints
@pytest.mark.parametrize("nested", [False, True])
async def test_a_files_replay_equals_a_crawl(
    golden_server: MlflowServer, tmp_path: Path, endpoint: str, nested: bool
) -> None:
    sink = {"type": "file", "config": {"filename": "unused", "legacy_nested_json_string": nested}}
    recipe = recipe_file(tmp_path, golden_server.url, sink=sink)
    code, _, errors = await run("crawl", "-c", recipe, "-o", "proposals.json", folder=tmp_path)
    assert code == 0, errors
    crawled = await crawl_to_gms(recipe_file(tmp_path, golden_server.url), tmp_path, endpoint)
    async with Gms(latency=0.01) as gms:
        code, errors, report = await replay("proposals.json", gms, "--endpoint", endpoint, folder=tmp_path)
    assert (code, report["failures"]) == (0, []), errors
    assert clean(gms) == {key: value for key, (value, _) in crawled.items()}
    assert len(gms.history) == ALL == report["written"]["proposals"] == report["read"]["proposals"]
    assert {metadata["runId"] for metadata in gms.system_metadata.values() if metadata} == {report["run_id"]}
    assert "proposals.json is no longer needed: DataHub has all of its proposals." in errors
    assert not (tmp_path / "proposals.2.jsonl").exists()


async def test_order_within_an_entity_and_among_versions_holds(golden_server: MlflowServer, tmp_path: Path) -> None:
    """The double names what is written to one entity or version set by two requests at once."""
    await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    proposals = json.loads((tmp_path / "proposals.json").read_text())
    by_aspect = sorted(proposals, key=lambda each: each["aspectName"])
    (tmp_path / "mixed.json").write_text(json.dumps(by_aspect, indent=4))
    async with Gms(latency=0.02) as gms:
        code, errors, _ = await replay("mixed.json", gms, "--batch-size", 3, folder=tmp_path)
    assert code == 0, errors
    assert clean(gms) == values(proposals)
    assert max(gms.batches) == 3


async def test_the_versions_of_several_models_are_written_at_once(golden_server: MlflowServer, tmp_path: Path) -> None:
    await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    async with Gms(latency=0.02) as gms:
        flags = ("--batch-size", 4, "--type", "mlModel")
        code, errors, _ = await replay("proposals.json", gms, *flags, folder=tmp_path)
    assert code == 0, errors
    assert {urn.split(":")[2] for urn, _ in clean(gms)} == {"mlModel"}
    assert gms.peak > 1


PLATFORM = "urn:li:dataPlatform:"


@pytest.mark.parametrize(
    ("urn", "ordering_key"),
    [
        (f"urn:li:mlModel:({PLATFORM}mlflow,churn_12,PROD)", "churn_"),
        (f"urn:li:mlModel:({PLATFORM}mlflow,churn_3,DEV)", "churn_"),
        (f"urn:li:mlModel:({PLATFORM}mlflow,a (b), c_7,PROD)", "a (b), c_"),
        (f"urn:li:mlModel:({PLATFORM}mlflow,2024_10,PROD)", "2024_"),
        (f"urn:li:mlModel:({PLATFORM}mlflow,champion,PROD)", "mlModel"),
        (f"urn:li:mlModel:({PLATFORM}sagemaker,churn_12,PROD)", "mlModel"),
        ("urn:li:mlModel:broken_1", "mlModel"),
        ("urn:li:versionSet:(abc,mlModel)", "mlModel"),
        ("urn:li:tag:a1", "urn:li:tag:a1"),
    ],
)
def test_versions_of_one_model_are_one_ordering_key(urn: str, ordering_key: str) -> None:
    assert _ordering_key(Proposal(urn.split(":")[2], urn, "status", b"{}")) == ordering_key


async def test_the_last_of_two_values_wins(tmp_path: Path) -> None:
    told = [{"name": f"value {number}"} for number in range(30)]
    lines = [
        {"entityType": "tag", "entityUrn": "urn:li:tag:a", "aspectName": "tagProperties", "aspect": {"json": value}}
        for value in told
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for endpoint in ("restli", "openapi"):
        async with Gms(latency=0.005) as gms:
            flags = ("--batch-size", 4, "--endpoint", endpoint)
            code, errors, report = await replay("in.jsonl", gms, *flags, folder=tmp_path)
        assert code == 0, errors
        assert [value for _, _, value in gms.history] == told
        assert report["written"]["proposals"] == 30


@endpoints
async def test_what_was_refused_arrives_once_it_is_taken(
    golden_server: MlflowServer, tmp_path: Path, endpoint: str
) -> None:
    crawled = await crawl_to_gms(recipe_file(tmp_path, golden_server.url), tmp_path, endpoint)
    whole = {key: value for key, (value, _) in crawled.items()}
    async with Gms() as gms:
        gms.rule = refusing(lambda key: key[1] in {"mlTrainingRunProperties", "containerProperties"})
        path = await crawl_with_letters(golden_server, gms, tmp_path, endpoint)
        lost = letters(path).keys()
        assert lost == whole.keys() - clean(gms).keys()
        assert len(lost) == 24 + 6
        before = path.read_bytes()
        # Taken but for one: that one is kept in a file of its own.
        stubborn = min(lost)
        gms.rule = refusing(lambda key: key == stubborn)
        code, errors, report = await replay(path.name, gms, "--endpoint", endpoint, folder=tmp_path)
        assert (code, report["read"]["proposals"]) == (1, 30), errors
        second = path.with_suffix(".2.jsonl")
        assert letters(second).keys() == {stubborn}
        assert letters(second)[stubborn]["code"] == "refused_422"
        assert clean(gms) == {key: value for key, value in whole.items() if key != stubborn}
        assert path.read_bytes() == before
        gms.rule = None
        code, errors, report = await replay(second.name, gms, "--endpoint", endpoint, folder=tmp_path)
        assert code == 0, errors
        assert clean(gms) == whole
    assert {metadata["runId"] for key, metadata in gms.system_metadata.items() if key == stubborn and metadata} == {
        report["run_id"]
    }
    assert not path.with_suffix(".3.jsonl").exists()


async def test_only_some_types_and_codes(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        gms.rule = refusing(lambda key: key[1] in {"mlTrainingRunProperties", "containerProperties"})
        path = await crawl_with_letters(golden_server, gms, tmp_path)
        gms.rule = None
        gms.history.clear()
        code, errors, report = await replay(path.name, gms, "--type", "container", "--type", "tag", folder=tmp_path)
        assert code == 0, errors
        assert {name for _, name, _ in gms.history} == {"containerProperties"}
        assert report["skipped"] == {"proposals of another type": 24}
        assert report["read"]["proposals"] == 30
        assert f"Keep {path.name}: the 24 proposals that were skipped are still there" in errors
        gms.history.clear()
        code, errors, report = await replay(path.name, gms, "--code", "not_sent", folder=tmp_path)
        assert (code, gms.history, report["skipped"]) == (0, [], {"proposals of another code": 30})
        code, _, report = await replay(
            path.name, gms, "--code", "not_sent", "--code", "refused_422", "--type", "container", folder=tmp_path
        )
        assert (len(gms.history), report["skipped"]) == (6, {"proposals of another type": 24})


async def test_from_standard_input(golden_server: MlflowServer, tmp_path: Path) -> None:
    """A pipe that gives a part and goes on only when that has arrived."""
    await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    data = (tmp_path / "proposals.json").read_bytes()
    reading, writing = os.pipe()
    async with Gms() as gms:
        arrived = asyncio.Event()
        gms.rule = lambda _: arrived.set()
        process = await start(
            "replay", "-", "--datahub-url", gms.url, "--batch-size", 2, folder=tmp_path, stdin=reading
        )
        os.close(reading)
        await asyncio.to_thread(os.write, writing, data[: len(data) // 2])
        await asyncio.wait_for(arrived.wait(), 60)
        await asyncio.to_thread(os.write, writing, data[len(data) // 2 :])
        os.close(writing)
        _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert len(clean(gms)) == ALL


async def test_a_broken_part_is_named_and_the_rest_arrives(golden_server: MlflowServer, tmp_path: Path) -> None:
    await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    lines = (tmp_path / "proposals.json").read_bytes().splitlines(keepends=True)
    lines[5] = lines[5][:40] + b"\n"
    (tmp_path / "proposals.json").write_bytes(b"".join(lines)[:-30])
    async with Gms() as gms:
        code, errors, report = await replay("proposals.json", gms, folder=tmp_path)
    assert code == 1
    (failure,) = report["failures"]
    assert (failure["code"], failure["count"]) == ("unreadable_proposals", 2)
    assert failure["samples"][0].startswith("line 6 (from byte ")
    assert "cut off" in failure["samples"][1]
    assert len(clean(gms)) == ALL - 2 == report["written"]["proposals"]
    assert "Keep proposals.json: some of it is only there." in errors


@pytest.mark.slow
async def test_proposals_are_checked_as_a_crawls_are(tmp_path: Path) -> None:
    lines = [
        {"entityType": "tag", "entityUrn": urn, "aspectName": "tagProperties", "aspect": {"json": value}}
        for urn, value in (
            ("urn:li:tag:good", {"name": "a"}),
            ("urn:li:dataset:other", {"name": "a"}),
            (f"urn:li:tag:{'x' * 600}", {"name": "a"}),
            ("urn:li:tag:large", {"name": "x" * 5_000_000}),
            ("urn:li:tag:wrong", {"name": 1}),
        )
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    async with Gms() as gms:
        code, errors, report = await replay("in.jsonl", gms, "--validate", folder=tmp_path)
    assert code == 1, errors
    assert clean(gms) == {("urn:li:tag:good", "tagProperties"): {"name": "a"}}
    assert {failure["code"]: failure["count"] for failure in report["failures"]} == {
        "urn": 2,
        "aspect_size": 1,
        "invalid": 1,
    }
    kept = letters(tmp_path / "in.2.jsonl")
    assert [letter["code"] for letter in kept.values()] == ["urn", "urn", "aspect_size", "invalid"]
    assert report["rejected"] == 4


@pytest.mark.slow
async def test_the_file_that_is_read_is_never_written(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("")
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    (tmp_path / "hard.jsonl").hardlink_to(tmp_path / "in.jsonl")
    for flag in ("--dead-letters", "--report", "--profile", "-o"):
        for name in ("in.jsonl", "link.jsonl", "hard.jsonl"):
            target = () if flag == "-o" else ("--datahub-url", "http://127.0.0.1:9")
            code, _, errors = await run("replay", "in.jsonl", *target, flag, name, folder=tmp_path)
            assert code == 2, errors
            assert "the file that is replayed" in errors
    assert (tmp_path / "in.jsonl").read_text() == ""
    (tmp_path / "dead.jsonl").write_text("mine")
    for flags in (("--report", "dead.jsonl"), ("--profile", "dead.jsonl"), ("-o", "dead.jsonl")):
        code, _, errors = await run("replay", "in.jsonl", "--dead-letters", "dead.jsonl", *flags, folder=tmp_path)
        assert code == 2, errors
        assert (tmp_path / "dead.jsonl").read_text() == "mine"
    (tmp_path / "in.2.jsonl").write_text("mine")
    async with Gms() as gms:
        gms.rule = Fault(status=422)
        (tmp_path / "in.jsonl").write_text(
            '{"entityType":"tag","entityUrn":"urn:li:tag:a","aspectName":"status","aspect":{"json":{"removed":false}}}'
        )
        code, _, _ = await replay("in.jsonl", gms, folder=tmp_path)
    assert code == 1
    assert (tmp_path / "in.2.jsonl").read_text() == "mine"
    assert letters(tmp_path / "in.3.jsonl").keys() == {("urn:li:tag:a", "status")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("no.jsonl", "--datahub-url", "http://127.0.0.1:9"), 2, "Cannot read no.jsonl: No such file or directory."),
        ((".", "--datahub-url", "http://127.0.0.1:9"), 2, "Cannot read .: Is a directory."),
        (("in.jsonl",), 2, "No DataHub is given to send the proposals to."),
        (("in.jsonl", "--datahub-url", "http://127.0.0.1:9", "--dead-letters", "no/x"), 2, "Cannot write dead letters"),
    ],
)
async def test_what_cannot_be_done_is_told(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    (tmp_path / "in.jsonl").write_text("")
    found, _, errors = await run("replay", *arguments, folder=tmp_path)
    assert (found, words in errors) == (code, True), errors


async def test_a_server_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("")
    (tmp_path / "recipe.yml").write_text(
        json.dumps(
            {
                "sink": {
                    "type": "datahub-rest",
                    "config": {"server": f"http://127.0.0.1:{closed_port()}", "patience_sec": 0.1},
                }
            }
        )
    )
    code, _, errors = await run("replay", "in.jsonl", "-c", "recipe.yml", folder=tmp_path)
    assert code == 3
    assert "Keep in.jsonl: it was not read to its end." in errors


async def test_a_dry_run_sends_nothing(golden_server: MlflowServer, tmp_path: Path) -> None:
    await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    async with Gms() as gms:
        code, errors, report = await replay("proposals.json", gms, "--dry-run", folder=tmp_path)
    assert (code, gms.requests) == (0, 0), errors
    assert report["read"]["proposals"] == ALL
    assert "Keep proposals.json: nothing was sent." in errors


async def test_aspects_that_an_old_datahub_does_not_know_stay_in_the_file(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    unknown = unsupported_aspects("v0.15.0")
    known = [each for each in proposals if (each["entityType"], each["aspectName"]) not in unknown]
    async with Gms(version="v0.15.0") as gms:
        code, errors, report = await replay("proposals.json", gms, folder=tmp_path)
    assert code == 0, errors
    assert clean(gms).keys() == {(each["entityUrn"], each["aspectName"]) for each in known}
    assert report["skipped"] == {"aspects that this DataHub does not know": ALL - len(known)}
    assert f"Keep proposals.json: the {ALL - len(known)} proposals that were skipped are still there" in errors


async def test_into_another_file(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    code, _, errors = await run("replay", "proposals.json", "-o", "again.json", folder=tmp_path)
    assert code == 0, errors
    again = json.loads((tmp_path / "again.json").read_text())
    for each in (*again, *proposals):
        del each["systemMetadata"]
    assert sorted(map(json.dumps, again)) == sorted(map(json.dumps, proposals))


@pytest.mark.slow
async def test_what_datahub_lite_does_not_know_is_kept(tmp_path: Path) -> None:
    lines = [
        {"entityType": "tag", "entityUrn": f"urn:li:tag:{name}", "aspectName": name, "aspect": {"json": {"name": "a"}}}
        for name in ("tagProperties", "noSuchAspect")
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    code, _, errors = await run("replay", "in.jsonl", "--sink", "lite", "-o", "lite.db", folder=tmp_path)
    assert code == 1, errors
    assert "1 entities in 1 proposals delivered" in errors
    kept = letters(tmp_path / "in.2.jsonl")
    assert {name: letter["code"] for (_, name), letter in kept.items()} == {"noSuchAspect": "refused_422"}


@pytest.mark.slow
async def test_a_pipes_letters_go_to_the_working_directory(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    os.mkfifo(folder / "pipe.jsonl")
    line = b'{"entityType":"tag","entityUrn":"urn:li:tag:a","aspectName":"status","aspect":{"json":{"removed":false}}}'
    async with Gms() as gms:
        gms.rule = Fault(status=422)
        process = await start("replay", folder / "pipe.jsonl", "--datahub-url", gms.url, folder=tmp_path)
        await asyncio.to_thread((folder / "pipe.jsonl").write_bytes, line)
        await process.communicate()
    assert process.returncode == 1
    assert letters(kept_in(tmp_path)).keys() == {("urn:li:tag:a", "status")}


@pytest.mark.slow
async def test_a_stop_delivers_what_was_read_and_keeps_the_file(tmp_path: Path) -> None:
    tags = [
        {
            "entityType": "tag",
            "entityUrn": f"urn:li:tag:{number}",
            "aspectName": "status",
            "aspect": {"json": {"removed": False}},
        }
        for number in range(50_000)
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, tags)))
    begun, held = asyncio.Event(), asyncio.Event()

    def hold(_: list[dict[str, Any]]) -> Fault:
        begun.set()
        return Fault(hold=held)

    async with Gms() as gms:
        gms.rule = hold
        process = await start("replay", "in.jsonl", "--datahub-url", gms.url, folder=tmp_path)
        await asyncio.wait_for(begun.wait(), 60)
        process.send_signal(signal.SIGTERM)
        held.set()
        _, errors = await process.communicate()
    assert process.returncode == 143, errors.decode()
    assert "Keep in.jsonl: it was not read to its end." in errors.decode()
    assert 0 < len(gms.aspects) < 50_000
    assert not (tmp_path / "in.2.jsonl").exists(), "all that was read is delivered"


def test_the_report_names_the_file() -> None:
    report = Report("r")
    assert report.to_dict()["replayed"] is None
    report.replayed = Path("in.jsonl")
    assert report.to_dict()["replayed"] == "in.jsonl"


@pytest.mark.slow
async def test_a_file_that_cannot_be_read_further_is_told(tmp_path: Path) -> None:
    # What stands at its beginning is mapped nowhere.
    (tmp_path / "in.jsonl").symlink_to("/proc/self/mem")
    async with Gms() as gms:
        code, errors, report = await replay("in.jsonl", gms, "--dead-letters", "dead.jsonl", folder=tmp_path)
    assert code == 1
    assert "The file cannot be read further: Input/output error. Mend that, then replay it again." in errors
    assert report["status"] == "failed"
