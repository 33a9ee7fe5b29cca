"""What others do to the entities of the double."""

from typing import Any

from tests.gms.server import Gms


def overwrite(gms: Gms, urn: str, aspect_name: str, value: dict[str, Any]) -> None:
    """Store what another writer writes."""
    gms.shelf.put((urn, aspect_name), (value, None), queued=False)
    gms.shelf.begin_read()
    gms.aspects[urn, aspect_name] = value
    gms.index.put(urn, aspect_name, value)


def erase(gms: Gms, urn: str, aspect_name: str | None = None) -> None:
    """Lose an aspect, or delete an entity for good."""
    for key in [key for key in gms.aspects if key[0] == urn and aspect_name in {None, key[1]}]:
        gms.shelf.forget(key)
        del gms.aspects[key]
    if aspect_name is None:
        gms.index.remove(urn)
