"""What a state keeps of versions and datasets, so that a crawl which reads less writes what one of everything would."""

import pytest

from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.datasets import DatasetProperties, Upstream, UpstreamLineage
from crawler.datahub.aspects.entities import Status
from crawler.datahub.proposals import Entity
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mlflow.entities import Alias, ModelVersion, RegisteredModel, Run, RunInfo
from crawler.settings.mapping import MappingSettings

SETTINGS = MappingSettings(ui_url="http://mlflow")
D = "urn:li:dataset:d"
Notes = dict[str, bytes]


def run(run_id: str, start: int = 0) -> Run:
    return Run(RunInfo(run_id, "1", start_time=start))


def crawled(
    notes: Notes,
    versions: list[ModelVersion],
    runs: list[Run],
    aliases: list[Alias] | None = None,
    *,
    unread: bool = False,
) -> tuple[dict[str, Entity], list[str]]:
    """Versions that are written, by number, and the runs that are looked for; the notes are kept."""
    mapper = CrawlMapper(SETTINGS, noted=lambda urn: notes.get(urn, b""))
    mapper.registered_model(RegisteredModel("m", aliases=aliases or []))
    entities: list[Entity] = []
    for version in versions:
        entities += mapper.model_version(version)
    entities += mapper.versions_complete()
    for each in runs:
        entities += mapper.run(each)
    missing = mapper.missing_runs
    entities += mapper.lost_runs(missing, unread=unread)
    models = [entity for entity in entities if entity.type == "mlModel"]
    written = {entity.urn.rpartition("_")[2].partition(",")[0]: entity for entity in models}
    notes |= {entity.urn: entity.note for entity in written.values()}
    assert mapper.waiting_versions() == []
    return written, missing


def version(number: int, run_id: str = "", description: str = "") -> ModelVersion:
    return ModelVersion("m", str(number), run_id=run_id, description=description)


def test_a_version_is_left_out_while_its_row_is_the_same() -> None:
    notes: Notes = {}
    both = [version(1, "a"), version(2)]
    written, missing = crawled(notes, both, [])
    assert (set(written), missing) == ({"1", "2"}, ["a"])
    assert crawled(notes, both, []) == ({}, [])
    written, missing = crawled(notes, [version(1, "a"), version(2, description="new")], [])
    assert (set(written), missing) == ({"2"}, [])


def test_an_alias_is_of_the_row() -> None:
    notes: Notes = {}
    both = [version(1, "a"), version(2, "b")]
    crawled(notes, both, [], [Alias("best", "1")])
    written, missing = crawled(notes, both, [], [Alias("best", "2")])
    assert (set(written), missing) == ({"1", "2"}, ["a", "b"])
    assert crawled(notes, both, [], [Alias("best", "2")])[0] == {}


def test_a_version_whose_run_is_read_is_written_with_it() -> None:
    notes: Notes = {}
    rows = [version(1, "a"), version(2, "a"), version(3, "a", "new")]
    crawled(notes, rows[:2], [run("a")])
    written, missing = crawled(notes, rows, [run("a")])
    assert (list(written), missing) == (["1", "2", "3"], [])
    assert all(entity.note for entity in written.values())
    # The new one alone is looked for with its run; the others of the run are then left as they are.
    crawled(notes, rows, [])
    written, missing = crawled(notes, [*rows, version(4, "a")], [])
    assert (set(written), missing) == ({"4"}, ["a"])


def test_a_version_whose_run_could_not_be_read_is_looked_for_again() -> None:
    notes: Notes = {}
    written, _ = crawled(notes, [version(1, "a")], [], unread=True)
    assert written["1"].note == b""
    written, missing = crawled(notes, [version(1, "a")], [])
    assert (set(written), missing) == ({"1"}, ["a"])


