"""What acryl-datahub's own pipeline makes of entities with transformers, and the entities of the golden crawl."""

import itertools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.api.common import EndOfStream, PipelineContext, RecordEnvelope
from datahub.ingestion.run.pipeline import Pipeline
from datahub.ingestion.transformer.transform_registry import transform_registry

from crawler.datahub.aspects.aspect import foreign_aspect
from crawler.datahub.proposals import Entity

GOLDEN = Path(__file__).parents[1] / "golden" / "official-options.json"
Values = dict[tuple[str, str], Any]
"""By (URN, aspect)."""


def golden_entities() -> list[Entity]:
    """The entities that the official connector wrote for the golden database, each whole and once."""
    aspects: dict[str, dict[str, Any]] = {}
    for each in json.loads(GOLDEN.read_text()):
        aspects.setdefault(each["entityUrn"], {})[each["aspectName"]] = each["aspect"]["json"]
    return [
        Entity(
            urn.split(":")[2],
            urn,
            tuple(foreign_aspect(name)(msgspec.Raw(json.dumps(value).encode())) for name, value in found.items()),
        )
        for urn, found in aspects.items()
    ]


def values_of(entities: Iterable[Entity]) -> Values:
    """What is written in the end."""
    return {(entity.urn, aspect.NAME): json.loads(aspect.to_json()) for entity in entities for aspect in entity.aspects}


def official_values(transformers: Sequence[dict[str, Any]], entities: Iterable[Entity], graph: Any = None) -> Values:
    """The same by the official pipeline's own way: a record for each aspect, then the end of the stream."""
    pipeline = Pipeline.__new__(Pipeline)
    context = PipelineContext("run", graph=graph)
    pipeline.transformers = [
        transform_registry.get(each["type"]).create(each.get("config") or {}, context) for each in transformers
    ]
    written: Values = {}
    units = [[_record(entity, aspect)] for entity in entities for aspect in entity.aspects]
    end = [RecordEnvelope(EndOfStream(), {"workunit_id": "end-of-stream"})]
    for envelope in itertools.chain.from_iterable(map(pipeline.transform, [*units, end])):
        if not isinstance(envelope.record, EndOfStream):
            proposal = envelope.record.to_obj(simplified_structure=True)
            written[proposal["entityUrn"], proposal["aspectName"]] = proposal["aspect"]["json"]
    return written


def _record(entity: Entity, aspect: Any) -> RecordEnvelope[Any]:
    obj = {
        "entityType": entity.type,
        "entityUrn": entity.urn,
        "changeType": "UPSERT",
        "aspectName": aspect.NAME,
        "aspect": {"json": json.loads(aspect.to_json())},
    }
    wrapper = MetadataChangeProposalWrapper.from_obj_require_wrapper(obj)
    return RecordEnvelope(wrapper, {"workunit_id": f"{entity.urn}-{aspect.NAME}"})
