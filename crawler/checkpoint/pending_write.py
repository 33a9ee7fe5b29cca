"""What the next transaction of a checkpoint writes."""

from hashlib import blake2b

import msgspec

from crawler.checkpoint.sqlite import Changes

_RUN = "dataProcessInstance"
_DATASET = "dataset"


class PendingWrite(msgspec.Struct):
    """What the next transaction writes; `since` is when the last one did, by the checkpoint's clock."""

    since: float
    changes: Changes = msgspec.field(default_factory=lambda: Changes(settings={}))
    is_dirty: bool = False

    def add(self, entity_type: str, urn: str) -> None:
        """Add an entity that is finished. Of runs their windows are kept, not their URNs."""
        self.is_dirty = True
        if entity_type != _RUN:
            urn_hash = hash_of(urn)
            self.changes.urn_hashes.append(urn_hash)
            if entity_type == _DATASET:
                self.changes.datasets[urn_hash] = None


def hash_of(urn: str) -> int:
    """Return 64 bits: of a million URNs, two are the same once in thirty million crawls."""
    return int.from_bytes(blake2b(urn.encode(errors="surrogatepass"), digest_size=8).digest(), signed=True)