def test_the_newest_version_of_a_group_may_be_one_that_is_left_out() -> None:
    notes: Notes = {}
    crawled(notes, [version(1), version(2)], [])
    mapper = CrawlMapper(SETTINGS, noted=lambda urn: notes.get(urn, b""))
    mapper.registered_model(RegisteredModel("m", description="new"))
    for each in (version(1), version(2)):
        mapper.model_version(each)
    (group,) = [entity for entity in mapper.versions_complete() if entity.type == "mlModelGroup"]
    assert "'2'" in repr(group.aspects[0]) or '"2"' in repr(group.aspects[0])


class Datasets:
    """Crawls that each hear some runs speak of one dataset, and keep its note."""

    def __init__(self) -> None:
        self.note = b""

    def crawl(self, *words: tuple[Run, tuple[Aspect, ...]]) -> dict[str, Aspect]:
        reducer = DatasetReducer(noted=lambda _urn: self.note)
        for each, aspects in words:
            reducer.merge(Entity("dataset", D, aspects), each)
        found = list(reducer.finish())
        for entity in found:
            self.note = entity.note
        return {aspect.NAME: aspect for entity in found for aspect in entity.aspects}


def named(name: str) -> DatasetProperties:
    return DatasetProperties(custom_properties={"name": name}, tags=[])


def upstream(urn: str) -> UpstreamLineage:
    return UpstreamLineage(upstreams=[Upstream(urn, "COPY", TimeStamp(0))])


OLD, MIDDLE, NEW = run("old", 1), run("middle", 2), run("new", 3)
GONE = Status(removed=False)


def test_an_older_run_that_is_read_again_says_nothing() -> None:
    datasets = Datasets()
    datasets.crawl((NEW, (named("new"), GONE)), (OLD, (named("old"),)))
    assert datasets.crawl((OLD, (named("old"), GONE))) == {}
    assert datasets.crawl((NEW, (named("as it is now"),))) == {"datasetProperties": named("as it is now")}
    assert datasets.crawl((run("newer", 4), (named("newer"),))) == {"datasetProperties": named("newer")}
    assert datasets.crawl((NEW, (named("new"),))) == {}


def test_an_aspect_that_only_an_older_run_tells_is_written() -> None:
    datasets = Datasets()
    datasets.crawl((NEW, (named("new"),)))
    assert datasets.crawl((OLD, (named("old"), GONE))) == {"status": GONE}
    assert datasets.crawl((MIDDLE, (named("middle"), GONE))) == {"status": GONE}


@pytest.mark.parametrize("first", [OLD, NEW])
def test_an_upstream_that_is_not_that_of_all_is_none(first: Run) -> None:
    datasets = Datasets()
    datasets.crawl((first, (upstream("a"),)))
    assert datasets.crawl((first, (upstream("a"),))) == {"upstreamLineage": upstream("a")}
    nothing = {"upstreamLineage": UpstreamLineage(upstreams=[])}
    assert datasets.crawl((MIDDLE, (upstream("b"),))) == nothing
    # It stays so, whoever tells what.
    for told in ("a", "b", "c"):
        assert datasets.crawl((run("newest", 9), (upstream(told),))) == {}


def test_none_where_others_have_one_is_another_upstream() -> None:
    nothing = {"upstreamLineage": UpstreamLineage(upstreams=[])}
    for first, second in (((upstream("a"), GONE), (GONE,)), ((GONE,), (upstream("a"), GONE))):
        datasets = Datasets()
        datasets.crawl((OLD, first))
        assert datasets.crawl((NEW, second)) == nothing | {"status": GONE}


def test_without_a_memory_there_are_no_notes() -> None:
    reducer = DatasetReducer()
    reducer.merge(Entity("dataset", D, (GONE,)), OLD)
    assert [entity.note for entity in reducer.finish()] == [b""]
    mapper = CrawlMapper(SETTINGS)
    mapper.model_version(version(1))
    assert [entity.note for entity in mapper.versions_complete()] == [b""]
