"""acryl-datahub's transformers do to our stream what they do in its own pipeline."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.api.common import EndOfStream, PipelineContext, RecordEnvelope
from datahub.ingestion.api.transform import Transformer
from datahub.ingestion.transformer.base_transformer import BaseTransformer, SingleAspectTransformer
from datahub.ingestion.transformer.transform_registry import transform_registry
from datahub.metadata.schema_classes import (
    BrowsePathEntryClass,
    BrowsePathsV2Class,
    DomainsClass,
    GlobalTagsClass,
    StatusClass,
    SystemMetadataClass,
    TagAssociationClass,
)
from hypothesis import example, given
from hypothesis import strategies as st

from crawler.config.unsupported import UNSUPPORTED_TRANSFORMERS
from crawler.datahub.aspects.aspect import foreign_aspect
from crawler.datahub.aspects.entities import NOT_REMOVED, ContainerOf, Status
from crawler.datahub.proposals import Entity
from crawler.transformers.chain import Chain, NamedStep, WithoutBrowsePaths
from crawler.transformers.steps import step_of
from tests.support.examples import examples
from tests.transformers.official_stream import golden_entities, official_values, values_of

ENTITIES = golden_entities()
DATASET = "urn:li:dataset:(urn:li:dataPlatform:mlflow,train,PROD)"
TRANSFORMERS: dict[str, list[dict[str, Any]]] = {
    "simple_add_dataset_tags": [{"tag_urns": ["urn:li:tag:a", "urn:li:tag:b"]}],
    "pattern_add_dataset_tags": [{"tag_pattern": {"rules": {".*mlflow.*": ["urn:li:tag:mlflow"]}}}],
    "extract_dataset_tags": [{"extract_tags_regex": "(.)"}],
    "simple_add_dataset_terms": [{"term_urns": ["urn:li:glossaryTerm:t"]}],
    "pattern_add_dataset_terms": [{"term_pattern": {"rules": {".*s3.*": ["urn:li:glossaryTerm:s3"]}}}],
    "simple_add_dataset_ownership": [{"owner_urns": ["urn:li:corpuser:ann"], "ownership_type": "TECHNICAL_OWNER"}],
    "simple_add_ownership": [{"owner_urns": ["urn:li:corpuser:bob"], "entity_types": ["container", "mlModel"]}],
    "pattern_add_ownership": [{"owner_pattern": {"rules": {".*": ["urn:li:corpuser:eve"]}}}],
    "simple_remove_dataset_ownership": [{}],
    "pattern_cleanup_ownership": [{"pattern_for_cleanup": ["an"]}],
    "simple_add_dataset_properties": [
        {"properties": {"team": "ml"}},
        {"properties": {"team": "ml"}, "replace_existing": True},
    ],
    "mark_dataset_status": [{"removed": True}],
    "set_dataset_browse_path": [{"path_templates": ["/ENV/PLATFORM/DATASET_PARTS"]}],
    "set_browse_path": [{"path": ["ml", "$container[*]"]}, {"path": ["ml"], "replace_existing": True}],
    "pattern_add_dataset_schema_tags": [{"tag_pattern": {"rules": {".*": ["urn:li:tag:column"]}}}],
    "pattern_add_dataset_schema_terms": [{"term_pattern": {"rules": {".*": ["urn:li:glossaryTerm:c"]}}}],
    "extract_ownership_from_tags": [{"tag_pattern": ""}],
    "tags_to_structured_properties": [
        {"tag_structured_property_map": {"p": {"values": ["a"]}}, "remove_original_tags": True}
    ],
    "replace_external_url": [{"input_pattern": "http", "replacement": "https"}],
    "replace_external_url_container": [{"input_pattern": r"\d+", "replacement": "N"}],
}
CASES = [{"type": name, "config": config} for name, configs in TRANSFORMERS.items() for config in configs]


@pytest.fixture(autouse=True, scope="module")
def one_time() -> Iterator[None]:
    """Both sides write the same time, where a transformer writes the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datahub.emitter.mce_builder.get_sys_time", lambda: 1)
        yield


def chain_of(transformers: Sequence[Any], graph: Any = None) -> Chain:
    """A chain of transformers, given by type and options or as objects."""
    context, metadata = PipelineContext("run", graph=graph), SystemMetadataClass(runId="run")
    made = [
        transform_registry.get(each["type"]).create(each["config"], context) if isinstance(each, dict) else each
        for each in transformers
    ]
    return Chain([NamedStep(f"transformers[{index}]", step_of(each, metadata)) for index, each in enumerate(made)])


