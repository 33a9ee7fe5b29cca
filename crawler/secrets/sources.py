"""Reads secrets: the first line of a file or of what a command prints, or a new token. Errors never show them."""

import os
import selectors
import shlex
import signal
import subprocess
import time
from pathlib import Path

from crawler.atomic_files import reason_of
from crawler.errors import SettingsError
from crawler.secrets.secret import Secret, SecretSource
from crawler.secrets.token_providers import token_of_provider

COMMAND_SECONDS = 30.0
LONGEST_SECRET = 65_536


def read_secret(source: SecretSource) -> Secret:
    """Return a secret from its file, command or provider. Raises SettingsError with the option's name."""
    if source.provider is not None:
        return token_of_provider(source.provider, source.option)
    if source.file is not None:
        return secret_in_file(source.file, source.option)
    return secret_of_command(source.command or "", source.option)


def secret_in_file(path: Path, option: str) -> Secret:
    """Return the first line of a file, stripped. Raises SettingsError with the option."""
    try:
        with path.open("rb") as file:
            line = file.readline(LONGEST_SECRET + 1)
    except (OSError, ValueError) as error:
        raise SettingsError(f"{option}: the file cannot be read: {reason_of(error)}.", "Check its path.") from None
    return _first_line(line, option, "the file")


def secret_of_command(command: str, option: str, seconds: float = COMMAND_SECONDS) -> Secret:
    """Return the first line that a command prints, stripped.

    No shell runs it, its standard input is empty, and its standard error is not shown. Raises SettingsError with the
    option if it fails or takes more than `seconds`.
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


def _words(command: str, option: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError:
        raise SettingsError(f"{option}: a quote or a backslash is left open.") from None
    if not words:
        raise SettingsError(f"{option}: the command is empty.")
    return words


def _printed(process: "subprocess.Popen[bytes]", deadline: float, option: str) -> bytes:
    """Return all that the command prints. Raises TimeoutError, and SettingsError if it is too much for a secret."""
    output = process.stdout
    assert output is not None  # noqa: S101  it is a pipe
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
    """Kill the command and all that it started, if it still runs."""
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
