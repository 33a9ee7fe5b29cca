"""Proposals in the forms in which they travel, and what is never sent."""

import json
from typing import Any

import msgspec
import pytest
from datahub.specific.status import StatusPatchBuilder
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from crawler.datahub.aspects.aspect import Aspect, Edge, NamedValue, TimeStamp
from crawler.datahub.aspects.entities import (
    BrowsePathEntry,
    BrowsePathsV2,
    ContainerOf,
    ContainerProperties,
    PlatformResourceInfo,
    Status,
    SubTypes,
    TagProperties,
)
from crawler.datahub.aspects.runs import DataProcessInstanceInput, MLTrainingRunProperties
from crawler.datahub.encoding import MAX_ASPECT_BYTES, REMEMBERED, Encoder
from crawler.datahub.proposals import Entity, Proposal, Refusal, SystemMetadata, encode_system_metadata
from crawler.datahub.versions import unsupported_aspects
from crawler.datahub.wire.file import FileWire
from crawler.datahub.wire.openapi import OpenApiWire
from crawler.datahub.wire.protocol import Wire
from crawler.datahub.wire.restli import RestliWire, body
from tests.support.examples import examples
from tests.support.judge import judge

METADATA = encode_system_metadata(SystemMetadata(last_observed=5, run_id="r", pipeline_name="p"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
maps = st.dictionaries(texts, texts, max_size=4)
times = st.integers(-(2**63), 2**63 - 1)
stamps = st.none() | st.builds(TimeStamp, times, st.none() | st.just("urn:li:corpuser:a"))
named = st.lists(st.builds(NamedValue, texts, texts), max_size=3)
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
        st.builds(SubTypes, type_names=st.lists(texts, max_size=2)),
        st.builds(BrowsePathsV2, path=st.lists(st.builds(BrowsePathEntry, id=texts), max_size=2)),
    ),
    entities("platformResource", "urn:li:platformResource:1", st.builds(PlatformResourceInfo, texts, texts)),
    entities(
        "dataProcessInstance",
        RUN,
        st.builds(MLTrainingRunProperties, texts, maps, st.lists(texts, max_size=2), named, named),
        st.builds(
            DataProcessInstanceInput,
            st.just([]),
            st.lists(st.builds(Edge, st.just(DATASET), st.none() | maps), max_size=2),
        ),
        st.just(Status(removed=False)),
    ),
)


WIRES: tuple[Wire, ...] = (FileWire(METADATA), RestliWire(METADATA), OpenApiWire(METADATA))


def encoded(entity: Entity, wire: Wire = WIRES[0]) -> list[bytes]:
    """The entity's proposals, none of which is refused."""
    parcel, refusals = Encoder(wire).encode(entity)
    assert refusals == []
    assert (parcel.entity_type, parcel.urn, parcel.last) == (entity.type, entity.urn, True)
    return parcel.proposals


@examples(300)
@given(made)
def test_all_forms_carry_each_aspect_once_and_in_order(entity: Entity) -> None:
    plain_ones, nested_ones, members = (encoded(entity, wire) for wire in WIRES)
    for aspect, in_file, in_batch, in_object in zip(entity.aspects, plain_ones, nested_ones, members, strict=True):
        plain, nested = json.loads(in_file), json.loads(in_batch)
        judge(plain)
        value = plain["aspect"]["json"]
        assert value == json.loads(msgspec.json.encode(aspect))
        assert json.loads(nested["aspect"].pop("value")) == value
        assert json.loads(b"{%b}" % in_object) == {
            aspect.NAME: {"value": value, "systemMetadata": nested["systemMetadata"]}
        }
        assert nested.pop("aspect") == {"contentType": "application/json"}
        assert plain.pop("aspect").keys() == {"json"}
        assert (
            plain
            == nested
            == {
                "entityType": entity.type,
                "entityUrn": entity.urn,
                "changeType": "UPSERT",
                "aspectName": aspect.NAME,
                "systemMetadata": {"lastObserved": 5, "runId": "r", "pipelineName": "p"},
            }
        )


@pytest.mark.parametrize("removed", [False, True])
@pytest.mark.parametrize("make", [RestliWire, OpenApiWire])
def test_a_patched_status_is_the_official_patch_and_reads_back_as_the_status(make: Any, removed: bool) -> None:
    wire = make(METADATA, patches_status=True)
    urn = "urn:li:tag:a"
    (official,) = StatusPatchBuilder(urn).set_removed(removed).build()
    parcel, _ = Encoder(wire).encode(Entity("tag", urn, (Status(removed=removed), SubTypes(["x"]))))
    status, other = parcel.proposals
    assert [wire.aspect_name(each) for each in (status, other)] == ["status", "subTypes"]
    assert wire.proposal(parcel, status).aspect == (b'{"removed":true}' if removed else b'{"removed":false}')
    assert wire.proposal(parcel, other).aspect == b'{"typeNames":["x"]}'
    changes = json.loads(official.to_obj()["aspect"]["value"])
    if isinstance(wire, OpenApiWire):
        assert json.loads(b"{%b}" % status)["status"]["value"] == {"patch": changes}
        return
    ours = json.loads(status)
    ours.pop("systemMetadata")
    assert json.loads(ours["aspect"].pop("value")) == changes
    theirs = official.to_obj()
    theirs["aspect"].pop("value")
    assert ours == theirs
    assert json.loads(other)["changeType"] == "UPSERT"


@given(texts, texts)
def test_the_aspect_has_the_names_of_datahubs_schema_and_the_values_as_they_are(name: str, description: str) -> None:
    tag = TagProperties(name=name, description=description, color_hex="#fff")
    (proposal,) = encoded(Entity("tag", "urn:li:tag:x", (tag,)))
    assert json.loads(proposal)["aspect"]["json"] == {"name": name, "description": description, "colorHex": "#fff"}


