"""Crawls with transformers: what is delivered, what is named, and what another crawl finds."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.api.common import EndOfStream, RecordEnvelope
from datahub.ingestion.api.transform import Transformer
from datahub.metadata.schema_classes import StatusClass

import crawler
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import Interrupted, SettingsError
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Endpoint
from crawler.telemetry.report import Report
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import Values, crawl_settings, values
from tests.support.dead_letters import letters
from tests.support.judge import judge_all

HERE = __name__
TAGS = {"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:crawled"]}}
PROPERTIES = {"type": "simple_add_dataset_properties", "config": {"properties": {"team": "ml"}}}


class Own(Transformer):  # type: ignore[misc]
    """A transformer of a user: what it does is set by the tests."""

    fails_at = ""
    waits: threading.Event | None = None

    @classmethod
    def create(cls, config_dict: dict[str, Any], ctx: Any) -> "Own":
        if config_dict.get("wrong"):
            raise ValueError("wrong is wrong")
        return cls()

    def transform(self, record_envelopes: Iterable[RecordEnvelope[Any]]) -> Iterable[RecordEnvelope[Any]]:
        for envelope in record_envelopes:
            record = envelope.record
            if isinstance(record, EndOfStream):
                added = MetadataChangeProposalWrapper(entityUrn="urn:li:tag:end", aspect=StatusClass(removed=False))
                yield RecordEnvelope(added, {})
            elif self.fails_at and self.fails_at in record.entityUrn:
                raise RuntimeError("not this one")
            elif self.waits is not None:
                self.waits.wait(60)
            yield envelope


OWN = {"type": f"{HERE}:Own"}


def settings(
    server: MlflowServer, folder: Path, *transformers: dict[str, Any], sink: dict[str, Any] | None = None, **flags: Any
) -> Settings:
    recipe = {
        "source": {"type": "mlflow", "config": {"tracking_uri": server.url}},
        "transformers": list(transformers),
        **({"sink": sink} if sink else {}),
    }
    return load(recipe, {}, Flags(**flags), home=folder)


def rest(gms: Gms) -> dict[str, Any]:
    return {"type": "datahub-rest", "config": {"server": gms.url, "retry_max_times": 1}}


async def into_file(server: MlflowServer, folder: Path, *transformers: dict[str, Any]) -> tuple[Report, Values]:
    path = folder / "out.json"
    report = await crawl_settings(settings(server, folder, *transformers, output=path))
    proposals = json.loads(path.read_bytes())
    judge_all(proposals)
    return report, values(proposals)


async def test_what_they_change_is_delivered_and_nothing_else_changes(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    report, plain = await into_file(golden_server, tmp_path)
    transformed_report, transformed = await into_file(golden_server, tmp_path, TAGS, PROPERTIES)
    datasets = {urn for urn, _ in plain if urn.startswith("urn:li:dataset")}
    assert {key for key in transformed if transformed[key] != plain.get(key)} == {
        *((urn, "globalTags") for urn in datasets),
        *((urn, "datasetProperties") for urn in datasets),
        ("urn:li:tag:crawled", "tagKey"),
    }
    assert all(transformed[urn, "globalTags"] == {"tags": [{"tag": "urn:li:tag:crawled"}]} for urn in datasets)
    assert plain.keys() <= transformed.keys()
    added = transformed_report.delivered - report.delivered
    assert added == {"tag": 1}
    assert transformed_report.time.to_dict()["cpu_s"]["transform"] > 0  # type: ignore[index]


@pytest.mark.parametrize("endpoint", ["restli", "openapi"])
async def test_an_entity_travels_whole(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms() as gms:
        named = settings(golden_server, tmp_path, TAGS, sink=rest(gms), endpoint=Endpoint(endpoint))
        report = await crawl_settings(named)
    assert (report.failures, gms.violations, gms.dropped) == ([], [], [])
    # OpenAPI's patches of status are a request of their own.
    urns = [urn for urn, name, _ in gms.history if urn.startswith("urn:li:dataset") and name != "status"]
    runs = [urn for index, urn in enumerate(urns) if index == 0 or urns[index - 1] != urn]
    assert len(runs) == len(set(runs)) > 0
    assert all((urn, "globalTags") in gms.aspects for urn in runs)
    assert gms.aspects["urn:li:tag:crawled", "tagKey"] == {"name": "crawled"}


async def test_entities_at_which_one_fails_are_named_and_kept(
    golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Own, "fails_at", "urn:li:mlModelGroup:")
    async with Gms() as gms:
        named = settings(golden_server, tmp_path, OWN, sink=rest(gms), dead_letters=tmp_path / "dead.jsonl")
        report = await crawl_settings(named)
    (failure,) = report.failures
    groups = report.read["registered_models"]
    assert (failure.code, failure.count, report.status) == ("transformer", groups, "failures")
    assert failure.samples[0].endswith(f"transformers[0] {HERE}:Own: RuntimeError: not this one")
    kept = letters(tmp_path / "dead.jsonl")
    assert {letter["code"] for letter in kept.values()} == {"transformer"}
    assert len({urn for urn, _ in kept}) == groups
    assert not any(urn.startswith("urn:li:mlModelGroup") for urn, _ in gms.aspects)
    assert ("urn:li:tag:end", "status") in gms.aspects


async def test_all_that_cannot_be_made_are_named_before_anything_is_read(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    wrong: list[dict[str, Any]] = [
        {"type": "simple_add_dataset_tags", "config": {"tags": ["a"]}},
        TAGS,
        {"type": f"{HERE}:Own", "config": {"wrong": True}},
        {"type": "no.such.Thing"},
    ]
    report = Report()
    with pytest.raises(SettingsError) as caught:
        await crawl(settings(golden_server, tmp_path, *wrong, output=tmp_path / "out.json"), report=report)
    told = str(caught.value).splitlines()
    assert told[0] == "3 settings are wrong:"
    assert told[1].startswith(
        "- transformers[0].config: tag_urns: Field required; tags: Extra inputs are not permitted."
    )
    assert told[2] == f"- transformers[2]: {HERE}:Own cannot be made: ValueError: wrong is wrong"
    assert told[3].startswith("- transformers[3]: no.such.Thing cannot be made: ")
    assert not report.read.total()


async def test_a_datahub_that_cannot_be_read_is_named(
    golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # acryl-datahub's client makes pauses of half a minute otherwise.
    monkeypatch.setattr("datahub.emitter.rest_emitter._DEFAULT_RETRY_MAX_TIMES", 1)
    named = load(
        {
            "source": {"type": "mlflow", "config": {"tracking_uri": golden_server.url}},
            "sink": {"type": "file", "config": {"filename": str(tmp_path / "out.json")}},
            "datahub_api": {"server": "http://127.0.0.1:9", "timeout_sec": 1},
            "transformers": [TAGS],
        },
        {},
        home=tmp_path,
    )
    with pytest.raises(SettingsError, match="The transformers cannot read from DataHub at http"):
        await crawl(named)


async def test_what_is_cut_off_is_transformed_too(
    golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clean stop while a transformer is at work: what was mapped is delivered, and what comes at the end."""
    waits, stop = threading.Event(), asyncio.Event()
    monkeypatch.setattr(Own, "waits", waits)
    async with Gms() as gms:
        crawling = asyncio.create_task(crawl(settings(golden_server, tmp_path, OWN, TAGS, sink=rest(gms)), stop=stop))
        while not any(thread.name.startswith("transformers") for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        stop.set()
        waits.set()
        with pytest.raises(Interrupted):
            await crawling
    assert ("urn:li:tag:end", "status") in gms.aspects
    assert all((urn, "globalTags") in gms.aspects for urn, _ in gms.aspects if urn.startswith("urn:li:dataset"))


async def test_a_resumed_crawl_ends_as_a_whole_one(golden_server: MlflowServer, tmp_path: Path) -> None:
    transformers = (TAGS, OWN)
    async with Gms() as whole:
        await crawl_settings(settings(golden_server, tmp_path, *transformers, sink=rest(whole)))
    async with Gms() as gms:
        named = settings(golden_server, tmp_path, *transformers, sink=rest(gms), state=tmp_path / "state")
        for reads in range(3, 30, 3):
            if (report := await stopped_after(named, reads)).status != "running":
                break
    assert report.status == "success"
    assert gms.aspects == whole.aspects


async def stopped_after(named: Settings, reads: int) -> Report:
    """A crawl that is stopped once it has read so many times; its report says running if it was."""
    report, stop = Report(), asyncio.Event()
    heard: list[object] = []

    def listen(event: object) -> None:
        heard.append(event)
        if len(heard) > reads * 10:
            stop.set()

    try:
        await crawl(named, report=report, stop=stop, listeners=[listen])
    except Interrupted:
        return report
    return report


async def test_other_transformers_are_another_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        first = settings(golden_server, tmp_path, TAGS, sink=rest(gms), state=tmp_path / "state")
        assert (await stopped_after(first, 3)).status == "running"
        other = settings(golden_server, tmp_path, PROPERTIES, sink=rest(gms), state=tmp_path / "state")
        with pytest.raises(SettingsError, match="the transformers was simple_add_dataset_tags"):
            await crawl(other)


async def test_the_stream_of_the_library_has_them(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with crawler.open_entities(settings(golden_server, tmp_path, TAGS, OWN)) as entities:
        found = {entity.urn: [aspect.NAME for aspect in entity.aspects] async for entity in entities}
    assert all("globalTags" in names for urn, names in found.items() if urn.startswith("urn:li:dataset"))
    assert found["urn:li:tag:end"] == ["status"]


def test_nothing_of_acryl_datahub_is_imported_without_transformers() -> None:
    code = "import sys, crawler.pipeline.crawl, crawler.config.load; print('datahub' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed == "False\n"
