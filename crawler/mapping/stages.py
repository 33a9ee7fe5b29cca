"""Model stage → tag."""

import msgspec

from crawler.datahub import urns
from crawler.datahub.aspects.entities import NOT_REMOVED, TagProperties
from crawler.datahub.proposals import Entity
from crawler.mapping.platform import PLATFORM


class _Stage(msgspec.Struct, frozen=True):
    name: str
    color: str


_STAGES = (
    _Stage("Production", "#308613"),
    _Stage("Staging", "#FACB66"),
    _Stage("Archived", "#5D7283"),
    _Stage("None", "#F2F4F5"),
)


def stage_tags() -> list[Entity]:
    """Return the tags of MLflow's four stages (aspect tagProperties)."""
    return [
        Entity(
            "tag",
            urns.tag(_tag_name(stage.name)),
            (
                TagProperties(
                    name=_tag_name(stage.name),
                    description=f"{stage.name} Stage for an ML model in MLflow Model Registry",
                    color_hex=stage.color,
                ),
                NOT_REMOVED,
            ),
        )
        for stage in _STAGES
    ]


def stage_tag_urn(stage: str | None) -> str | None:
    """Return urn:li:tag:mlflow_production and so on; None for no stage, or one whose tag is not written."""
    return _TAG_URNS.get(stage.lower()) if stage else None


def _tag_name(stage: str) -> str:
    return f"{PLATFORM}_{stage.lower()}"


_TAG_URNS = {stage.name.lower(): urns.tag(_tag_name(stage.name)) for stage in _STAGES}
