"""Each dataset once a crawl, told by the newest run, within bounds of memory."""

from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects import DatasetProperties, Status, UpstreamLineage
from crawler.datahub.proposals import Entity
from crawler.mapping.dataset_catalog import DatasetCatalog
from crawler.mapping.once import Once
from crawler.mlflow.entities import Run, RunInfo

uses = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 50)), min_size=1, max_size=30)


def dataset(name: str, start_time: int, *, lineage: bool = False) -> Entity:
    told = (DatasetProperties(custom_properties={"at": str(start_time)}, tags=[]), Status(removed=False))
    return Entity("dataset", name, (*told, UpstreamLineage(upstreams=[])) if lineage else told)


def run(start_time: int) -> Run:
    return Run(RunInfo(f"r{start_time}", start_time=start_time))


@given(uses)
def test_the_newest_run_tells_whatever_the_order(order: list[tuple[str, int]]) -> None:
    catalog = DatasetCatalog()
    for name, start_time in order:
        assert catalog.offer(dataset(name, start_time), run(start_time)) == []
    told = {entity.urn: entity.aspects[0] for entity in catalog.drain()}
    newest = {name: max(time for each, time in order if each == name) for name, _ in order}
    assert {name: aspect.custom_properties["at"] for name, aspect in told.items()} == {
        name: str(time) for name, time in newest.items()
    }
    assert list(catalog.drain()) == []


def test_an_aspect_that_only_an_older_run_told_is_kept() -> None:
    catalog = DatasetCatalog()
    catalog.offer(dataset("a", 1, lineage=True), run(1))
    catalog.offer(dataset("a", 2), run(2))
    (entity,) = catalog.drain()
    assert [aspect.NAME for aspect in entity.aspects] == ["datasetProperties", "status", "upstreamLineage"]


@given(uses, st.integers(1, 3))
def test_a_dataset_is_written_once_although_few_are_held(order: list[tuple[str, int]], held: int) -> None:
    catalog = DatasetCatalog(held=held)
    left = [entity for name, time in order for entity in catalog.offer(dataset(name, time), run(time))]
    left += catalog.drain()
    assert sorted(entity.urn for entity in left) == sorted({name for name, _ in order})


def test_what_is_remembered_has_a_bound() -> None:
    once = Once(2)
    assert [once.first(key) for key in "aabc"] == [True, False, True, True]
    assert "a" not in once
    assert "c" in once