def ours(transformers: Sequence[Any], entities: list[Entity], graph: Any = None) -> dict[tuple[str, str], Any]:
    chain = chain_of(transformers, graph)
    done, end = chain.take(entities), chain.end()
    assert (done.failed, end.errors) == ([], [])
    return values_of([*done.entities, *end.entities])


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['type']}-{len(case['config'])}")
def test_a_transformer_does_what_it_does_in_its_own_pipeline(case: dict[str, Any]) -> None:
    assert ours([case], ENTITIES) == official_values([case], ENTITIES)


TAGS, OWNERS, MORE_TAGS = (
    {"type": name, "config": TRANSFORMERS[name][0]}
    for name in ("simple_add_dataset_tags", "extract_ownership_from_tags", "pattern_add_dataset_tags")
)


@examples(60)
@example([TAGS, OWNERS, MORE_TAGS])
@given(st.lists(st.sampled_from(CASES), min_size=2, max_size=5))
def test_so_do_several_one_behind_the_other(cases: list[dict[str, Any]]) -> None:
    entities = ENTITIES[::3]
    assert ours(cases, entities) == official_values(cases, entities)


class Graph:
    """A DataHub that has an aspect of every entity."""

    def __init__(self, **aspects: Any) -> None:
        self._aspects = aspects
        self.asked: list[str] = []

    def get_config(self) -> dict[str, Any]:
        return {}

    def get_tags(self, entity_urn: str) -> Any:
        self.asked.append(entity_urn)
        return GlobalTagsClass(tags=[TagAssociationClass(tag="urn:li:tag:there")])

    def get_domain(self, entity_urn: str) -> Any:
        self.asked.append(entity_urn)
        return DomainsClass(domains=["urn:li:domain:there"])

    def get_aspect(self, entity_urn: str, aspect_type: Any, **_: Any) -> Any:
        self.asked.append(entity_urn)
        return BrowsePathsV2Class(path=[BrowsePathEntryClass(id="c", urn="urn:li:container:c")])


@pytest.mark.parametrize(
    "case",
    [
        {"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"], "semantics": "PATCH"}},
        {"type": "simple_add_dataset_domain", "config": {"domains": ["urn:li:domain:d"]}},
        {"type": "simple_add_domain", "config": {"domains": ["urn:li:domain:d"], "semantics": "PATCH"}},
        {
            "type": "pattern_add_dataset_domain",
            "config": {"domain_pattern": {"rules": {".*": ["urn:li:domain:d"]}}, "is_container": True},
        },
        {"type": "domain_mapping_based_on_tags", "config": {"domain_mapping": {"there": "urn:li:domain:d"}}},
    ],
    ids=lambda case: case["type"],
)
def test_transformers_that_ask_datahub(case: dict[str, Any]) -> None:
    one, other = Graph(), Graph()
    assert ours([case], ENTITIES, one) == official_values([case], ENTITIES, other)
    assert sorted(one.asked) == sorted(other.asked)


def test_all_of_acryl_datahubs_transformers_are_tried_or_known_not_to_work() -> None:
    tried = {*TRANSFORMERS, "simple_add_dataset_domain", "simple_add_domain", "pattern_add_dataset_domain"}
    tried |= {"domain_mapping_based_on_tags"}
    same = {"pattern_add_dataset_ownership", "pattern_add_domain"}
    takes_a_function = {f"add_dataset_{what}" for what in ("domain", "ownership", "properties", "tags", "terms")}
    takes_a_function |= {"add_domain", "add_ownership"}
    not_of_mlflow = {"pattern_cleanup_dataset_usage_user", "tags_to_term"}
    known = tried | same | takes_a_function | not_of_mlflow | UNSUPPORTED_TRANSFORMERS.keys()
    assert set(transform_registry.mapping) == known


class Upper(Transformer):  # type: ignore[misc]
    """One of somebody's own, which knows records only: tags in upper case, one more entity, and another at the end."""

    def transform(self, record_envelopes: Iterable[RecordEnvelope[Any]]) -> Iterable[RecordEnvelope[Any]]:
        for envelope in record_envelopes:
            record = envelope.record
            if isinstance(record, EndOfStream):
                yield RecordEnvelope(proposal("urn:li:tag:end", StatusClass(removed=False)), {})
            elif record.entityType == "tag":
                record.aspect.removed = True
                yield RecordEnvelope(proposal("urn:li:tag:more", StatusClass(removed=False)), {})
            elif record.aspectName == "container":
                continue
            yield envelope


def proposal(urn: str, aspect: Any) -> MetadataChangeProposalWrapper:
    return MetadataChangeProposalWrapper(entityUrn=urn, aspect=aspect)


TAG = Entity("tag", "urn:li:tag:a", (NOT_REMOVED,))
RUN = Entity("dataProcessInstance", "urn:li:dataProcessInstance:r", (ContainerOf("urn:li:container:c"), NOT_REMOVED))


