"""Model versions wait for their runs and leave in order."""

import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects.models import MLModelProperties, VersionProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.reducers.versions import VersionIndex
from crawler.mlflow.entities import Alias, KeyValue, Metric, ModelVersion, RegisteredModel, Run, RunData, RunInfo
from crawler.settings.mapping import MappingSettings

SETTINGS = MappingSettings(ui_url="http://x")
CRAWLED = ["r1", "r2", "r3", "r4", "of no version"]
FOUND = ["found"]
GONE = ["gone", "lost"]

Made = dict[tuple[str, int], str]
"""The run that made each version, by model and number."""

versions = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(1, 12)),
    st.sampled_from(["", *CRAWLED[:4], *FOUND, *GONE]),
    max_size=30,
)


def run(run_id: str) -> Run:
    return Run(RunInfo(run_id), RunData(params=[KeyValue("made by", run_id)], metrics=[Metric(run_id, 0.5)]))


def urn(name: str, version: object) -> str:
    return f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name}_{version},PROD)"


def properties(entity: Entity) -> MLModelProperties:
    return next(aspect for aspect in entity.aspects if isinstance(aspect, MLModelProperties))


def index_of(made: Made) -> VersionIndex:
    index = VersionIndex(SETTINGS)
    for (name, number), run_id in made.items():
        index.add(ModelVersion(name, str(number), run_id=run_id))
    return index


def crawl(index: VersionIndex, order: list[str], lost: list[list[str]]) -> list[Entity]:
    """What leaves in a crawl that meets its runs in this order and then gives up the others batch by batch."""
    left = list(index.seal())
    for run_id in order:
        left += index.take(run(run_id))
    for run_ids in lost:
        left += index.give_up([run_id for run_id in run_ids if run_id in index.unseen])
    return left


orders = st.permutations([*CRAWLED, *FOUND])
lost_batches = st.sampled_from([[GONE], [["gone"], ["lost"]], [["lost"], ["gone"]]])


@given(versions, orders, lost_batches)
def test_each_version_leaves_once_and_those_of_a_model_ascending(
    made: Made, order: list[str], lost: list[list[str]]
) -> None:
    left = crawl(index_of(made), order, lost)
    assert Counter(entity.urn for entity in left) == Counter(urn(*key) for key in made)
    for name in "abc":
        expected = [urn(*key) for key in sorted(made) if key[0] == name]
        assert [entity.urn for entity in left if entity.ordering_key == name] == expected


@given(versions, orders, lost_batches)
def test_a_version_has_the_params_and_metrics_of_its_own_run(
    made: Made, order: list[str], lost: list[list[str]]
) -> None:
    left = {entity.urn: properties(entity) for entity in crawl(index_of(made), order, lost)}
    for key, run_id in made.items():
        known = [run_id] if run_id in order else []
        assert [param.value for param in left[urn(*key)].hyper_params or []] == known
        assert [metric.name for metric in left[urn(*key)].training_metrics or []] == known
        assert len(left[urn(*key)].training_jobs) == len(known)


@given(versions, orders, st.integers(0, 6))
def test_what_has_not_come_by_is_told_and_holds_back_only_its_own_model(made: Made, order: list[str], met: int) -> None:
    index = index_of(made)
    left = {entity.urn for entity in crawl(index, order[:met], [])}
    assert index.unseen == sorted(set(made.values()) - set(order[:met]) - {""})
    for name, number in made:
        before = [run_id for (other, each), run_id in made.items() if other == name and each <= number]
        assert (urn(name, number) in left) == (not set(before) & set(index.unseen))


@given(versions, orders, lost_batches)
def test_nothing_is_held_at_the_end_and_nothing_leaves_twice(
    made: Made, order: list[str], lost: list[list[str]]
) -> None:
    index = index_of(made)
    left = crawl(index, order, lost)
    assert index.unseen == []
    assert list(index.seal()) == []
    assert [entity for run_id in order for entity in index.take(run(run_id))] == []
    # Entities are what takes memory: only the test itself still has them.
    alone = [object()]
    assert {sys.getrefcount(entity) for entity in left} <= {sys.getrefcount(each) for each in alone}


