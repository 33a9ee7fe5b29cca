"""Proposals in the forms in which they travel, and what is never sent."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.datahub import aspects
from crawler.datahub.aspects import Aspect, ContainerProperties, Status, TagProperties, TimeStamp
from crawler.datahub.proposals import (
    MAX_ASPECT_BYTES,
    Entity,
    Proposal,
    SystemMetadata,
    encode_system_metadata,
    once_each,
    propose,
    restli,
    restli_body,
    simplified,
)
from crawler.datahub.versions import unsupported_aspects
from tests.judge import judge

METADATA = encode_system_metadata(SystemMetadata(last_observed=5, run_id="r", pipeline_name="p"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
maps = st.dictionaries(texts, texts, max_size=4)
times = st.integers(-(2**63), 2**63 - 1)
stamps = st.none() | st.builds(TimeStamp, times, st.none() | st.just("urn:li:corpuser:a"))
named = st.lists(st.builds(aspects.NamedValue, texts, texts), max_size=3)
RUN = "urn:li:dataProcessInstance:1"
DATASET = "urn:li:dataset:(urn:li:dataPlatform:s3,a,PROD)"


def entities(entity_type: str, urn: str, *kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[Entity]:
    return st.tuples(*kinds).map(lambda each: Entity(entity_type, urn, each))


made = st.one_of(
    entities("tag", "urn:li:tag:x", st.builds(TagProperties, name=texts, description=texts, color_hex=texts)),
    entities(
        "container",
        "urn:li:container:1",
        st.builds(ContainerProperties, texts, maps, st.none() | texts, st.none() | texts, stamps, stamps),
        st.builds(aspects.SubTypes, type_names=st.lists(texts, max_size=2)),
        st.builds(aspects.BrowsePathsV2, path=st.lists(st.builds(aspects.BrowsePathEntry, id=texts), max_size=2)),
    ),
    entities("platformResource", "urn:li:platformResource:1", st.builds(aspects.PlatformResourceInfo, texts, texts)),
    entities(
        "dataProcessInstance",
        RUN,
        st.builds(aspects.MLTrainingRunProperties, texts, maps, st.lists(texts, max_size=2), named, named),
        st.builds(
            aspects.DataProcessInstanceInput,
            st.just([]),
            st.lists(st.builds(aspects.Edge, st.just(DATASET), st.none() | maps), max_size=2),
        ),
        st.just(Status(removed=False)),
    ),
)


def travelling(entity: Entity) -> list[tuple[Proposal, dict[str, Any], dict[str, Any]]]:
    """The entity's proposals in both of their forms."""
    proposals, refusals = propose(entity)
    assert refusals == []
    return [(each, json.loads(simplified(each, METADATA)), json.loads(restli(each, METADATA))) for each in proposals]


@settings(max_examples=300, deadline=None)
@given(made)
def test_both_forms_carry_each_aspect_once_and_in_order(entity: Entity) -> None:
    sent = travelling(entity)
    assert [plain["aspectName"] for _, plain, _ in sent] == [aspect.NAME for aspect in entity.aspects]
    for proposal, plain, nested in sent:
        judge(plain)
        assert json.loads(nested["aspect"].pop("value")) == plain["aspect"]["json"] == json.loads(proposal.aspect)
        assert nested.pop("aspect") == {"contentType": "application/json"}
        assert plain.pop("aspect").keys() == {"json"}
        assert (
            plain
            == nested
            == {
                "entityType": entity.type,
                "entityUrn": entity.urn,
                "changeType": "UPSERT",
                "aspectName": proposal.aspect_name,
                "systemMetadata": {"lastObserved": 5, "runId": "r", "pipelineName": "p"},
            }
        )