@given(st.lists(made, max_size=4), st.booleans())
def test_a_request_holds_its_proposals_in_order(given_entities: list[Entity], asynchronous: bool) -> None:
    proposals = [each for entity in given_entities for each in encoded(entity, RestliWire(METADATA))]
    request = json.loads(body(proposals, asynchronous=asynchronous))
    in_order = [json.loads(each) for each in proposals]
    assert request == {"proposals": in_order, "async": "true" if asynchronous else "false"}


# Aspects as the mapping shares them between entities: the same objects, of which one has a `status` that a type lacks.
shared = (SubTypes(["a"]), Status(removed=False), ContainerOf("urn:li:container:1"))


@given(st.lists(st.tuples(st.sampled_from(["tag", "container"]), st.lists(st.sampled_from(shared), max_size=4))))
def test_what_is_remembered_is_what_would_be_encoded(uses: list[tuple[str, list[Aspect]]]) -> None:
    lacks = {("tag", "status")}
    remembers = Encoder(WIRES[1], lacks)
    for number, (kind, used) in enumerate(uses):
        entity = Entity(kind, f"urn:li:{kind}:{number}", tuple(used))
        assert to_builtins(remembers.encode(entity)) == to_builtins(Encoder(WIRES[1], lacks).encode(entity))
        assert len(remembers.encode(entity)[0].proposals) == sum((kind, each.NAME) not in lacks for each in used)


def test_memory_for_repeated_aspects_is_bounded_and_stays_right() -> None:
    encoder = Encoder(WIRES[0])
    for number in range(3 * REMEMBERED):
        container = ContainerOf(f"urn:li:container:{number}")
        entity = Entity("dataProcessInstance", RUN, (container, shared[1]))
        assert to_builtins(encoder.encode(entity)) == to_builtins(Encoder(WIRES[0]).encode(entity))
        assert len(encoder._remembered["dataProcessInstance"]) <= REMEMBERED


def test_a_validator_sees_each_proposal_and_keeps_back_what_it_refuses() -> None:
    seen: list[Proposal] = []

    def validator(proposal: Proposal) -> str | None:
        seen.append(proposal)
        return "not today" if proposal.aspect_name == "status" else None

    encoder = Encoder(WIRES[0], validator=validator)
    for number in range(2):
        urn = f"urn:li:container:{number}"
        parcel, refusals = encoder.encode(Entity("container", urn, shared[:2]))
        assert [json.loads(each)["aspectName"] for each in parcel.proposals] == ["subTypes"]
        (refused,) = [proposal for proposal in seen[-2:] if proposal.aspect_name == "status"]
        assert refusals == [Refusal("invalid", urn, "not today", [refused])]
    assert [(each.urn[-1], each.aspect_name) for each in seen] == [
        *(("0", "subTypes"), ("0", "status")),
        *(("1", "subTypes"), ("1", "status")),
    ]


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
    entity = Entity(urn.split(":")[2], urn, (Status(removed=False), SubTypes(["a"])))
    parcel, (refusal,) = Encoder(WIRES[0]).encode(entity)
    assert parcel.proposals == []
    assert (refusal.code, refusal.subject) == ("urn", urn)
    assert refusal.reason


@pytest.mark.parametrize("place", [0, 1])
def test_an_aspect_that_is_too_large_is_refused_alone(place: int) -> None:
    given_aspects: list[Aspect] = [Status(removed=False)]
    given_aspects.insert(place, ContainerProperties(name="x", custom_properties={"a": "y" * MAX_ASPECT_BYTES}))
    parcel, (refusal,) = Encoder(WIRES[0]).encode(Entity("container", "urn:li:container:1", tuple(given_aspects)))
    assert [json.loads(each)["aspectName"] for each in parcel.proposals] == ["status"]
    assert (refusal.code, refusal.subject) == ("aspect_size", "urn:li:container:1")
    assert "containerProperties" in refusal.reason


def test_the_limit_counts_bytes_and_is_still_taken_itself() -> None:
    frame = len(json.dumps({"typeNames": [""]}, separators=(",", ":")))
    for text, taken in (("x" * (MAX_ASPECT_BYTES - frame), 1), ("x" * (MAX_ASPECT_BYTES - frame + 1), 0)):
        assert len(Encoder(WIRES[0]).encode(one(SubTypes([text])))[0].proposals) == taken
    cjk = SubTypes(["実" * (MAX_ASPECT_BYTES // 3)])
    assert Encoder(WIRES[0]).encode(one(cjk))[0].proposals == []


def one(aspect: Aspect) -> Entity:
    return Entity("container", "urn:li:container:1", (aspect,))


def test_versions_of_datahub_as_it_names_them() -> None:
    assert unsupported_aspects("v0.14.1")
    assert unsupported_aspects("0.15.0rc2")
    assert unsupported_aspects("v0.3.10")
    for version in ("v1.0.0", "v1.7.0rc1", "1.7.0.17", "v10.2.0", "v0.3.11", "v0.3.12.4-acryl", None, "head", ""):
        assert not unsupported_aspects(version)


@pytest.mark.parametrize("wire", WIRES, ids=["file", "restli", "openapi"])
@given(entity=made)
def test_an_encoded_proposal_can_be_read_again(wire: Wire, entity: Entity) -> None:
    parcel, refusals = Encoder(wire).encode(entity)
    assert refusals == []
    assert [wire.aspect_name(each) for each in parcel.proposals] == [aspect.NAME for aspect in entity.aspects]
    read = [wire.proposal(parcel, each) for each in parcel.proposals]
    assert read == [
        Proposal(entity.type, entity.urn, aspect.NAME, msgspec.json.encode(aspect)) for aspect in entity.aspects
    ]
