"""Requests by which GMS tells whether it would refuse its user something, and which change nothing: pure.

`AspectResource.java`, `ingestProposals`: every proposal is authorized before any is built, and a 403 names all that
were refused. These have an aspect that no entity has, so that what is authorized fails then.
"""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from crawler.datahub.wire import restli
from crawler.datahub.wire.protocol import WriteRequest

_NAME = "mlflow-datahub-crawler-check"
_KEYED = "urn:li:{}:(urn:li:dataPlatform:mlflow,{},PROD)"
NOBODY: Mapping[str, str] = {
    "tag": f"urn:li:tag:{_NAME}",
    "platformResource": f"urn:li:platformResource:{_NAME}",
    "container": f"urn:li:container:{_NAME}",
    "dataProcessInstance": f"urn:li:dataProcessInstance:{_NAME}",
    "dataset": _KEYED.format("dataset", _NAME),
    "mlModelGroup": _KEYED.format("mlModelGroup", _NAME),
    "mlModel": _KEYED.format("mlModel", _NAME),
}
"""Of each entity type that a crawl writes, a URN that no entity has."""
UNKNOWN_ASPECT = "mlflowDatahubCrawlerCheck"

_encode = msgspec.json.Encoder().encode


def write_of_nothing(urns: Sequence[str]) -> WriteRequest:
    """Return a request by Rest.li to write to these entities what they cannot have."""
    proposals = [
        {
            "entityType": entity_type_of(urn),
            "entityUrn": urn,
            "changeType": "UPSERT",
            "aspectName": UNKNOWN_ASPECT,
            "aspect": {"value": "{}", "contentType": "application/json"},
        }
        for urn in urns
    ]
    return WriteRequest(restli.PATH, _encode({"proposals": proposals, "async": "false"}), restli.HEADERS)


def refused(answer: str, urns: Collection[str]) -> list[str]:
    """Return the entity types of those URNs that the text of a 403 names; of all where it names none."""
    named = {urn for urn in urns if f"Urn: {urn}" in answer} or set(urns)
    return sorted({entity_type_of(urn) for urn in named})


def entity_type_of(urn: str) -> str:
    """Return the entity type that a URN names."""
    return urn.split(":", 3)[2]
