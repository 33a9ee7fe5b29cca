"""Secrets that are kept elsewhere: the first line of a file, or of what a command prints. Errors never show them."""

import os
import selectors
import shlex
import signal
import subprocess
import time
from pathlib import Path

from crawler.atomic_files import reason_of
from crawler.config.settings import Secret
from crawler.errors import SettingsError

COMMAND_SECONDS = 30.0
LONGEST_SECRET = 65_536


def secret_in_file(path: Path, option: str) -> Secret:
    """The first line of a file, without the blanks around it. Raises SettingsError, naming the option."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_SECRET + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{option}: the file cannot be read: {reason_of(error)}.", "Check its path.") from None
    return _first_line(line, option, "the file")


def secret_of_command(command: str, option: str, seconds: float = COMMAND_SECONDS) -> Secret:
    """The first line that a command prints. No shell runs it, it has no input, and what it says on standard error is
    not shown. Raises SettingsError, naming the option, where it fails or takes longer.
    """
    try:
        process = subprocess.Popen(  # noqa: S603  whoever writes the recipe says what is run
            _words(command, option),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"{option}: the command cannot be started: {reason_of(error)}.",
            "Give a program and its arguments; no shell reads them.",
        ) from None
    with process:
        try:
            deadline = time.monotonic() + seconds
            printed = _printed(process, deadline, option)
            code = process.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise SettingsError(
                f"{option}: the command did not end within {seconds:g} s.",
                "It has no input: it must not ask for anything.",
            ) from None
        finally:
            _end(process)
    if code:
        ended = f"exit code {code}" if code > 0 else f"signal {-code}"
        raise SettingsError(f"{option}: the command ended with {ended}.", "Run it by hand to see why.")
    return _first_line(printed, option, "what the command prints")


def one_secret(given: Secret | None, file: Path | None, command: str | None, option: str) -> Secret | None:
    """The secret, from wherever it is kept. `option` is the name of the one that holds it itself."""
    if file is not None:
        return secret_in_file(file, f"{option}_file")
    if command is not None:
        return secret_of_command(command, f"{option}_command")
    return given


def require_one(given: dict[str, object]) -> None:
    """Raises SettingsError where more than one of the options, by name, says where the same secret is."""
    names = [name for name, value in given.items() if value]
    if len(names) > 1:
        raise SettingsError(f"{' and '.join(names)} give the same secret twice.", "Leave one of them out.")


def _words(command: str, option: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        raise SettingsError(f"{option}: a quote or a backslash is left open.") from None
    if not words:
        raise SettingsError(f"{option}: the command is empty.")
    return words


def _printed(process: "subprocess.Popen[bytes]", deadline: float, option: str) -> bytes:
    """All that the command prints. Raises TimeoutError, and SettingsError for more than any secret has."""
    output = process.stdout
    assert output is not None  # noqa: S101  it was asked for
    printed = b""
    with selectors.DefaultSelector() as selector:
        selector.register(output, selectors.EVENT_READ)
        while len(printed) <= LONGEST_SECRET:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            piece = os.read(output.fileno(), LONGEST_SECRET)
            if not piece:
                return printed
            printed += piece
    raise SettingsError(f"{option}: the command prints more than {LONGEST_SECRET:,} bytes.")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends the command, and what it started, where it goes on."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _first_line(content: bytes, option: str, where: str) -> Secret:
    line = content.partition(b"\n")[0].strip()
    if len(line) > LONGEST_SECRET:
        raise SettingsError(f"{option}: {where} has a first line of more than {LONGEST_SECRET:,} bytes.")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise SettingsError(f"{option}: {where} is not text in UTF-8.") from None
    if not text:
        raise SettingsError(f"{option}: {where} has nothing in its first line.")
    return Secret(text)
