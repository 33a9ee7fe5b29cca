"""MLflow as a platform of DataHub: what every entity of it says about where it comes from."""

from crawler.config.settings import MappingSettings
from crawler.datahub import urns
from crawler.datahub.aspects import DataPlatformInstance

PLATFORM = "mlflow"
PLATFORM_URN = urns.data_platform(PLATFORM)
ACTOR = "urn:li:corpuser:datahub"


def platform_instance(settings: MappingSettings) -> DataPlatformInstance:
    """The aspect dataPlatformInstance of all entities of the crawled server."""
    return DataPlatformInstance(platform=PLATFORM_URN, instance=platform_instance_urn(settings))


def platform_instance_urn(settings: MappingSettings) -> str | None:
    """The URN of the configured instance, if any."""
    if not settings.platform_instance:
        return None
    return urns.data_platform_instance(PLATFORM, settings.platform_instance)


def instance_guid(settings: MappingSettings, **fields: str) -> str:
    """A guid that two servers share only where no platform instance tells them apart, as in the official connector."""
    if settings.platform_instance:
        fields["instance"] = settings.platform_instance
    return urns.guid(**fields)


def ui_page(settings: MappingSettings, path: str) -> str:
    """A page of MLflow's UI."""
    return f"{settings.ui_url.rstrip('/')}/#/{path}"
