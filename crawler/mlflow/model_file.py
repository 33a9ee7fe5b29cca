"""MLmodel, the file that describes a logged model: what of it a catalog shows, from the file or from a tag of its run.

MLflow 1 and 2 keep an extract of each in the run's tag `mlflow.log-model.history`: 1.28 with the signature, 2.20
without it. MLflow 3 keeps none.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from crawler.errors import DecodeError

HISTORY_TAG = "mlflow.log-model.history"
FILE_NAME = "MLmodel"
MAX_FILE_BYTES = 1_000_000
"""A signature of 10,000 columns has about half of that."""
_PYTHON_FUNCTION = "python_function"


class Signature(msgspec.Struct, frozen=True, gc=False):
    """What a model takes and returns, each as JSON text of MLflow's own; `params` are those of inference."""

    inputs: str | None = None
    outputs: str | None = None
    params: str | None = None


class ModelFile(msgspec.Struct, frozen=True, gc=False):
    """What is kept of an MLmodel. What it does not have is empty, or None."""

    flavors: tuple[str, ...] = ()
    python_version: str = ""
    mlflow_version: str = ""
    size_bytes: int | None = None
    signature: Signature | None = None


class _Raw(msgspec.Struct, frozen=True):
    """An MLmodel as it is written."""

    artifact_path: str | None = None
    flavors: dict[str, Any] | None = None
    mlflow_version: str | None = None
    model_size_bytes: int | None = None
    signature: Signature | None = None


_decode_history = msgspec.json.Decoder(list[_Raw], strict=False).decode


def read_file(content: bytes) -> ModelFile:
    """Return what an MLmodel says. Raise DecodeError where it is none."""
    import yaml  # noqa: PLC0415  only files need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        raw = msgspec.convert(yaml.load(content, loader), _Raw, strict=False)  # noqa: S506  a safe one, in C if there
    except msgspec.ValidationError as error:
        raise DecodeError(f"{FILE_NAME} is not as expected: {error}.") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # A value such as 2024-02-31 raises other errors than YAML's own.
        raise DecodeError(f"{FILE_NAME} is not YAML: {type(error).__name__}.") from None
    return _kept(raw)


def find_in_history(history: str, source: str) -> ModelFile | None:
    """Return what the tag `mlflow.log-model.history` says of the model at `source`; None where it says nothing.

    A source ends with the path of the model among its run's artifacts, wherever these are, and if a registry has copied
    them. Of models logged to one path the last one is there.
    """
    try:
        logged = _decode_history(history)
    except (msgspec.DecodeError, RecursionError):
        return None
    found = _longest_path(logged, source)
    return None if found is None else _kept(found)


def _longest_path(logged: Sequence[_Raw], source: str) -> _Raw | None:
    found: _Raw | None = None
    length = 0
    for raw in logged:
        path = (raw.artifact_path or "").strip("/")
        if len(path) >= max(length, 1) and source.rstrip("/").endswith(f"/{path}"):
            found, length = raw, len(path)
    return found


def _kept(raw: _Raw) -> ModelFile:
    flavors = raw.flavors or {}
    function = flavors.get(_PYTHON_FUNCTION)
    python = function.get("python_version") if isinstance(function, dict) else None
    return ModelFile(
        flavors=tuple(flavors),
        python_version=str(python or ""),
        mlflow_version=raw.mlflow_version or "",
        size_bytes=raw.model_size_bytes,
        signature=raw.signature,
    )
