"""DataHub's aspects as msgspec structs, with the schema's field names (metadata-models, `*.pdl`).

A field without a default is always written, one that defaults to None only where it has a value. Times are ms since
epoch. Building and encoding one takes microseconds; acryl-datahub's own classes take a hundred times as long and
judge these in the tests.
"""

from functools import cache
from typing import ClassVar, cast

import msgspec

_encode = msgspec.json.Encoder().encode


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, rename="camel"):
    """A part of an aspect."""


class Aspect(Record, frozen=True):
    """Base of all aspects."""

    NAME: ClassVar[str]
    """The aspect's name in DataHub's registry."""
    REPEATS: ClassVar[bool] = False
    """Whether many entities have the same one."""

    def to_json(self) -> bytes:
        """Return its JSON."""
        return _encode(self)


class ForeignAspect(Aspect, frozen=True):
    """An aspect that others made, of which the JSON is known; `foreign_aspect` returns the class of one name."""

    json: msgspec.Raw

    def to_json(self) -> bytes:
        """Return the JSON that others made."""
        return bytes(self.json)


@cache
def foreign_aspect(name: str) -> type[ForeignAspect]:
    """Return the class of a foreign aspect, which has its name."""
    return cast(
        "type[ForeignAspect]",
        msgspec.defstruct(name, [], bases=(ForeignAspect,), namespace={"NAME": name}, frozen=True, gc=False),
    )


class TimeStamp(Record, frozen=True):
    """A time in ms since epoch, with the user who acted then."""

    time: int
    actor: str | None = None


class NamedValue(Record, frozen=True):
    """MLHyperParam and MLMetric: a name and its value as text."""

    name: str
    value: str


class Edge(Record, frozen=True):
    """A reference to another entity, with properties of this one reference."""

    destination_urn: str
    properties: dict[str, str] | None = None
