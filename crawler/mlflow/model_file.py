"""MLmodel, the file that describes a logged model: what of it a catalog shows, from the file or from a tag of its run.

MLflow 1 and 2 keep an extract of each in the run's tag `mlflow.log-model.history`: 1.28 with the signature, 2.20
without it. MLflow 3 keeps none.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from crawler.errors import DecodeError

HISTORY_TAG = "mlflow.log-model.history"
FILE_NAME = "MLmodel"
MAX_FILE_BYTES = 1_000_000
"""A signature of 10,000 columns has about half of that."""
MAX_DEPTH = 100
"""PyYAML calls itself for each level, in C: a file of half a megabyte of brackets would end the process."""
_PYTHON_FUNCTION = "python_function"

_Size = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


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
    mlflow_version: Any = None
    model_size_bytes: _Size | None = None
    signature: Signature | None = None


_decode_history = msgspec.json.Decoder(list[_Raw], strict=False).decode


def read_file(content: bytes) -> ModelFile:
    """Return what an MLmodel says. Raise DecodeError where it is none."""
    import yaml  # noqa: PLC0415  only files need it

    try:
        raw = msgspec.convert(_load(content), _Raw, strict=False)
    except msgspec.ValidationError as error:
        raise DecodeError(f"{FILE_NAME} is not as expected: {error}.") from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        # A value such as 2024-02-31 raises other errors than YAML's own.
        raise DecodeError(f"{FILE_NAME} is not YAML: {type(error).__name__}.") from None
    return _kept(raw)


def _load(content: bytes) -> Any:
    """Return what YAML says, with a safe loader, in C if that is there."""
    import yaml  # noqa: PLC0415

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def flatten_mapping(self, node: object) -> None:
            """Merge nothing: a few lines of merges of merges make a mapping without end, and MLflow writes none."""

    depth = 0
    for event in yaml.parse(content, Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError("nested too deeply")
    return yaml.load(content, Loader)  # noqa: S506  a safe one


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
    return ModelFile(
        flavors=tuple(flavors),
        python_version=_text(function.get("python_version")) if isinstance(function, dict) else "",
        mlflow_version=_text(raw.mlflow_version),
        size_bytes=raw.model_size_bytes,
        signature=raw.signature,
    )


def _text(value: object) -> str:
    """Return a text; nothing for another value: 3.10 is not 3.1, and what aliases make may be without end."""
    return value if isinstance(value, str) else ""
