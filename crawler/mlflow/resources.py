"""Provisional."""

from typing import Any, Generic, TypeVar

import msgspec

Row = TypeVar("Row")


class Resource(msgspec.Struct, Generic[Row], frozen=True):
    name: str


REGISTERED_MODELS: Resource[Any] = Resource("registered_models")
MODEL_VERSIONS: Resource[Any] = Resource("model_versions")
EXPERIMENTS: Resource[Any] = Resource("experiments")
RUNS: Resource[Any] = Resource("runs")
