"""Processes and what they cost: servers that keep running, and clients that run to their end."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
import psutil

START_SECONDS = 60
STOP_SECONDS = 10
POLL_SECONDS = 0.02
TOLD = 3_000


class CommandFailed(Exception):
    """A command did not do what the benchmark needs; the message has the end of its output."""


class Running:
    """A process that is under way, in a process group of its own."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path, log: Path) -> None:
        self.pid = process.pid
        self._process = process
        self._output = output
        self._log = log

    def cpu_seconds(self) -> float:
        """User and system seconds of the whole tree so far, ended children included."""
        return tree_cpu_seconds(self.pid)

    def peak_rss(self) -> int:
        """The most memory in bytes that the processes of the tree held, each at its own peak."""
        return tree_peak_rss(self.pid)

    def first_line(self) -> str:
        """The first line of its output, waited for. Raises CommandFailed where it ends or keeps silent."""
        self.wait_until(lambda: "\n" in self.output())
        return self.output().partition("\n")[0]

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Returns when it is ready. Raises CommandFailed where it ends before, or is not ready within a minute."""
        deadline = time.monotonic() + START_SECONDS
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise CommandFailed(f"{self._process.args!r} did not start:\n{(self.output() + self.log())[-TOLD:]}")
            time.sleep(POLL_SECONDS)

    def stop(self, patience: float = STOP_SECONDS) -> str:
        """Ends it by SIGTERM, waits for that and gives all of its output. Raises CommandFailed where that takes more
        than `patience` seconds.
        """
        self._process.terminate()
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{self._process.args!r} did not end within {patience:.0f} s of SIGTERM.") from error
        return self.output()

    def output(self) -> str:
        """What it wrote to its standard output so far."""
        return self._output.read_text(errors="replace")

    def log(self) -> str:
        """What it wrote to its standard error so far."""
        return self._log.read_text(errors="replace")


class Measured(msgspec.Struct):
    """A command that ran to its end: seconds of wall and CPU, peak memory in bytes of its largest process."""

    wall: float
    cpu: float
    peak_rss: int
    stdout: str
    stderr: str
    exit_code: int


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
) -> Iterator[Running]:
    """A process for as long as the context lasts; its whole group is ended with it.

    `environment` comes on top of ours; `user` is who it runs as, if not we.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        output, log = Path(folder, "stdout"), Path(folder, "stderr")
        with output.open("wb") as out, log.open("wb") as err:
            process = _started(command, out, err, environment=environment, cwd=cwd, user=user)
        try:
            yield Running(process, output, log)
        finally:
            _end(process)


def measured(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    user: str | None = None,
    expected: Sequence[int] = (0,),
    lifetime: float | None = None,
) -> Measured:
    """Runs a command to its end, or for `lifetime` seconds until it is killed (SIGKILL, exit code -9). Raises
    CommandFailed unless its exit code is an expected one.

    Peak memory is what `wait4` tells. The kernel counts the moment before the command's exec too, so it is never
    below our own memory: a benchmark that compares memory must stay small itself.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = _started(command, out, err, environment=environment, cwd=cwd, user=user)
        try:
            with _killed_after(lifetime, process):
                _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            _end(process)
            raise
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        _kill_group(process)
        stdout, stderr = _text(out), _text(err)
    if process.returncode not in expected:
        raise CommandFailed(f"{process.args!r} ended with {process.returncode}:\n{(stdout + stderr)[-TOLD:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Measured(wall, cpu, usage.ru_maxrss * 1024, stdout, stderr, process.returncode)


def tree_cpu_seconds(pid: int) -> float:
    """User and system seconds of a process and its descendants, those included that have ended and were waited for."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def tree_peak_rss(pid: int) -> int:
    """The sum of each process's own peak, in bytes."""
    total = 0
    for process in _tree(pid):
        with suppress(OSError):
            total += _high_water(Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace"))
    return total


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _high_water(status: str) -> int:
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _started(
    command: Sequence[str | Path],
    out: IO[bytes],
    err: IO[bytes],
    *,
    environment: Mapping[str, str] | None,
    cwd: Path | None,
    user: str | None,
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env=os.environ | dict(environment or {}),
        cwd=cwd,
        user=user,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the process, so that it can end its children in order, then SIGKILL to all that is left."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    _kill_group(process)
    process.wait()


@contextmanager
def _killed_after(lifetime: float | None, process: subprocess.Popen[bytes]) -> Iterator[None]:
    if lifetime is None:
        yield
        return
    timer = threading.Timer(lifetime, _kill_group, (process,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
