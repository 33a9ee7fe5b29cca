"""Aspects of entities of any type, and of containers, tags and platform resources."""

from typing import ClassVar

from crawler.datahub.aspects.aspect import Aspect, Record, TimeStamp


class Status(Aspect, frozen=True):
    """The aspect `status`."""

    NAME: ClassVar[str] = "status"
    REPEATS: ClassVar[bool] = True

    removed: bool
    lifecycle_last_updated: TimeStamp | None = None


class DataPlatformInstance(Aspect, frozen=True):
    """The aspect `dataPlatformInstance`."""

    NAME: ClassVar[str] = "dataPlatformInstance"
    REPEATS: ClassVar[bool] = True

    platform: str
    instance: str | None = None


class SubTypes(Aspect, frozen=True):
    """The aspect `subTypes`."""

    NAME: ClassVar[str] = "subTypes"
    REPEATS: ClassVar[bool] = True

    type_names: list[str]


class ContainerOf(Aspect, frozen=True):
    """The aspect `container`: where an entity belongs."""

    NAME: ClassVar[str] = "container"
    REPEATS: ClassVar[bool] = True

    container: str


class TagAssociation(Record, frozen=True):
    """A tag that an entity has."""

    tag: str


class GlobalTags(Aspect, frozen=True):
    """The aspect `globalTags`."""

    NAME: ClassVar[str] = "globalTags"

    tags: list[TagAssociation]


class Owner(Record, frozen=True):
    """A user or a group that owns an entity; `type_urn` names an ownership type that is not DataHub's own."""

    owner: str
    type: str
    type_urn: str | None = None


class Ownership(Aspect, frozen=True):
    """The aspect `ownership`."""

    NAME: ClassVar[str] = "ownership"

    owners: list[Owner]


class Link(Record, frozen=True):
    """A link of an entity to a page."""

    url: str
    description: str
    create_stamp: TimeStamp


class InstitutionalMemory(Aspect, frozen=True):
    """The aspect `institutionalMemory`."""

    NAME: ClassVar[str] = "institutionalMemory"

    elements: list[Link]


class BrowsePathEntry(Record, frozen=True):
    """One step of a browse path."""

    id: str
    urn: str | None = None


class BrowsePathsV2(Aspect, frozen=True):
    """The aspect `browsePathsV2`."""

    NAME: ClassVar[str] = "browsePathsV2"

    path: list[BrowsePathEntry]


class ContainerProperties(Aspect, frozen=True):
    """The aspect `containerProperties`."""

    NAME: ClassVar[str] = "containerProperties"

    name: str
    custom_properties: dict[str, str]
    description: str | None = None
    external_url: str | None = None
    created: TimeStamp | None = None
    last_modified: TimeStamp | None = None


class TagProperties(Aspect, frozen=True):
    """The aspect `tagProperties`."""

    NAME: ClassVar[str] = "tagProperties"

    name: str
    description: str
    color_hex: str


class PlatformResourceInfo(Aspect, frozen=True):
    """The aspect `platformResourceInfo`."""

    NAME: ClassVar[str] = "platformResourceInfo"

    resource_type: str
    primary_key: str


NOT_REMOVED = Status(removed=False)
REMOVED = Status(removed=True)
