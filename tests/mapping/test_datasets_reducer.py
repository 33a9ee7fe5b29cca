"""Each dataset once a crawl, told by the newest run, within bounds of memory."""

from collections.abc import Callable
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects.aspect import Aspect, TimeStamp
from crawler.datahub.aspects.datasets import DatasetProperties, Upstream, UpstreamLineage
from crawler.datahub.aspects.entities import Status, TagProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.datasets import DatasetMapper
from crawler.mapping.reducers import datasets as datasets_reducer
from crawler.mapping.reducers.datasets import DatasetReducer
from crawler.mapping.reducers.seen_keys import SeenKeys
from crawler.mlflow.entities import Dataset, DatasetInput, Run, RunInfo
from crawler.settings.mapping import MappingSettings

KINDS: tuple[type[Aspect], ...] = (DatasetProperties, TagProperties, UpstreamLineage)

Use = tuple[str, int | None, int, tuple[type[Aspect], ...]]
"""A dataset, the start time and number of the run that uses it, and the kinds of aspect that this run tells."""

uses = st.lists(
    st.tuples(
        st.sampled_from("abcde"),
        st.none() | st.integers(1, 5),
        st.integers(0, 40),
        st.lists(st.sampled_from(KINDS), unique=True, min_size=1).map(tuple),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda use: use[2],
)


def words(use: Use) -> Entity:
    """What the run tells of the dataset: aspects that name the run."""
    name, _, number, kinds = use
    told: dict[type[Aspect], Aspect] = {
        DatasetProperties: DatasetProperties(custom_properties={"told by": str(number)}, tags=[]),
        TagProperties: TagProperties(name=str(number), description="", color_hex=""),
        UpstreamLineage: UpstreamLineage(upstreams=[str(number % 2)]),  # type: ignore[list-item]
    }
    return Entity("dataset", name, tuple(told[kind] for kind in kinds))


def run(use: Use) -> Run:
    return Run(RunInfo(f"{use[2]:03}", start_time=use[1]))


def newest(order: list[Use], told_by: Callable[[Use], Entity] | None = None) -> dict[tuple[str, str], Aspect]:
    """Of each dataset and kind of aspect, what the run told that started last; no upstream that not all runs told."""
    told_by = told_by or words
    ranked = sorted(order, key=lambda use: (use[1] or 0, use[2]))
    found = {(use[0], aspect.NAME): aspect for use in ranked for aspect in told_by(use).aspects}
    for name in {use[0] for use in order}:
        told = [aspect_of(told_by(use), UpstreamLineage) for use in order if use[0] == name]
        if any(each != told[0] for each in told):
            found[name, UpstreamLineage.NAME] = UpstreamLineage(upstreams=[])
    return found


def aspect_of(entity: Entity, kind: type[Aspect]) -> Aspect | None:
    return next((aspect for aspect in entity.aspects if type(aspect) is kind), None)


def written(entities: list[Entity]) -> dict[tuple[str, str], Aspect]:
    pairs = [((entity.urn, aspect.NAME), aspect) for entity in entities for aspect in entity.aspects]
    assert len(dict(pairs)) == len(pairs), "one aspect twice"
    return dict(pairs)


@given(uses)
def test_each_aspect_is_written_once_as_the_newest_run_tells_it_whatever_the_order(order: list[Use]) -> None:
    catalog = DatasetReducer()
    for use in order:
        assert catalog.merge(words(use), run(use)) == []
    left = list(catalog.finish())
    assert sorted(entity.urn for entity in left) == sorted({use[0] for use in order})
    assert {entity.type for entity in left} == {"dataset"}
    assert written(left) == newest(order)
    assert list(catalog.finish()) == []


def test_an_aspect_that_only_an_older_run_told_is_kept() -> None:
    catalog = DatasetReducer()
    for use in (("a", 1, 1, KINDS), ("a", 2, 2, (DatasetProperties,))):
        catalog.merge(words(use), run(use))
    (entity,) = catalog.finish()
    assert {aspect.NAME for aspect in entity.aspects} == {"datasetProperties", "tagProperties", "upstreamLineage"}
    assert aspect_of(entity, UpstreamLineage) == UpstreamLineage(upstreams=[])


@given(uses, st.integers(1, 5))
def test_few_are_held_and_each_is_written_once_all_the_same(order: list[Use], held: int) -> None:
    catalog = DatasetReducer(held=held)
    left: list[Entity] = []
    for index, use in enumerate(order):
        settled = catalog.merge(words(use), run(use))
        # What is settled early is what the newest of the runs until now told.
        known = newest(order[: index + 1])
        assert all(known[key] == aspect for key, aspect in written(settled).items())
        left += settled
        assert len({each[0] for each in order[: index + 1]}) - len(left) <= held
    left += catalog.finish()
    assert sorted(entity.urn for entity in left) == sorted({use[0] for use in order})
    if len({use[0] for use in order}) <= held:
        assert written(left) == newest(order)


def test_the_dataset_unused_for_longest_is_settled_first() -> None:
    catalog = DatasetReducer(held=2)
    settled = [catalog.merge(words((name, 1, 1, KINDS)), run((name, 1, 1, KINDS))) for name in "abacb"]
    assert [[entity.urn for entity in each] for each in settled] == [[], [], [], ["b"], []]
    assert [entity.urn for entity in catalog.finish()] == ["a", "c"]


def test_of_one_run_the_first_word_holds() -> None:
    catalog = DatasetReducer()
    for removed in (False, True):
        catalog.merge(Entity("dataset", "a", (Status(removed=removed),)), Run(RunInfo("r", start_time=1)))
    assert [entity.aspects for entity in catalog.finish()] == [(Status(removed=False),)]


def test_what_is_remembered_has_a_bound() -> None:
    seen = SeenKeys(2)
    assert [seen.add_if_new(key) for key in "aabc"] == [True, False, True, True]
    assert "a" not in seen
    assert "c" in seen


@given(st.lists(st.sampled_from("abcdefg"), max_size=40), st.integers(1, 4))
def test_a_key_is_new_once_as_long_as_no_more_keys_than_the_limit_came_between(keys: list[str], limit: int) -> None:
    seen = SeenKeys(limit)
    for index, key in enumerate(keys):
        before = keys[:index]
        since = before[len(before) - before[::-1].index(key) :] if key in before else None
        assert seen.add_if_new(key) == (since is None or len(set(since)) >= limit)
        assert key in seen


kept_uses = uses.map(
    lambda drawn: [
        (*use[:3], tuple(kind for kind in use[3] if kind is not TagProperties) or KINDS[:1]) for use in drawn
    ]
)


def told_by(use: Use) -> Entity:
    """As `words`, of aspects that datasets have and that can be kept."""
    name, _, number, kinds = use
    upstream = Upstream(dataset=str(number % 2), type="COPY", audit_stamp=TimeStamp(0, "a"))
    told: dict[type[Aspect], Aspect] = {
        DatasetProperties: DatasetProperties(custom_properties={"told by": str(number)}, tags=[]),
        UpstreamLineage: UpstreamLineage(upstreams=[upstream]),
    }
    return Entity("dataset", name, tuple(told[kind] for kind in kinds))


@given(kept_uses, st.integers(0, 30), st.integers(0, 30))
def test_what_is_kept_of_a_crawl_goes_on_in_the_next_one(order: list[Use], one: int, other: int) -> None:
    kept: dict[str, bytes] = {}
    catalog, whole = DatasetReducer(), DatasetReducer()
    for begin, end in pairwise([0, *sorted((one, other)), 30]):
        catalog = DatasetReducer()
        for packed in kept.values():
            catalog.restore(packed)
        catalog.watch()
        for use in order[begin:end]:
            catalog.merge(told_by(use), run(use))
        kept |= catalog.snapshot()
        assert list(catalog.snapshot()) == []
    for use in order:
        whole.merge(told_by(use), run(use))
    assert written(list(catalog.finish())) == written(list(whole.finish()))


def test_each_aspect_of_a_real_dataset_is_kept_as_it_is() -> None:
    mapper = DatasetMapper(MappingSettings(ui_url="http://x", materialize_dataset_inputs=True))
    schema = '{"mlflow_colspec": [{"name": "x", "type": "double"}, {"name": "y", "type": "object"}]}'
    (entity, hosted) = mapper.use(DatasetInput(dataset=Dataset("d", "s3", schema))).entities
    catalog, other = DatasetReducer(), DatasetReducer()
    catalog.watch()
    for each in (entity, hosted):
        catalog.merge(each, Run(RunInfo("r", start_time=1)))
    for _, packed in catalog.snapshot():
        other.restore(packed)
    assert list(other.finish()) == [entity, hosted]
    assert {aspect.NAME for aspect in entity.aspects} == set(datasets_reducer._ASPECTS)


variants_of = st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 2)), max_size=12)


@given(variants_of, st.integers(0, 12))
def test_a_name_with_several_datasets_is_told_once_also_by_the_crawl_that_goes_on(
    order: list[tuple[str, int]], cut: int
) -> None:
    catalog = DatasetReducer()
    catalog.watch()
    told: list[str] = []
    for index, (name, variant) in enumerate(order):
        if index == cut:
            kept = [packed for _, packed in catalog.snapshot()]
            catalog = DatasetReducer()
            for packed in kept:
                catalog.restore(packed)
        catalog.merge(words((name, index, index, KINDS[:1])), run((name, index, index, KINDS)))
        told += [name] if catalog.is_another(name, variant) else []
    assert sorted(told) == [name for name in "ab" if len({each[1] for each in order if each[0] == name}) > 1]


def test_of_a_dataset_that_is_not_held_nothing_is_told() -> None:
    assert not DatasetReducer().is_another("a", 1)


@pytest.mark.parametrize("packed", [b"", b"x", msgspec.msgpack.encode(("d", None, False, {"unknown": ((1, "r"), {})}))])
def test_what_was_not_kept_by_a_catalog_is_told(packed: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        DatasetReducer().restore(packed)
