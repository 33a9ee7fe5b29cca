"""Files that appear whole or not at all: written beside their place, then put there."""

import stat
from pathlib import Path

import msgspec

STDOUT = Path("-")


class Place(msgspec.Struct, frozen=True):
    """Where a file shall be in the end, and where it is written until then; the same for a pipe, a device or `-`."""

    final: Path
    draft: Path

    def settle(self) -> None:
        """Puts the draft in its place."""
        if self.draft != self.final:
            self.draft.replace(self.final)


def reason_of(error: OSError | ValueError) -> str:
    """Why a path cannot be used, in the system's words."""
    return getattr(error, "strerror", None) or str(error)


def place_of(path: Path) -> Place:
    """The place of a path. A link stays a link: what it leads to is replaced. Raises OSError or ValueError."""
    if path == STDOUT:
        return Place(path, path)
    final = path.resolve()
    if final.is_dir():
        raise IsADirectoryError(21, "Is a directory")
    if final.exists() and not stat.S_ISREG(final.stat().st_mode):
        return Place(final, final)
    return Place(final, final.with_name(final.name + ".part"))