def test_a_transformer_of_records() -> None:
    chain = chain_of([Upper()])
    done = chain.take([TAG, RUN])
    assert [(entity.urn, [aspect.NAME for aspect in entity.aspects]) for entity in done.entities] == [
        ("urn:li:tag:a", ["status"]),
        ("urn:li:tag:more", ["status"]),
        (RUN.urn, ["status"]),
    ]
    assert values_of(done.entities)["urn:li:tag:a", "status"] == {"removed": True}
    assert [entity.urn for entity in chain.end().entities] == ["urn:li:tag:end"]


def test_what_it_adds_is_transformed_by_those_behind_it() -> None:
    class Mark(BaseTransformer, SingleAspectTransformer):  # type: ignore[misc]
        def entity_types(self) -> list[str]:
            return ["tag"]

        def aspect_name(self) -> str:
            return "status"

        def transform_aspect(self, entity_urn: str, aspect_name: str, aspect: Any) -> Any:
            return StatusClass(removed=True)

    chain = chain_of([Upper(), Mark()])
    done = [*chain.take([TAG]).entities, *chain.end().entities]
    assert values_of(done) == {(f"urn:li:tag:{name}", "status"): {"removed": True} for name in ("a", "more", "end")}


def test_an_entity_without_aspects_is_left_out() -> None:
    class Nothing(Upper):
        def transform(self, record_envelopes: Iterable[RecordEnvelope[Any]]) -> Iterable[RecordEnvelope[Any]]:
            return [each for each in record_envelopes if each.record.entityType != "tag"]

    assert [entity.urn for entity in chain_of([Nothing()]).take([TAG, RUN]).entities] == [RUN.urn]


def test_entities_that_nobody_wants_stay_what_they_are() -> None:
    chain = chain_of([{"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"]}}])
    done = chain.take([TAG, RUN])
    assert done.entities[0] is TAG
    assert done.entities[1] is RUN


def test_aspects_that_nobody_looks_at_stay_what_they_are() -> None:
    dataset = Entity("dataset", DATASET, (NOT_REMOVED, ContainerOf("urn:li:container:c")), ordering_key="k")
    (made,) = (
        chain_of([{"type": "simple_add_dataset_tags", "config": {"tag_urns": ["urn:li:tag:a"]}}])
        .take([dataset])
        .entities
    )
    assert [aspect.NAME for aspect in made.aspects] == ["status", "container", "globalTags"]
    assert made.aspects[:2] == dataset.aspects
    assert made.aspects[0] is NOT_REMOVED
    assert made.ordering_key == "k"


def test_a_transformer_that_fails_costs_its_entity_only() -> None:
    class Fails(Upper):
        def transform(self, record_envelopes: Iterable[RecordEnvelope[Any]]) -> Iterable[RecordEnvelope[Any]]:
            for each in record_envelopes:
                if isinstance(each.record, EndOfStream) or each.record.entityType == "tag":
                    raise ValueError("no\n such thing")
                yield each

    chain = chain_of([Fails()])
    done = chain.take([TAG, RUN])
    assert ([entity.urn for entity in done.entities], done.failed) == (
        [RUN.urn],
        [(TAG, "transformers[0]: ValueError: no such thing")],
    )
    assert chain.end().errors == ["transformers[0]: ValueError: no such thing"]


def test_what_is_no_upsert_is_said() -> None:
    tagged = Entity(
        "dataset", DATASET, (foreign_aspect("globalTags")(msgspec.Raw(b'{"tags":[{"tag":"urn:li:tag:a"}]}')),)
    )
    config = {"attribution_source": "urn:li:platformResource:x"}
    done = chain_of([{"type": "set_attribution", "config": config}]).take([tagged])
    assert done.failed == [
        (tagged, f"transformers[0]: NotSent: it makes a PATCH of globalTags of {DATASET}, and only UPSERTs can be sent")
    ]


def test_the_flag_leaves_out_browse_paths() -> None:
    chain = Chain([NamedStep("flag", WithoutBrowsePaths())])
    assert not chain.wants("dataset")
    before, after = values_of(ENTITIES), values_of(chain.take(ENTITIES).entities)
    assert {name for _, name in before.keys() - after.keys()} == {"browsePathsV2"}
    assert after == {key: value for key, value in before.items() if key[1] != "browsePathsV2"}
    assert chain.end().entities == []


def test_nothing_is_remembered_of_entities_unless_something_comes_of_them_at_the_end() -> None:
    datasets = [
        Entity("dataset", DATASET.replace("train", str(number)), (Status(removed=False),)) for number in range(9)
    ]
    for name, remembered in (("simple_add_dataset_properties", 0), ("simple_add_dataset_tags", 9)):
        transformer = transform_registry.get(name).create(
            {"properties": {}} if "properties" in name else {"tag_urns": []}, PipelineContext("r")
        )
        chain_of([transformer]).take(datasets)
        assert len(transformer.entity_map) == remembered
