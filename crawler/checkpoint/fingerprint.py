"""The settings that two crawls must share for one to go on where the other was."""

import hashlib

import msgspec

from crawler.config.settings import Settings
from crawler.telemetry.logs import encodable

_SERVER = "MLflow's URL"
_WORKSPACE = "the workspace"
_REGISTRY = "the registry's URL"
_SINK = "the sink"


def fingerprint(settings: Settings) -> dict[str, str]:
    """Return by name where from, where to and how a crawl maps, without secrets. Its speed does not matter."""
    mlflow = settings.mlflow
    mapping = msgspec.structs.asdict(settings.mapping)
    # Links name what was chosen below, where anything was: the state of an older version has none.
    del mapping["workspace"]
    chosen = {} if mlflow.workspace is None else {_WORKSPACE: mlflow.workspace}
    return {
        _SERVER: mlflow.tracking.url,
        _REGISTRY: (mlflow.registry or mlflow.tracking).url,
        _SINK: encodable(settings.sink.target),
        **chosen,
        **{name: _text(mapping[name]) for name in sorted(mapping)},
        **_changes(settings),
    }


def _changes(settings: Settings) -> dict[str, str]:
    """Return what changes all that is mapped, where anything does; options of transformers may be secrets."""
    changes = {} if settings.browse_paths else {"generate_browse_path_v2": "false"}
    if not settings.selection.include.has_logged_models:
        # Those that were left out are read by the first crawl that wants them, however old they are.
        changes["include.logged_models"] = "false"
    if not settings.transformers:
        return changes
    digest = hashlib.sha256(msgspec.json.encode(settings.transformers, order="sorted", enc_hook=str)).hexdigest()
    return changes | {"the transformers": f"{', '.join(each.type for each in settings.transformers)} ({digest[:8]})"}


def source_of(fingerprint: dict[str, str]) -> dict[str, str]:
    """Return the part that says whose runs are read."""
    return {name: fingerprint[name] for name in (_SERVER, _WORKSPACE) if name in fingerprint}


def ends_of(fingerprint: dict[str, str]) -> dict[str, str]:
    """Return the part that says from where and to where."""
    return {name: fingerprint[name] for name in (_SERVER, _REGISTRY, _WORKSPACE, _SINK) if name in fingerprint}


def differences(then: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return what differs, each with both values."""
    names = sorted({*then, *now})
    return [
        f"{name} was {then.get(name, 'not set')} and is {now.get(name, 'not set')}"
        for name in names
        if then.get(name) != now.get(name)
    ]


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
