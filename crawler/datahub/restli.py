"""Rest.li's batch endpoint (`AspectResource.java`) and DataHub's file format, which holds the same proposals."""

import msgspec

_encode = msgspec.json.Encoder().encode


class RestliWire:
    """Proposals as `POST /aspects?action=ingestProposalBatch` takes them, and files with nested JSON text: the aspect
    as JSON text within JSON.
    """

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b',"contentType":"application/json"},"systemMetadata":%b}' % bytes(system_metadata)

    def head(self, entity_type: str, urn: str) -> bytes:
        """What names the entity."""
        return _head(entity_type, urn)

    def tail(self, aspect_name: str, aspect: bytes) -> bytes:
        """What names the aspect and holds its JSON."""
        text = _encode(aspect.decode())
        return b',"changeType":"UPSERT","aspectName":"%b","aspect":{"value":%b%b' % (
            aspect_name.encode(),
            text,
            self._end,
        )


class FileWire:
    """Proposals as DataHub's `file` sink writes them: the aspect as plain JSON."""

    def __init__(self, system_metadata: msgspec.Raw) -> None:
        self._end = b'},"systemMetadata":%b}' % bytes(system_metadata)

    def head(self, entity_type: str, urn: str) -> bytes:
        """What names the entity."""
        return _head(entity_type, urn)

    def tail(self, aspect_name: str, aspect: bytes) -> bytes:
        """What names the aspect and holds its JSON."""
        return b',"changeType":"UPSERT","aspectName":"%b","aspect":{"json":%b%b' % (
            aspect_name.encode(),
            aspect,
            self._end,
        )


def body(proposals: list[bytes], *, asynchronous: bool) -> bytes:
    """A whole request of encoded proposals; Rest.li wants `async` as a string."""
    return b'{"proposals":[%b],"async":"%b"}' % (b",".join(proposals), b"true" if asynchronous else b"false")


def _head(entity_type: str, urn: str) -> bytes:
    return b'{"entityType":"%b","entityUrn":%b' % (entity_type.encode(), _encode(urn))
