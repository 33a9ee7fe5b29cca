"""What one transformer does to one entity, as in acryl-datahub's own pipeline.

There, a transformer that adds an aspect does so at the end of the stream, to all entities that lacked it. Here an
entity is whole when it comes, so it gets what it lacks at once, and travels in one request.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.emitter.mcp_builder import mcps_from_mce
from datahub.ingestion.api.common import ControlRecord, EndOfStream, RecordEnvelope
from datahub.ingestion.api.transform import Transformer
from datahub.ingestion.transformer.base_transformer import (
    BaseTransformer,
    HandleEndOfStreamTransformer,
    MultipleAspectTransformer,
    SingleAspectTransformer,
)
from datahub.metadata.schema_classes import (
    ChangeTypeClass,
    MetadataChangeEventClass,
    MetadataChangeProposalClass,
    SystemMetadataClass,
)

from crawler.datahub.proposals import Entity
from crawler.transformers.chain import Step
from crawler.transformers.draft import Draft

_ALL = "*"
_ITS_OWN = {"__init__", "entity_types", "allowed_mixins"}
_PROCESSED = {"processed": True}


class NotSent(Exception):
    """A transformer made something that cannot be sent."""


def step_of(transformer: Transformer, system_metadata: SystemMetadataClass) -> Step:
    """Return the step of a transformer, in the way that looks at the fewest aspects."""
    if isinstance(transformer, BaseTransformer) and not _is_overridden(transformer):
        if isinstance(transformer, SingleAspectTransformer):
            return AspectStep(transformer, transformer)
        if isinstance(transformer, MultipleAspectTransformer):
            return AspectsStep(transformer, transformer)
    return RecordStep(transformer, system_metadata)


class _TypedStep(ABC):
    """A step of entities of some types, by a transformer of one aspect that does only what its base class does."""

    def __init__(self, base: BaseTransformer, aspect_name: str) -> None:
        self._base = base
        self._name = aspect_name
        self._types = frozenset(base.entity_types())
        handler = getattr(type(base), "handle_end_of_stream", None)
        self._has_end = handler is not HandleEndOfStreamTransformer.handle_end_of_stream
        """Whether it makes something of all URNs at the end, for which it must remember them."""

    def wants(self, entity_type: str) -> bool:
        """Return whether it may change entities of this type."""
        return entity_type in self._types or _ALL in self._types

    @abstractmethod
    def apply(self, draft: Draft) -> list[Draft]:
        """Transform the aspect, which the entity may lack."""

    def apply_to_more(self, draft: Draft) -> list[Draft]:
        """Transform the aspect if it is among them."""
        return self.apply(draft) if self._name in draft.names() else [draft]

    def end(self) -> list[Draft]:
        """Return what it makes of all that it has seen."""
        if not self._has_end:
            return []
        assert isinstance(self._base, HandleEndOfStreamTransformer)  # noqa: S101  both kinds are
        return drafts_of(self._base.handle_end_of_stream())

    def _remember(self, urn: str) -> None:
        if self._has_end:
            self._base.entity_map[urn] = _PROCESSED


class AspectStep(_TypedStep):
    """A transformer of one aspect, such as acryl-datahub's `simple_add_dataset_tags`."""

    def __init__(self, base: BaseTransformer, transformer: SingleAspectTransformer) -> None:
        super().__init__(base, transformer.aspect_name())
        self._transformer = transformer

    def apply(self, draft: Draft) -> list[Draft]:
        """Transform the aspect, which the entity may lack."""
        name = self._name
        draft.put(name, self._transformer.transform_aspect(draft.urn, name, draft.get(name)))
        self._remember(draft.urn)
        return [draft]