@given(st.lists(st.sampled_from("abc"), max_size=8))
def test_no_group_holds_an_aspect_twice_and_none_is_larger_than_it_must(names: list[str]) -> None:
    given_proposals = [Proposal("tag", "urn:li:tag:x", name, b"%d" % number) for number, name in enumerate(names)]
    groups = once_each(given_proposals)
    assert [proposal for group in groups for proposal in group] == given_proposals
    for group in groups:
        assert len({proposal.aspect_name for proposal in group}) == len(group) > 0
    for group, following in pairwise(groups):
        assert following[0].aspect_name in {proposal.aspect_name for proposal in group}


@given(texts, texts)
def test_the_aspect_has_the_names_of_datahubs_schema_and_the_values_as_they_are(name: str, description: str) -> None:
    tag = TagProperties(name=name, description=description, color_hex="#fff")
    ((_, plain, _),) = travelling(Entity("tag", "urn:li:tag:x", (tag,)))
    assert plain["aspect"]["json"] == {"name": name, "description": description, "colorHex": "#fff"}


@given(st.lists(made, max_size=4), st.booleans())
def test_a_request_holds_its_proposals_in_order(given_entities: list[Entity], asynchronous: bool) -> None:
    encoded = [restli(each, METADATA) for entity in given_entities for each in propose(entity)[0]]
    body = json.loads(restli_body(encoded, asynchronous=asynchronous))
    assert body == {"proposals": [json.loads(each) for each in encoded], "async": "true" if asynchronous else "false"}


def test_metadata_without_a_pipeline_names_none() -> None:
    assert json.loads(bytes(encode_system_metadata(SystemMetadata(1, "r")))) == {"lastObserved": 1, "runId": "r"}


@pytest.mark.parametrize(
    "urn",
    [
        "urn:li:tag:" + "x" * 600,
        "urn:li:tag:" + "実" * 60,
        "urn:li:tag:" + "😀" * 45,
        "urn:li:tag:x ",
        "urn:li:dataset:(urn:li:dataPlatform:s3,,PROD)",
    ],
)
def test_an_entity_with_a_bad_urn_is_refused_as_a_whole(urn: str) -> None:
    proposals, (refusal,) = propose(Entity(urn.split(":")[2], urn, (Status(removed=False), Status(removed=True))))
    assert proposals == []
    assert (refusal.code, refusal.subject) == ("urn", urn)
    assert refusal.reason


@pytest.mark.parametrize("place", [0, 1])
def test_an_aspect_that_is_too_large_is_refused_alone(place: int) -> None:
    given_aspects: list[Aspect] = [Status(removed=False)]
    given_aspects.insert(place, ContainerProperties(name="x", custom_properties={"a": "y" * MAX_ASPECT_BYTES}))
    (proposal,), (refusal,) = propose(Entity("container", "urn:li:container:1", tuple(given_aspects)))
    assert proposal.aspect_name == "status"
    assert (refusal.code, refusal.subject) == ("aspect_size", "urn:li:container:1")
    assert "containerProperties" in refusal.reason


def test_the_limit_counts_bytes_and_is_still_taken_itself() -> None:
    frame = len(json.dumps({"typeNames": [""]}, separators=(",", ":")))
    for text, taken in (("x" * (MAX_ASPECT_BYTES - frame), 1), ("x" * (MAX_ASPECT_BYTES - frame + 1), 0)):
        assert len(propose(Entity("container", "urn:li:container:1", (aspects.SubTypes([text]),)))[0]) == taken
    cjk = aspects.SubTypes(["実" * (MAX_ASPECT_BYTES // 3)])
    assert propose(Entity("container", "urn:li:container:1", (cjk,)))[0] == []


def test_versions_of_datahub_as_it_names_them() -> None:
    assert unsupported_aspects("v0.14.1")
    assert unsupported_aspects("0.15.0rc2")
    assert unsupported_aspects("v0.3.10")
    for version in ("v1.0.0", "v1.7.0rc1", "1.7.0.17", "v10.2.0", "v0.3.11", "v0.3.12.4-acryl", None, "head", ""):
        assert not unsupported_aspects(version)
