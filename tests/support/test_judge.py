"""The judge takes all that the official connector wrote, and refuses each way of being wrong."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.judge import Refused, flapping, judge, judge_all, judge_contiguous, judge_one_value

GOLDEN = Path(__file__).parents[1] / "golden"
FABRIC_URN = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_1,NOWHERE)"


def golden(name: str = "official-default.json") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / name).read_text())
    return found


def sample(aspect_name: str) -> dict[str, Any]:
    """The fullest golden proposal of that aspect, free to be changed."""
    found = [proposal for proposal in golden() if proposal["aspectName"] == aspect_name]
    return copy.deepcopy(max(found, key=lambda proposal: len(json.dumps(proposal["aspect"]))))


def changed(aspect_name: str, *path: Any, to: Any = ..., drop: bool = False) -> dict[str, Any]:
    """A golden proposal with one place of its aspect changed or dropped."""
    proposal = sample(aspect_name)
    place: Any = proposal["aspect"]["json"]
    for step in path[:-1]:
        place = place[step]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return proposal


@pytest.mark.parametrize("name", ["official-default.json", "official-options.json"])
def test_takes_all_that_the_official_connector_wrote(name: str) -> None:
    proposals = golden(name)
    assert judge_all(proposals).total() == len(proposals)


def test_counts_by_entity_type_and_aspect() -> None:
    assert judge_all(golden())["tag", "tagProperties"] == 4


def test_takes_system_metadata_and_an_aspect_without_its_defaults() -> None:
    proposal = changed("mlModelProperties", "tags", drop=True)
    proposal["systemMetadata"] = {"runId": "r", "lastObserved": 1, "pipelineName": "p"}
    judge(proposal)


def test_leaves_the_proposal_as_it_was() -> None:
    proposal = sample("schemaMetadata")
    before = copy.deepcopy(proposal)
    judge(proposal)
    assert proposal == before


@pytest.mark.parametrize(
    ("proposal", "says"),
    [
        pytest.param(changed("versionProperties", "versionSet", drop=True), "missing required field", id="required"),
        pytest.param(changed("upstreamLineage", "upstreams", 0, "type", drop=True), "missing required", id="deep"),
        pytest.param(changed("tagProperties", "colour", to="red"), "unknown field /colour", id="unknown"),
        pytest.param(
            changed("mlTrainingRunProperties", "hyperParams", 0, "step", to="1"),
            "unknown field /hyperParams/0/step",
            id="unknown-deep",
        ),
        pytest.param(changed("status", "removed", to="false"), "StatusClass", id="string-for-boolean"),
        pytest.param(changed("status", "removed", to=0), "StatusClass", id="number-for-boolean"),
        pytest.param(changed("mlModelProperties", "created", "time", to="1"), "MLModel", id="string-for-long"),
        pytest.param(changed("mlModelProperties", "created", "time", to=1.0), "MLModel", id="float-for-long"),
        pytest.param(
            changed("mlModelProperties", "created", "time", to=True),
            "is True here and 1 in Avro",
            id="boolean-for-long",
        ),
        pytest.param(changed("mlModelProperties", "created", "time", to=2**63), "MLModel", id="beyond-long"),
        pytest.param(changed("mlModelProperties", "tags", to="a"), "/tags is 'a' here", id="string-for-list"),
        pytest.param(changed("mlModelProperties", "customProperties", to={"a": 1}), "MLModel", id="number-in-map"),
        pytest.param(changed("mlModelProperties", "description", to=None), "null", id="null"),
        pytest.param(changed("mlModelProperties", "customProperties", to={"a": None}), "null", id="null-in-map"),
        pytest.param(changed("mlModelProperties", "description", to="\ud800"), "no JSON", id="lone-surrogate"),
        pytest.param(changed("dataProcessInstanceRunEvent", "status", to="DONE"), "RunEvent", id="unknown-enum"),
        pytest.param(
            changed("schemaMetadata", "platformSchema", to={"com.linkedin.schema.Nothing": {}}),
            "Schema",
            id="union",
        ),
        pytest.param(
            changed("schemaMetadata", "fields", 0, "type", "type", to={"com.linkedin.schema.NoType": {}}),
            "unknown field /fields/0/type/type",
            id="union-in-list",
        ),
        pytest.param(changed("container", "container", to="ML"), "/container: 'ML' is no URN", id="inner-urn"),
        pytest.param(
            changed("globalTags", "tags", 0, "tag", to="urn:li:corpuser:a"),
            "takes a URN of tag",
            id="typed-urn",
        ),
        pytest.param(
            changed("mlModelProperties", "trainingJobs", to=["urn:li:tag:a"]),
            "dataProcessInstance",
            id="relation",
        ),
        pytest.param(
            changed("dataProcessInstanceOutput", "outputEdges", 0, "destinationUrn", to="urn:li:tag:a"),
            "/outputEdges/0/destinationUrn takes a URN of",
            id="relation-further-down",
        ),
        pytest.param(
            changed(
                "upstreamLineage",
                "upstreams",
                0,
                "dataset",
                to="urn:li:dataset:(urn:li:dataPlatform:s3,a(b,PROD)",
            ),
            "/upstreams/0/dataset",
            id="inner-urn-unescaped",
        ),
    ],
)
def test_refuses_a_wrong_aspect(proposal: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused) as refused:
        judge(proposal)
    assert says in str(refused.value)
    assert str(refused.value).startswith(f"{proposal['aspectName']} of {proposal['entityUrn']}: ")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"entityUrn": "mlModel:a"}, "no URN"),
        ({"entityUrn": "urn:li:mlModel:(urn:li:dataPlatform:mlflow,a,b,PROD)"}, "3 parts"),
        ({"entityUrn": "urn:li:mlModel:(urn:li:dataPlatform:mlflow,a(1),PROD)"}, "reserved"),
        ({"entityUrn": FABRIC_URN}, "no valid key"),
        ({"entityUrn": "urn:li:tag:a"}, "of tag, not of mlModel"),
        ({"entityType": "mlmodel"}, "no entity type mlmodel"),
        ({"entityType": None}, "entityType"),
        ({"aspectName": "tagProperties"}, "unknown aspect tagProperties for entity mlModel"),
        ({"aspectName": "MLModelProperties"}, "unknown aspect"),
        ({"changeType": "CREATE"}, "not UPSERT"),
        ({"aspect": {"value": "{}", "contentType": "application/json"}}, "not of the form"),
        ({"aspect": {"json": {}}}, "empty aspect"),
        ({"aspect": {"json": []}}, "no JSON object"),
        ({"auditHeader": None}, "auditHeader"),
        ({"systemMetadata": None}, "systemMetadata"),
        ({"systemMetadata": {"runId": 1}}, "SystemMetadata"),
        ({"systemMetadata": {"run_id": "r"}}, "unknown field /run_id"),
        ({"headers": {"a": 1}}, "MetadataChangeProposalWrapper"),
    ],
    ids=str,
)
def test_refuses_a_wrong_proposal(change: dict[str, Any], says: str) -> None:
    with pytest.raises(Refused, match=says):
        judge(sample("mlModelProperties") | change)


def test_one_value_an_aspect() -> None:
    """The official connector breaks this; ours must not."""
    assert len(flapping(golden())) == 8
    with pytest.raises(Refused, match="8 aspects have two different values"):
        judge_one_value(golden())
    judge_one_value([sample("status"), sample("status")])


def test_a_timeseries_aspect_may_have_many_values_but_one_a_moment() -> None:
    event = sample("dataProcessInstanceRunEvent")
    judge_one_value([event, changed("dataProcessInstanceRunEvent", "timestampMillis", to=5)])
    with pytest.raises(Refused, match="dataProcessInstanceRunEvent"):
        judge_one_value([event, changed("dataProcessInstanceRunEvent", "status", to="STARTED")])


def test_proposals_of_one_entity_are_next_to_each_other() -> None:
    one, other = sample("mlModelProperties"), sample("tagProperties")
    judge_contiguous([one, one, other])
    with pytest.raises(Refused, match="not next to each other"):
        judge_contiguous([one, other, one])
