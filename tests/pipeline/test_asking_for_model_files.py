"""Which files of models are asked for, how many at once, and when it is given up."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from crawler.checkpoint.memory import Memory
from crawler.checkpoint.model_files import KnownModelFiles
from crawler.checkpoint.protocol import NoProgress
from crawler.checkpoint.sqlite import Changes, Database
from crawler.errors import CrawlerError, CredentialsRefused, DecodeError, RequestRefused
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.entities import ModelVersion
from crawler.mlflow.model_file import ModelFile, Signature
from crawler.pipeline.model_files import FAILURES_IN_A_ROW, ModelFiles
from crawler.settings.mapping import MappingSettings
from crawler.settings.selection import Include, Selection
from crawler.telemetry.events import Event
from crawler.telemetry.findings.kind import Finding
from tests.support.read_context import read_context

FILE = ModelFile(("python_function",), signature=Signature("[]"))
FAILS = RequestRefused("answered 500", status=500)
GONE = RequestRefused("answered 404", status=404, answer="RESOURCE_DOES_NOT_EXIST: no such version")


class Registry:
    """Answers for one version after the other; what is no file is raised."""

    concurrency = 8

    def __init__(self, answers: dict[str, ModelFile | CrawlerError]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0

    async def model_file(self, version: ModelVersion) -> ModelFile:
        self.asked.append(version.version)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        answer = self.answers.get(version.version, FILE)
        if isinstance(answer, CrawlerError):
            raise answer
        return answer


class Remembers(NoProgress):
    """Has these files from earlier crawls."""

    def __init__(self, known: KnownModelFiles | None) -> None:
        self.memory = None if known is None else cast("Memory", SimpleNamespace(model_files=known))


async def read(
    registry: Registry, versions: int, known: KnownModelFiles | None = None, *, wanted: bool = True
) -> tuple[list[Finding], dict[str, bool]]:
    """What is found in reading versions without a run, and which of them have a note then."""
    found: list[Event] = []
    mapper = CrawlMapper(MappingSettings(ui_url="http://x"), noted=lambda _urn: b"")
    for number in range(versions):
        mapper.model_version(ModelVersion("m", str(number)))
    selection = Selection(include=Include(signatures=wanted))
    context = read_context(
        registry, found.append, mapper=mapper, selection=selection, progress=Remembers(known), workers=3
    )
    files = ModelFiles(context)
    await files.read_of_no_run()
    models = [entity for entity in mapper.versions_complete() if entity.type == "mlModel"]
    notes = {model.urn.rpartition("_")[2].partition(",")[0]: bool(model.note) for model in models}
    return [each for each in found if isinstance(each, Finding)], notes


async def test_few_at_once_and_each_once() -> None:
    registry = Registry({})
    found, notes = await read(registry, 40)
    assert (sorted(map(int, registry.asked)), registry.most_at_once) == ([*range(40)], 3)
    assert (found, all(notes.values())) == ([], True)
    registry = Registry({})
    await read(registry, 3, wanted=False)
    assert registry.asked == []


async def test_a_failure_costs_one_file_and_is_asked_again_unless_nothing_is_there() -> None:
    registry = Registry({"1": FAILS, "3": GONE, "5": DecodeError("MLmodel is not YAML")})
    found, notes = await read(registry, 7)
    assert {finding.sample.partition(":")[0] for finding in found} == {"m 1", "m 3", "m 5"}
    assert {number for number, noted in notes.items() if not noted} == {"1", "5"}


@pytest.mark.parametrize(("error", "asked"), [(FAILS, FAILURES_IN_A_ROW), (GONE, 200)])
async def test_it_is_given_up_where_no_file_can_be_had(error: CrawlerError, asked: int) -> None:
    registry = Registry({str(number): error for number in range(200)})
    found, notes = await read(registry, 200)
    assert (sum(finding.count for finding in found), len(notes)) == (200, 200)
    # Those that are under way then come to their end.
    assert asked <= len(registry.asked) <= asked + 2


async def test_what_fails_all_requests_ends_the_crawl() -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await read(Registry({"1": CredentialsRefused("401")}), 3)
    assert raised.group_contains(CredentialsRefused)


async def test_a_state_keeps_files_until_a_crawl_asks_for_them_no_more(tmp_path: Path) -> None:
    database = Database(tmp_path / "state")
    known = KnownModelFiles(database)
    first = Registry({"1": FAILS})
    await read(first, 3, known)
    database.write(Changes(settings={}), known.write)
    again = Registry({})
    known = KnownModelFiles(database)
    found, _ = await read(again, 2, known)
    assert (again.asked, found) == (["1"], [])
    database.write(Changes(settings={}), known.write, known.drop_others)
    last = Registry({})
    await read(last, 3, KnownModelFiles(database))
    assert last.asked == ["2"]
    damaged = "UPDATE model_file SET content = x'00'"
    database.write(Changes(settings={}), lambda connection: connection.execute(damaged))
    await read(last, 2, KnownModelFiles(database))
    assert last.asked == ["2", "0", "1"]
    database.close()
