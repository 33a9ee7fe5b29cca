"""A page of MLflow → institutional memory, which DataHub shows as the links of an entity."""

from crawler.datahub.aspects.aspect import TimeStamp
from crawler.datahub.aspects.entities import InstitutionalMemory, Link
from crawler.mapping.platform import ACTOR
from crawler.mapping.times import known_time

_DESCRIPTION = "MLflow"


def link_to_mlflow(page: str, created: int | None) -> InstitutionalMemory:
    """Return the link to a page of MLflow, of something that was created then (ms since epoch)."""
    stamp = TimeStamp(known_time(created) or 0, ACTOR)
    return InstitutionalMemory(elements=[Link(url=page, description=_DESCRIPTION, create_stamp=stamp)])
