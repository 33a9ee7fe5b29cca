"""The files that a command writes: where they go, each apart from the others."""

from pathlib import Path

from crawler.atomic_files import AtomicFile, temp_path_of
from crawler.delivery.dead_letters import unconfirmed_beside
from crawler.errors import SettingsError
from crawler.settings.crawl import DeliverySettings, Settings


def output_of(settings: DeliverySettings) -> AtomicFile | None:
    """Return where proposals go, if that is a file."""
    if settings.dry_run or settings.sink.output_file is None:
        return None
    path = settings.sink.output_file.resolve()
    return AtomicFile(path, temp_path_of(path))


def grows_at(path: Path | None) -> AtomicFile | None:
    """Return the place of a file that is added to, so it is written where it is."""
    return None if path is None else AtomicFile(path.resolve(), path.resolve())


def letters_of(dead_letters: Path | None) -> dict[str, AtomicFile | None]:
    """Return the places of the dead letters and of what is not confirmed, where they are not the default ones."""
    unconfirmed = None if dead_letters is None else unconfirmed_beside(dead_letters)
    return {"dead_letters": grows_at(dead_letters), "unconfirmed": grows_at(unconfirmed)}


def checkpoint_of(settings: Settings) -> dict[str, AtomicFile | None]:
    """Return the place of the checkpoint of stale removal, if that is a file."""
    place = None if settings.removal is None or settings.dry_run else settings.removal.checkpoint
    if not isinstance(place, Path):
        return {}
    path = place.resolve()
    return {"checkpoint": AtomicFile(path, temp_path_of(path))}


def require_apart(**places: AtomicFile | None) -> None:
    """Raise SettingsError if two files would overwrite each other; the names are what messages call them."""
    taken: dict[Path, str] = {}
    for name, place in places.items():
        if place is None:
            continue
        what = name.replace("_", " ")
        for path in {place.path, place.temp_path}:
            if path in taken:
                raise SettingsError(f"The {taken[path]} and the {what} are both {path}.", "Give them two paths.")
        taken |= dict.fromkeys((place.path, place.temp_path), what)
