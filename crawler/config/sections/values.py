"""Kinds of values that options have, with their bounds."""

from typing import Annotated, Any, Literal

import msgspec

Options = dict[Any, Any]
"""A section, or the options of a type, before it is checked."""
Count = Annotated[int, msgspec.Meta(ge=1)]
PointCount = Annotated[int, msgspec.Meta(ge=2)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
Percent = Annotated[float, msgspec.Meta(ge=0, le=100)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
PageSize = Annotated[int, msgspec.Meta(ge=1, le=50_000)]
BatchSize = Annotated[int, msgspec.Meta(ge=1, le=200)]
BatchBytes = Annotated[int, msgspec.Meta(ge=1_000, le=15_000_000)]
Removal = Literal["auto", "confirm"]
ModelTag = Literal["stage", "alias"]
