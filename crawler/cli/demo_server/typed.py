"""How the user's own commands can be typed again, as this process was started."""

import shlex
import shutil
import sys
from pathlib import Path


def typed_command() -> str:
    """Return this program as it was typed: its name, a path to it, or `python -m crawler`."""
    program = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    if "-m" in program:
        return shlex.join(program)
    script = program[-1]
    return Path(script).name if shutil.which(Path(script).name) == script else shlex.quote(script)


def typed_python() -> str:
    """Return this environment's Python: below the working directory as a relative path, elsewhere as a whole one."""
    python = Path(sys.executable)
    folder = Path.cwd()
    return shlex.quote(str(python.relative_to(folder) if python.is_relative_to(folder) else python))
