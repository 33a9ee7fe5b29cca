"""MLflow as a platform of DataHub: where its entities come from."""

from functools import lru_cache
from urllib.parse import quote

from crawler.datahub import urns
from crawler.datahub.aspects.entities import DataPlatformInstance
from crawler.settings.mapping import MappingSettings

PLATFORM = "mlflow"
PLATFORM_URN = urns.data_platform(PLATFORM)
ACTOR = "urn:li:corpuser:datahub"
IN_TRASH = {"lifecycle_stage": "deleted"}
"""A property of runs and experiments that are in MLflow's trash, where these are written at all."""


def platform_instance(settings: MappingSettings) -> DataPlatformInstance:
    """Return the aspect dataPlatformInstance of all entities of the crawled server."""
    return platform_aspect(PLATFORM_URN, platform_instance_urn(settings))


@lru_cache
def platform_aspect(platform_urn: str, instance_urn: str | None = None) -> DataPlatformInstance:
    """Return an aspect dataPlatformInstance: the same object each time, so that it is encoded once."""
    return DataPlatformInstance(platform=platform_urn, instance=instance_urn)


def platform_instance_urn(settings: MappingSettings) -> str | None:
    """Return the URN of the configured instance, if any."""
    if not settings.platform_instance:
        return None
    return urns.data_platform_instance(PLATFORM, settings.platform_instance)


def instance_guid(settings: MappingSettings, **fields: str) -> str:
    """Return a guid that two servers share only if no platform instance tells them apart.

    The same as in the official connector.
    """
    if settings.platform_instance:
        fields["instance"] = settings.platform_instance
    return urns.guid(**fields)


_MEANS_SOMETHING = str.maketrans(
    {character: quote(character, safe="") for character in [*"%/?#\\", *map(chr, range(32))]}
)


def url_part(text: str) -> str:
    """Return a name or an id as one part of a URL's path; where it is plain, as it is."""
    return text if text.isalnum() else text.translate(_MEANS_SOMETHING)


def ui_page(settings: MappingSettings, path: str) -> str:
    """Return the URL of a page of MLflow's UI."""
    return f"{settings.ui_url.rstrip('/')}/#/{path}{ui_query(settings)}"


def ui_query(settings: MappingSettings) -> str:
    """Return the query of all pages of MLflow's UI: the workspace, where the server has any."""
    return f"?workspace={quote(settings.workspace, safe='')}" if settings.workspace else ""
