"""The files that a command writes: where they go, each apart from the others, written whole or not at all."""

import os
from errno import EACCES
from pathlib import Path

import msgspec
import orjson

from crawler.atomic_files import STDOUT, AtomicFile, atomic_file, open_for_owner, reason_of, temp_path_of
from crawler.config.settings import DeliverySettings, Settings
from crawler.delivery.dead_letters import unconfirmed_beside
from crawler.errors import OutputError, SettingsError


def place_for(path: Path | None, what: str) -> AtomicFile | None:
    """Return where a report or profile goes. Raises SettingsError for a path that cannot be written."""
    if path is None:
        return None
    try:
        place = atomic_file(path)
        if not place.path.parent.is_dir():
            raise FileNotFoundError(2, "No such folder")
        _require_writable(place)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"Cannot write the {what} {path}: {reason_of(error)}.", "Give the path of a file in a folder that exists."
        ) from None
    return place


def _require_writable(place: AtomicFile) -> None:
    """Raise OSError if the file could not be written: found out after a crawl, that would cost its report."""
    if place.temp_path == place.path:
        # A pipe would wait for its reader.
        if place.path != STDOUT and not os.access(place.path, os.W_OK):
            raise PermissionError(EACCES, "Permission denied")
        return
    is_new = not place.temp_path.exists()
    os.close(open_for_owner(place.temp_path, os.O_WRONLY))
    if is_new:
        place.temp_path.unlink()


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


def write_json(what: str, content: dict[str, object], place: AtomicFile | None) -> None:
    """Write JSON, whole or not at all, for the owner only. Raises OutputError."""
    if place is None:
        return
    text = orjson.dumps(content, default=msgspec.to_builtins, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    try:
        with open(place.temp_path, "wb", opener=open_for_owner) as file:
            file.write(text)
        place.publish()
    except OSError as error:
        raise OutputError(f"Writing the {what} {place.path} failed: {error.strerror}.", "Give another path.") from None
