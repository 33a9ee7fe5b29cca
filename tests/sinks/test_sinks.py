"""Where proposals go: the same entities in a file, in DataHub Lite and in GMS, and what happens when these fail."""

import asyncio
import io
import json
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from datahub.ingestion.api.common import PipelineContext
from datahub.ingestion.source.file import GenericFileSource
from datahub.lite.lite_util import get_datahub_lite
from msgspec import structs

from crawler.atomic_files import lock_file
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.proposals import SystemMetadata, encode_system_metadata
from crawler.errors import CredentialsRefused, Interrupted, OutputError, ServerError, SettingsError, WrongServer
from crawler.http.traffic import Traffic
from crawler.mlflow.resources import EXPERIMENTS
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import DeliverySettings, Settings
from crawler.settings.sinks import FileSettings, LiteSettings
from crawler.sinks import open_sink
from crawler.telemetry.report import Report
from crawler.telemetry.summary import print_summary
from crawler.telemetry.timing import Timing
from tests.gms.faults import Fault
from tests.gms.server import Gms
from tests.servers.mlflow_server import MlflowServer
from tests.support.crawls import crawl_settings, crawl_to_file, into_gms, recipe_file, values

METADATA = encode_system_metadata(SystemMetadata(last_observed=1_700_000_000_000, run_id="r"))


def rest(url: str, **config: object) -> dict[str, Any]:
    return {"type": "datahub-rest", "config": {"server": url, "timeout_sec": 20, **config}}


endpoints = pytest.mark.parametrize("endpoint", ["restli", "openapi"])


@endpoints
@pytest.mark.parametrize(
    "config", [{}, {"max_per_batch": 7, "max_threads": 3}, {"mode": "SYNC"}, {"max_batch_bytes": 2_000}], ids=str
)
async def test_gms_holds_what_the_file_holds(
    golden_server: MlflowServer, tmp_path: Path, config: dict[str, Any], endpoint: str
) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    async with Gms(token="secret", latency=0.01) as gms:
        report = await into_gms(golden_server, tmp_path, gms, token="secret", endpoint=endpoint, **config)
    assert report.failures == []
    assert gms.aspects == values(proposals)
    assert (gms.violations, gms.dropped) == ([], [])
    assert max(gms.batches) <= config.get("max_per_batch", 200)
    assert report.proposals == len(proposals) == sum(gms.batches)
    assert gms.modes == {"false" if config.get("mode") == "SYNC" else "true"}
    assert report.datahub.version == "v1.7.0"


async def test_every_proposal_names_its_run(golden_server: MlflowServer, tmp_path: Path) -> None:
    report, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url, pipeline_name="tests"), tmp_path)
    for proposal in proposals:
        assert proposal["systemMetadata"]["runId"] == report.run_id
        assert proposal["systemMetadata"]["pipelineName"] == "tests"
        assert proposal["systemMetadata"]["lastObserved"] > 1_700_000_000_000