class AspectsStep(_TypedStep):
    """A transformer that makes several aspects of one, such as acryl-datahub's `tags_to_structured_properties`."""

    def __init__(self, base: BaseTransformer, transformer: MultipleAspectTransformer) -> None:
        super().__init__(base, transformer.aspect_name())
        self._transformer = transformer

    def apply(self, draft: Draft) -> list[Draft]:
        """Replace the aspect by what comes of it."""
        name = self._name
        made = dict(self._transformer.transform_aspects(draft.urn, name, draft.get(name)))
        draft.put(name, made.pop(name, None))
        for other, aspect in made.items():
            if aspect is not None:
                draft.put(other, aspect)
        self._remember(draft.urn)
        return [draft]


class RecordStep:
    """Any other transformer: it gets each aspect as a record, and the end of the stream at the end."""

    def __init__(self, transformer: Transformer, system_metadata: SystemMetadataClass) -> None:
        self._transformer = transformer
        self._system_metadata = system_metadata
        types = transformer.entity_types() if isinstance(transformer, BaseTransformer) else [_ALL]
        self._types = frozenset(types)

    def wants(self, entity_type: str) -> bool:
        """Return whether it may change entities of this type."""
        return entity_type in self._types or _ALL in self._types

    def apply(self, draft: Draft) -> list[Draft]:
        """Hand it all aspects of the entity."""
        records = [
            MetadataChangeProposalWrapper(
                entityType=draft.type,
                entityUrn=draft.urn,
                aspectName=name,
                aspect=draft.get(name),
                systemMetadata=self._system_metadata,
            )
            for name in draft.names()
        ]
        made = list(_records(self._transformer.transform(_envelopes(records))))
        kept = {record.aspectName for record in made if record.entityUrn == draft.urn}
        for name in draft.names():
            if name not in kept:
                draft.put(name, None)
        return drafts_of(made, draft)

    def apply_to_more(self, draft: Draft) -> list[Draft]:
        """Hand it these aspects: it knows itself what came before."""
        return self.apply(draft)

    def end(self) -> list[Draft]:
        """Tell it that all entities have come."""
        end = RecordEnvelope(EndOfStream(), {"workunit_id": "end-of-stream"})
        return drafts_of(list(_records(self._transformer.transform([end]))))


Record: TypeAlias = MetadataChangeProposalWrapper | MetadataChangeProposalClass


def drafts_of(records: Sequence[Record], draft: Draft | None = None) -> list[Draft]:
    """Return what records write, an entity each, `draft` first.

    Raises:
        NotSent: One of them is no UPSERT of an aspect.
    """
    drafts = {} if draft is None else {draft.urn: draft}
    for record in records:
        urn, name = record.entityUrn, record.aspectName
        if urn is None or name is None or record.aspect is None:
            continue
        if record.changeType != ChangeTypeClass.UPSERT:
            raise NotSent(f"it makes a {record.changeType} of {name} of {urn}, and only UPSERTs can be sent")
        found = drafts.setdefault(urn, Draft(Entity(record.entityType, urn, ())))
        if isinstance(record, MetadataChangeProposalWrapper):
            found.put(name, record.aspect)
        else:
            found.put_json(name, record.aspect.value)
    return list(drafts.values())


def _envelopes(records: Iterable[Record]) -> Iterator[RecordEnvelope[Record]]:
    for record in records:
        yield RecordEnvelope(record, {"workunit_id": f"{record.entityUrn}-{record.aspectName}"})


def _records(envelopes: Iterable[RecordEnvelope[object]]) -> Iterator[Record]:
    for envelope in envelopes:
        record = envelope.record
        if isinstance(record, MetadataChangeEventClass):
            yield from mcps_from_mce(record)
        elif isinstance(record, MetadataChangeProposalWrapper | MetadataChangeProposalClass):
            yield record
        elif not isinstance(record, ControlRecord):
            raise NotSent(f"it makes a record that is no proposal: {type(record).__name__}")


def _is_overridden(transformer: BaseTransformer) -> bool:
    """Return whether a class does more than its base class does between `transform` and its own aspect."""
    return any(
        getattr(type(transformer), name) is not method
        for name, method in vars(BaseTransformer).items()
        if callable(method) and name not in _ITS_OWN
    )
