"""JSON files that are written at the end of a job, whole or not at all, and tried before it."""

import os
from errno import EACCES
from pathlib import Path

import msgspec
import orjson

from crawler.atomic_files import STDOUT, AtomicFile, atomic_file, open_for_owner, reason_of
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
