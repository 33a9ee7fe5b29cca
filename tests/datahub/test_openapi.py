"""OpenAPI v3: what was packed is what a request says, and what an answer leaves out is seen."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.entities import ContainerProperties, Status, SubTypes, TagProperties
from crawler.datahub.batching import Batch, PackerByType, batch_of
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata, removal_of
from crawler.datahub.versions import require_openapi
from crawler.datahub.wire import openapi
from crawler.errors import SettingsError
from tests.support.examples import examples

METADATA = encode_system_metadata(SystemMetadata(last_observed=5, run_id="r", pipeline_name="p"))
SAID = {"lastObserved": 5, "runId": "r", "pipelineName": "p"}
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
aspects: st.SearchStrategy[Aspect] = st.one_of(
    st.builds(Status, removed=st.booleans()),
    st.builds(SubTypes, type_names=st.lists(texts, max_size=2)),
    st.builds(TagProperties, name=texts, description=texts, color_hex=texts),
    st.builds(ContainerProperties, texts, st.dictionaries(texts, texts, max_size=2)),
)
names = st.text(st.sampled_from('ab"\\%実😀 '), min_size=1, max_size=8).map(lambda name: f"{name}.")
entities = st.lists(
    st.builds(
        lambda kind, name, given_aspects: Entity(kind, f"urn:li:{kind}:{name.strip()}", tuple(given_aspects)),
        st.sampled_from(["tag", "container"]),
        names,
        st.lists(aspects, min_size=1, max_size=4, unique_by=lambda aspect: aspect.NAME),
    ),
    max_size=12,
)
Sent = list[tuple[str, str, Any]]


WIRE = openapi.OpenApiWire(METADATA)


def packed(given_entities: list[Entity], max_proposals: int, max_bytes: int) -> list[Batch]:
    packer, encoder = PackerByType(max_proposals, max_bytes, openapi.frame), Encoder(WIRE)
    batches = []
    for entity in given_entities:
        parcel, refusals = encoder.encode(entity)
        assert refusals == []
        batches += packer.add(parcel)
    return batches + packer.flush()


def aspects_in(body: bytes) -> Sent:
    """What a request says, aspect by aspect; an object that names one twice would hide the first."""
    said: Sent = []
    for item in json.loads(body, object_pairs_hook=_each_key_once):
        urn = item.pop("urn")
        for name, aspect in item.items():
            assert aspect.keys() == {"value", "systemMetadata"}
            assert aspect["systemMetadata"] == SAID
            said.append((urn, name, aspect["value"]))
    return said


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs)
    return dict(pairs)


def meant(given_entities: list[Entity], entity_type: str) -> Sent:
    return [
        (entity.urn, aspect.NAME, json.loads(msgspec.json.encode(aspect)))
        for entity in given_entities
        if entity.type == entity_type
        for aspect in entity.aspects
    ]


@examples(300)
@given(entities, st.integers(1, 12), st.integers(150, 1_500))
def test_requests_say_what_was_packed(given_entities: list[Entity], max_proposals: int, max_bytes: int) -> None:
    said: dict[str, Sent] = {"tag": [], "container": []}
    for batch in packed(given_entities, max_proposals, max_bytes):
        (entity_type,) = {parcel.entity_type for parcel in batch.entities}
        body = WIRE.requests(batch, asynchronous=True)[0].body
        in_body = aspects_in(body)
        assert len(in_body) == batch.proposals <= max_proposals
        # The brackets around, and no comma behind the last.
        assert len(body) == batch.bytes + 1
        assert batch.bytes <= max_bytes or batch.proposals == 1
        said[entity_type] += in_body
    for entity_type, in_order in said.items():
        assert in_order == meant(given_entities, entity_type)


@examples(200)
@given(entities, st.data())
def test_what_an_answer_leaves_out_is_told(given_entities: list[Entity], data: st.DataObject) -> None:
    for batch in packed(given_entities, 200, 10**6):
        sent = aspects_in(WIRE.requests(batch, asynchronous=True)[0].body)
        keys = sorted({(urn, name) for urn, name, _ in sent})
        missing = data.draw(st.sets(st.sampled_from(keys)))
        listed: dict[str, dict[str, Any]] = {}
        for urn, name, value in reversed(sent):
            entity = listed.setdefault(urn, {"urn": urn, "tagKey": {"value": {}}})
            if (urn, name) not in missing:
                entity[name] = {"value": value}
        answer = json.dumps(list(listed.values()), ensure_ascii=data.draw(st.booleans())).encode()
        assert openapi.left_out(batch, [answer]) == [key[:2] for key in sent if key[:2] in missing]


BATCH = packed([Entity("tag", "urn:li:tag:a", (Status(removed=False), SubTypes(type_names=["x"])))], 10, 10**6)[0]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b'"ok"',
        b"null",
        b'["urn:li:tag:a"]',
        b'[{"entity":"a"}]',
        b"[{",
        b'[{"urn":"\xff"}]',
        b'[{"urn":5}]',
    ],
)
def test_an_answer_that_is_no_list_of_entities_tells_nothing(answer: bytes) -> None:
    assert openapi.left_out(BATCH, [answer]) is None


@pytest.mark.parametrize("answer", [b"[]", b'[{"urn":"urn:li:tag:b","status":{},"subTypes":{}}]'])
def test_an_answer_without_the_entity_leaves_out_all_of_it(answer: bytes) -> None:
    assert openapi.left_out(BATCH, [answer]) == [("urn:li:tag:a", "status"), ("urn:li:tag:a", "subTypes")]


def test_an_entity_may_be_listed_in_parts() -> None:
    answer = b'[{"urn":"urn:li:tag:a","status":{}},{"urn":"urn:li:tag:a","subTypes":{"value":{}}}]'
    assert openapi.left_out(BATCH, [answer]) == []


def test_statuses_are_patched_by_a_request_of_their_own() -> None:
    wire = openapi.OpenApiWire(METADATA, patches_status=True)
    both = Entity("tag", "urn:li:tag:a", (Status(removed=False), SubTypes(type_names=["x"])))
    gone = removal_of("tag", "urn:li:tag:b")
    batch = batch_of([Encoder(wire).encode(entity)[0] for entity in (both, gone)])
    upserts, patches = wire.requests(batch, asynchronous=True)
    assert (upserts.method, patches.method) == ("POST", "PATCH")
    assert upserts.path == patches.path
    assert aspects_in(upserts.body) == [("urn:li:tag:a", "subTypes", {"typeNames": ["x"]})]
    assert aspects_in(patches.body) == [
        (f"urn:li:tag:{name}", "status", {"patch": [{"op": "add", "path": "/removed", "value": removed}]})
        for name, removed in (("a", False), ("b", True))
    ]
    only_gone = batch_of(batch.entities[1:])
    assert [each.method for each in wire.requests(only_gone, asynchronous=True)] == ["PATCH"]
    half = [b'[{"urn":"urn:li:tag:a","subTypes":{}}]', b'[{"urn":"urn:li:tag:b","status":{}}]']
    assert wire.left_out(batch, half) == [("urn:li:tag:a", "status")]
    assert wire.left_out(batch, [half[0], b"ok"]) is None


def test_the_path_says_the_type_and_the_mode() -> None:
    assert openapi.path("mlModel", asynchronous=True) == "/openapi/v3/entity/mlModel?async=true"
    assert openapi.path("tag", asynchronous=False) == "/openapi/v3/entity/tag?async=false"


@pytest.mark.parametrize("version", ["v1.0.0", "1.0.0rc3", "v0.14.1", "v0.3.10", "0.4.0", "v1.0"])
def test_a_server_before_1_0_1_is_refused(version: str) -> None:
    with pytest.raises(SettingsError, match=rf"DataHub {version} is older than 1\.0\.1.*Use --endpoint restli"):
        require_openapi(version)


@pytest.mark.parametrize(
    "version", ["v1.0.1", "1.7.0.17", "v1.7.0rc1", "v10.0.0", "v0.3.11", "v0.3.12.4-acryl", None, "head"]
)
def test_other_servers_may_try(version: str | None) -> None:
    require_openapi(version)