@endpoints
async def test_gzip_reaches_a_gateway_that_inflates(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms(inflates=True) as gms:
        report = await into_gms(golden_server, tmp_path, gms, compression="gzip", endpoint=endpoint)
    assert report.failures == []
    assert len(gms.aspects) == 376


@endpoints
async def test_throttling_is_waited_out(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms() as gms:
        gms.script = [Fault(status=429, headers={"Retry-After": "0"}), Fault(status=503, headers={"Retry-After": "0"})]
        report = await into_gms(golden_server, tmp_path, gms, endpoint=endpoint, retry_max_times=2)
    assert report.failures == []
    assert report.datahub.retries == 2
    assert len(gms.aspects) == 376


@endpoints
async def test_a_wrong_token_ends_the_crawl(golden_server: MlflowServer, tmp_path: Path, endpoint: str) -> None:
    async with Gms(token="right") as gms:
        with pytest.raises(CredentialsRefused) as caught:
            await into_gms(golden_server, tmp_path, gms, token="wrong-secret", endpoint=endpoint)
    assert "wrong-secret" not in str(caught.value)


async def test_the_frontend_is_told_from_gms(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(frontend=True) as gms:
        with pytest.raises(WrongServer, match=f"Give {gms.url}/api/gms instead"):
            await into_gms(golden_server, tmp_path, gms)


async def test_gms_without_config_is_no_gms(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(without_config=True) as gms:
        with pytest.raises(WrongServer, match="no /config"):
            await into_gms(golden_server, tmp_path, gms)


async def test_what_an_old_datahub_does_not_know_is_left_out(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(version="v0.14.1", lacks={("mlModel", "versionProperties")}) as gms:
        report = await into_gms(golden_server, tmp_path, gms)
    assert report.failures == []
    (warning,) = (each for each in report.warnings if each.code == "old_datahub")
    assert "versionProperties" in warning.message
    assert not any(aspect == "versionProperties" for _, aspect in gms.aspects)


async def test_openapi_is_refused_to_a_server_that_is_too_old(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(version="v1.0.0") as gms:
        with pytest.raises(SettingsError, match=r"DataHub v1\.0\.0 is older than 1\.0\.1.*Use --endpoint restli"):
            await into_gms(golden_server, tmp_path, gms, endpoint="openapi")
        assert gms.requests == 0


async def test_what_openapi_leaves_out_is_named(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(names_unknown_aspects=False, lacks={("mlModel", "versionProperties")}) as gms:
        report = await into_gms(golden_server, tmp_path, gms, endpoint="openapi")
    (failure,) = report.failures
    assert (failure.code, failure.count, report.rejected) == ("not_taken", 18, 18)
    assert all(sample.startswith("urn:li:mlModel:") for sample in failure.samples)
    assert all(sample.endswith(": versionProperties") for sample in failure.samples)
    assert report.proposals == len(gms.aspects) == 376 - 18
    assert report.delivered["mlModel"] == 0
    assert report.delivered["mlModelGroup"] == 5


@pytest.mark.parametrize("body", [b"", b'{"value":"success"}', b"null"])
async def test_an_answer_without_a_list_is_believed(golden_server: MlflowServer, tmp_path: Path, body: bytes) -> None:
    async with Gms() as gms:
        gms.rule = Fault(status=202, body=body, stored=True)
        report = await into_gms(golden_server, tmp_path, gms, endpoint="openapi")
    assert report.failures == []
    assert report.proposals == len(gms.aspects) == 376


async def test_lite_holds_what_the_file_holds(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    path = tmp_path / "lite.db"
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, sink="lite", output=path), home=tmp_path)
    report = await crawl_settings(settings)
    assert report.failures == []
    lite = get_datahub_lite({"type": "sqlite", "config": {"file": str(path)}}, read_only=True)
    kept = {(urn, aspect): value for urn in lite.list_ids() for aspect, value in (lite.get(urn, None) or {}).items()}
    lite.close()
    expected = values(proposals)
    assert {key for key in kept if key[0] in {urn for urn, _ in expected}} >= set(expected)
    assert all(kept[key] == value for key, value in expected.items())


async def test_a_file_and_lite_hold_what_is_written(tmp_path: Path) -> None:
    tag = EncodedEntity("tag", "urn:li:tag:a", [])
    for settings in (FileSettings(path=tmp_path / "proposals.json"), LiteSettings(path=tmp_path / "lite.db")):
        delivery = DeliverySettings(run_id="r", sink=settings)
        async with open_sink(delivery, METADATA, traffic := Traffic(), Timing(), lambda _: None) as sink:
            head = sink.wire.encode_entity_key(tag.entity_type, tag.urn)
            written = structs.replace(tag, proposals=[head + sink.wire.encode_aspect("tagProperties", b'{"name":"a"}')])
            await sink.write(Batch([written], 1, len(written.proposals[0])))
        assert traffic.bytes == len(written.proposals[0])
    proposals = json.loads((tmp_path / "proposals.json").read_bytes())
    assert values(proposals) == {(tag.urn, "tagProperties"): {"name": "a"}}
    lite = get_datahub_lite({"type": "sqlite", "config": {"file": str(tmp_path / "lite.db")}}, read_only=True)
    assert (lite.get(tag.urn, None) or {})["tagProperties"] == {"name": "a"}
    lite.close()


async def test_acryls_file_source_reads_our_file_without_a_warning(golden_server: MlflowServer, tmp_path: Path) -> None:
    _, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path)
    source = GenericFileSource.create({"path": str(tmp_path / "proposals.json")}, PipelineContext(run_id="test"))
    read = [unit.metadata for unit in source.get_workunits_internal()]
    assert len(read) == len(proposals)
    assert not source.get_report().warnings
    assert not source.get_report().failures


async def test_nested_json_is_the_legacy_form(golden_server: MlflowServer, tmp_path: Path) -> None:
    sink = {"type": "file", "config": {"filename": str(tmp_path / "out.json"), "legacy_nested_json_string": True}}
    await crawl_settings(load(recipe_file(tmp_path, golden_server.url, sink=sink), {}, Flags(), home=tmp_path))
    first = json.loads((tmp_path / "out.json").read_text())[0]
    assert json.loads(first["aspect"]["value"])["name"] == "mlflow_production"


async def test_a_crawl_that_fails_leaves_the_old_file_and_says_what_is_incomplete(
    golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "proposals.json"
    output.write_text("[]")
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, output=output), home=tmp_path)
    broken = structs.replace(EXPERIMENTS, decode=_fails)
    monkeypatch.setattr("crawler.pipeline.reader.EXPERIMENTS", broken)
    with pytest.raises(ServerError):
        await crawl_settings(settings)
    assert output.read_text() == "[]"
    assert len(json.loads((tmp_path / "proposals.json.part").read_text())) > 0


def _fails(_body: bytes) -> Iterator[None]:
    raise ServerError("nothing listens any more")


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """Lets no file of this process grow beyond a size, in bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("lacks", [1, 10, 50_000], ids=["a byte", "some", "much"])
async def test_of_a_file_that_is_not_whole_nothing_counts_as_delivered(
    golden_server: MlflowServer, tmp_path: Path, lacks: int
) -> None:
    whole = tmp_path / "whole.json"
    fits = await crawl_settings(load(None, {}, Flags(mlflow_uri=golden_server.url, output=whole), home=tmp_path))
    output = tmp_path / "out.json"
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, output=output), home=tmp_path)
    report = Report("r")
    with disk_of(whole.stat().st_size - lacks), pytest.raises(OutputError, match="File too large"):
        await crawl(settings, report=report)
    report.finish("failed")
    assert not output.exists()
    assert (report.proposals, report.rejected) == (0, fits.proposals)
    assert report.delivered.total() == sum(ways.total() for ways in report.confirmed.values()) == 0
    assert {failure.code: failure.count for failure in report.failures} == {"not_sent": fits.proposals}
    words = io.StringIO()
    print_summary(report, report_path=None, stream=words)
    assert f"Nothing was delivered to {output}.part (incomplete)" in words.getvalue()


async def test_what_is_in_a_catalog_when_its_disk_is_full_is_what_is_told(
    golden_server: MlflowServer, tmp_path: Path
) -> None:
    flags = Flags(mlflow_uri=golden_server.url, sink="lite", output=tmp_path / "lite.db")
    settings = load(None, {}, flags, home=tmp_path)
    report = Report("r")
    with disk_of(300_000), pytest.raises(OutputError):
        await crawl(settings, report=report)
    lite = get_datahub_lite({"type": "sqlite", "config": {"file": str(tmp_path / "lite.db")}}, read_only=True)
    found = len(list(lite.list_ids()))
    lite.close()
    assert report.delivered.total() <= found
    assert report.proposals + report.rejected == 376


async def test_a_full_disk_is_named(golden_server: MlflowServer, tmp_path: Path) -> None:
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, output=Path("/dev/full")), home=tmp_path)
    with pytest.raises(OutputError, match="No space left on device"):
        await crawl_settings(settings)


async def test_a_folder_that_is_not_there_is_named_before_anything_is_read(tmp_path: Path) -> None:
    settings = load(None, {}, Flags(mlflow_uri="http://127.0.0.1:9", output=tmp_path / "no" / "x.json"), home=tmp_path)
    with pytest.raises(SettingsError, match="No such file or directory"):
        await crawl_settings(settings)


async def test_validation_passes_everything_of_the_golden_crawl(golden_server: MlflowServer, tmp_path: Path) -> None:
    report, proposals = await crawl_to_file(recipe_file(tmp_path, golden_server.url), tmp_path, {"validate": True})
    assert report.failures == []
    assert len(proposals) == 376


async def test_a_dry_run_writes_nothing(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms() as gms:
        settings = load(
            recipe_file(tmp_path, golden_server.url, sink=rest(gms.url)), {}, Flags(dry_run=True), home=tmp_path
        )
        report = await crawl_settings(settings)
        assert (gms.requests, gms.read_backs) == (0, [])
    assert report.mapped["dataProcessInstance"] == 24


async def test_a_stopped_crawl_delivers_what_it_has_mapped(golden_server: MlflowServer, tmp_path: Path) -> None:
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, output=tmp_path / "out.json"), home=tmp_path)
    report, stop = Report("r"), asyncio.Event()
    stop.set()
    with pytest.raises(Interrupted):
        await crawl(settings, report=report, stop=stop)
    assert json.loads((tmp_path / "out.json.part").read_text()) is not None
    assert not (tmp_path / "out.json").exists()


@pytest.mark.parametrize("sink", ["file", "lite"])
async def test_two_crawls_do_not_write_one_output(
    golden_server: MlflowServer, tmp_path: Path, sink: Literal["file", "lite"]
) -> None:
    output = tmp_path / "output"
    settings = load(None, {}, Flags(mlflow_uri=golden_server.url, sink=sink, output=output), home=tmp_path)
    with lock_file(output), pytest.raises(SettingsError, match=f"is in use by another crawl, process {os.getpid()}"):
        await crawl_settings(settings)
    assert not output.exists()
    report = await crawl_settings(settings)
    assert report.status == "success"
    assert output.exists()
    assert not output.with_name("output.lock").exists()


async def test_that_answers_list_nothing_is_told_once(golden_server: MlflowServer, tmp_path: Path) -> None:
    async with Gms(latency=0.1) as gms:
        gms.rule = Fault(status=202, body=b"", stored=True)
        report = await into_gms(golden_server, tmp_path, gms, endpoint="openapi")
    assert [(warning.code, warning.count) for warning in report.warnings] == [("unconfirmed_by_server", 1)]


class TestLite:
    """A catalog that is there, and one that cannot be."""

    def settings(self, server: MlflowServer, folder: Path, kind: str = "sqlite") -> Settings:
        config = {"type": kind, "config": {"file": str(folder / "lite.db")}}
        recipe = recipe_file(folder, server.url, sink={"type": "datahub-lite", "config": config})
        return load(recipe, {}, Flags(), home=folder)

    async def test_a_second_crawl_goes_into_the_same_catalog(self, golden_server: MlflowServer, tmp_path: Path) -> None:
        for _ in range(2):
            report = await crawl_settings(self.settings(golden_server, tmp_path))
            assert (report.failures, report.proposals) == ([], 376)

    async def test_another_file_in_its_place(self, golden_server: MlflowServer, tmp_path: Path) -> None:
        (tmp_path / "lite.db").write_text("no database " * 100)
        with pytest.raises(SettingsError, match=r"Cannot open .*lite\.db: file is not a database"):
            await crawl_settings(self.settings(golden_server, tmp_path))

    async def test_a_kind_whose_package_is_missing(
        self, golden_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "duckdb", None)
        with pytest.raises(SettingsError, match=r"needs its package\. pip install 'acryl-datahub\[duckdb\]'"):
            await crawl_settings(self.settings(golden_server, tmp_path, "duckdb"))

    async def test_a_disk_that_is_full(self, golden_server: MlflowServer, tmp_path: Path) -> None:
        words = r"Writing .*lite\.db failed: .*Make room, then run it again\."
        with disk_of(100_000), pytest.raises(OutputError, match=words):
            await crawl_settings(self.settings(golden_server, tmp_path))
