"""Which model versions were registered from which logged model: MLflow tells it by the version only."""

import msgspec

from crawler.mapping.logged_models import Registered, source_model_id
from crawler.mlflow.entities import ModelVersion

_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[Registered]).decode


class Registrations:
    """Keeps some 200 bytes for each logged model that has a version."""

    def __init__(self) -> None:
        self._packed: dict[bytes, bytes] = {}
        """The versions of logged models, by the bytes of their ids."""

    def add(self, version: ModelVersion) -> None:
        """Note a version, if it was registered from a logged model; one that is listed again is noted once."""
        model_id = source_model_id(version.source)
        if model_id is not None:
            known, registered = self.of(model_id), Registered(version.name, version.version)
            if registered not in known:
                self._packed[_key(model_id)] = _pack([*known, registered])

    def of(self, model_id: str) -> list[Registered]:
        """Return the versions of a logged model."""
        packed = self._packed.get(_key(model_id)) if self._packed else None
        return [] if packed is None else _unpack(packed)


def _key(model_id: str) -> bytes:
    """Return an id `m-` with 32 hex digits as 16 bytes, another one as it is."""
    try:
        return bytes.fromhex(model_id.removeprefix("m-"))
    except ValueError:
        return model_id.encode()
