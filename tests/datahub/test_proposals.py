"""Proposals in the forms in which they travel, and what is never sent."""

import json

from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.aspects import ContainerProperties, Status, TagProperties
from crawler.datahub.proposals import (
    MAX_ASPECT_BYTES,
    Entity,
    SystemMetadata,
    encode_system_metadata,
    propose,
    restli,
    restli_body,
    simplified,
)
from crawler.datahub.versions import unsupported_aspects
from tests.judge import judge

METADATA = encode_system_metadata(SystemMetadata(last_observed=5, run_id="r", pipeline_name="p"))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(texts, texts)
def test_both_forms_carry_the_aspect(name: str, description: str) -> None:
    entity = Entity("tag", "urn:li:tag:x", (TagProperties(name=name, description=description, color_hex="#fff"),))
    (proposal,), refusals = propose(entity)
    assert refusals == []
    plain = json.loads(simplified(proposal, METADATA))
    judge(plain)
    assert plain["aspect"]["json"] == {"name": name, "description": description, "colorHex": "#fff"}
    assert plain["systemMetadata"] == {"lastObserved": 5, "runId": "r", "pipelineName": "p"}
    nested = json.loads(restli(proposal, METADATA))
    assert json.loads(nested["aspect"]["value"]) == plain["aspect"]["json"]
    assert nested["aspect"]["contentType"] == "application/json"
    assert nested["changeType"] == "UPSERT"
    body = json.loads(restli_body([restli(proposal, METADATA)] * 2, asynchronous=True))
    assert body == {"proposals": [nested, nested], "async": "true"}


def test_an_entity_with_a_bad_urn_is_refused_as_a_whole() -> None:
    entity = Entity("tag", "urn:li:tag:" + "x" * 600, (Status(removed=False),))
    proposals, (refusal,) = propose(entity)
    assert proposals == []
    assert (refusal.code, refusal.subject) == ("urn", entity.urn)


def test_an_aspect_that_is_too_large_is_refused_alone() -> None:
    huge = ContainerProperties(name="x", custom_properties={"a": "y" * MAX_ASPECT_BYTES})
    (proposal,), (refusal,) = propose(Entity("container", "urn:li:container:1", (huge, Status(removed=False))))
    assert proposal.aspect_name == "status"
    assert refusal.code == "aspect_size"
    assert "containerProperties" in refusal.reason


def test_versions_of_datahub_as_it_names_them() -> None:
    assert unsupported_aspects("v0.14.1")
    assert unsupported_aspects("0.15.0rc2")
    for version in ("v1.0.0", "v1.7.0rc1", "1.7.0.17", None, "head", ""):
        assert not unsupported_aspects(version)