@given(versions)
def test_the_outputs_of_a_run_are_all_its_versions(made: Made) -> None:
    index = index_of(made)
    assert len(list(index.seal())) <= len(made)
    for run_id in [*CRAWLED, *FOUND, *GONE]:
        expected = sorted(urn(*key) for key, maker in made.items() if maker == run_id)
        assert sorted(index.outputs(run_id)) == expected


def test_a_version_that_datahub_cannot_take_is_no_output_but_is_told() -> None:
    index = VersionIndex(SETTINGS)
    index.add(ModelVersion("n" * 600, "1", run_id="r1"))
    assert index.outputs("r1") == []
    assert [entity.ordering_key for entity in [*index.seal(), *index.take(run("r1"))]] == ["n" * 600]


@pytest.mark.parametrize("order", [["beta", "2", "10"], ["10", "2", "beta"]])
def test_a_version_that_is_no_number_leaves_too(order: list[str]) -> None:
    index = VersionIndex(SETTINGS)
    for version in order:
        index.add(ModelVersion("m", version))
    assert [entity.urn for entity in index.seal()] == [urn("m", version) for version in ("beta", "2", "10")]


def test_aliases_go_to_the_version_that_they_name() -> None:
    index = VersionIndex(SETTINGS)
    index.add_model(RegisteredModel("m", aliases=[Alias("champion", "2"), Alias("new", "2"), Alias("old", "1")]))
    index.add_model(RegisteredModel("n", aliases=[Alias("other", "1")]))
    for version in ("1", "2", "3"):
        index.add(ModelVersion("m", version))
    told = [
        [alias.version_tag for alias in aspect.aliases]
        for entity in index.seal()
        for aspect in entity.aspects
        if isinstance(aspect, VersionProperties)
    ]
    assert told == [["old"], ["champion", "new"], []]


def test_an_early_end_gives_what_waits_only_for_an_older_version() -> None:
    index = VersionIndex(SETTINGS)
    for number, run_id in ((1, "never"), (2, "r1"), (3, "r2")):
        index.add(ModelVersion("m", str(number), run_id=run_id))
    assert [*index.seal(), *index.take(run("r2")), *index.take(run("r1"))] == []
    assert [entity.urn.split(",")[1] for entity in index.finish()] == ["m_2", "m_3"]
    assert list(index.finish()) == []


@given(versions, orders, lost_batches, st.sets(st.tuples(st.sampled_from("abc"), st.integers(1, 12))))
def test_delivered_versions_are_outputs_and_hold_nothing_back(
    made: Made, order: list[str], lost: list[list[str]], delivered: set[tuple[str, int]]
) -> None:
    index, known = VersionIndex(SETTINGS), {urn(*key) for key in delivered}
    for (name, number), run_id in made.items():
        assert index.add(ModelVersion(name, str(number), run_id=run_id), known.__contains__) is None
    assert index.unseen == sorted({run_id for key, run_id in made.items() if key not in delivered} - {""})
    left = crawl(index, order, lost)
    for name in "abc":
        expected = [urn(*key) for key in sorted(made) if key[0] == name and key not in delivered]
        assert [entity.urn for entity in left if entity.ordering_key == name] == expected
    assert index.unseen == []
    for run_id in [*CRAWLED, *FOUND, *GONE]:
        assert sorted(index.outputs(run_id)) == sorted(urn(*key) for key, maker in made.items() if maker == run_id)


def test_a_delivered_version_still_owns_its_urn() -> None:
    index = VersionIndex(SETTINGS)
    assert index.add(ModelVersion("m_1", "2"), lambda _urn: True) is None
    assert index.add(ModelVersion("m", "1_2")) == "m_1"
