"""User of a run or model version → platform resource."""

from functools import lru_cache

from crawler.datahub import urns
from crawler.datahub.aspects.entities import NOT_REMOVED, PlatformResourceInfo
from crawler.datahub.proposals import Entity
from crawler.mapping.platform import PLATFORM


@lru_cache(maxsize=10_000)
def user_urn(user: str) -> str:
    """Return urn:li:platformResource:guid of a user's name."""
    return urns.platform_resource(urns.guid(platform=PLATFORM, user=user))


def user_entity(user: str) -> Entity:
    """Map a user to a platform resource (aspect platformResourceInfo)."""
    return Entity(
        "platformResource",
        user_urn(user),
        (PlatformResourceInfo(resource_type="user", primary_key=user), NOT_REMOVED),
    )
