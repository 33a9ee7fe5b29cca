"""The settings that two crawls must share for one to go on where the other was."""

import hashlib

import msgspec

from crawler.settings.crawl import Settings
from crawler.settings.selection import choices
from crawler.telemetry.logs import encodable

_SERVER = "MLflow's URL"
_WORKSPACE = "the workspace"
_REGISTRY = "the registry's URL"
_SINK = "the sink"
_ADDED = ("link_to_mlflow", "model_tags", "owner")
"""Of the mapping, where they are set: the state of an older version has none."""
_CHOICE = "source.config."
_WORKSPACES = f"{_CHOICE}workspace_pattern."


def fingerprint(settings: Settings) -> dict[str, str]:
    """Return by name where from, where to and how a crawl maps, without secrets. Its speed does not matter."""
    mlflow = settings.mlflow
    mapping = msgspec.structs.asdict(settings.mapping)
    # What was chosen is below, where anything was: the state of an older version has none of it.
    del mapping["workspace"], mapping["name_prefix"]
    if settings.mapping.workspace_identity == "platform_instance":
        del mapping["workspace_identity"]
    added = {name: mapping.pop(name) for name in _ADDED}
    chosen = {} if mlflow.workspace is None else {_WORKSPACE: mlflow.workspace}
    return {
        _SERVER: mlflow.tracking.url,
        _REGISTRY: (mlflow.registry or mlflow.tracking).url,
        _SINK: encodable(settings.sink.target),
        **chosen,
        **{name: _text(mapping[name]) for name in sorted(mapping)},
        **{name: _text(value) for name, value in added.items() if value},
        **_changes(settings),
        **{f"{_CHOICE}{name}": text for name, text in choices(settings.selection).items()},
    }


def _changes(settings: Settings) -> dict[str, str]:
    """Return what changes all that is mapped, where anything does; options of transformers may be secrets."""
    changes = {} if settings.browse_paths else {"generate_browse_path_v2": "false"}
    if not settings.transformers:
        return changes
    digest = hashlib.sha256(msgspec.json.encode(settings.transformers, order="sorted", enc_hook=str)).hexdigest()
    return changes | {"the transformers": f"{', '.join(each.type for each in settings.transformers)} ({digest[:8]})"}


def source_of(fingerprint: dict[str, str]) -> dict[str, str]:
    """Return the part that says whose runs are read."""
    return _part(fingerprint, _SERVER, _WORKSPACE, *(name for name in fingerprint if name.startswith(_CHOICE)))


def ends_of(fingerprint: dict[str, str]) -> dict[str, str]:
    """Return the part that says from where and to where."""
    workspaces = (name for name in fingerprint if name.startswith(_WORKSPACES))
    return _part(fingerprint, _SERVER, _REGISTRY, _WORKSPACE, _SINK, *workspaces)


def differences(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs, each with both values."""
    names = sorted({*then, *now})
    return [
        f"{name} was {then.get(name, 'not set')} and is {now.get(name, 'not set')}"
        for name in names
        if then.get(name) != now.get(name)
    ]


def _part(fingerprint: dict[str, str], *names: str) -> dict[str, str]:
    return {name: fingerprint[name] for name in names if name in fingerprint}


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
