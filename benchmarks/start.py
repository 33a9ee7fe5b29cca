"""How long a user waits for the first sign of life: `--help`, and the first request of a crawl."""

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.processes import measured
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import ROOT

ROUNDS_A_REPEAT = 4
HELP_SECONDS = 0.1
REQUEST_SECONDS = 0.25
IMPORTS = ("-c", "import aiohttp, msgspec")
REFUSED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def run(quick: bool, repeats: int) -> Result:
    """Starts all three in turn, each time again."""
    rounds = repeats if quick else repeats * ROUNDS_A_REPEAT
    imports: list[float] = []
    helps: list[float] = []
    requests: list[float] = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        home = Path(name)
        for number in range(rounds):
            say(f"start, {number + 1} of {rounds}")
            imports.append(_wall(home, *IMPORTS))
            helps.append(_wall(home, "-m", "crawler", "--help"))
            requests.append(_until_request(home))
    help_more = [ours - theirs for ours, theirs in zip(helps, imports, strict=True)]
    request_more = [ours - theirs for ours, theirs in zip(requests, imports, strict=True)]
    rows = [
        Row('python -c "import aiohttp, msgspec"', "s", imports),
        Row("--help", "s", helps),
        Row("--help, more than the imports", "s", help_more, f"≤ {HELP_SECONDS} s").at_most(HELP_SECONDS),
        Row("first request of crawl", "s", requests),
        Row("first request, more than the imports", "s", request_more, f"≤ {REQUEST_SECONDS} s").at_most(
            REQUEST_SECONDS
        ),
    ]
    notes = [
        "All three in turn; the imports are of one and the same round.",
        "The first request is when its connection arrives, at whichever server.",
    ]
    return Result("start", "From the command to the first sign of life", rows, notes)


def _wall(home: Path, *arguments: str) -> float:
    return measured([sys.executable, *arguments], environment=_variables(home), cwd=home).wall


def _until_request(home: Path) -> float:
    """Seconds from the start of a crawl to its first connection, to whichever server. It is refused and ends."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        arrived: list[float] = []
        threading.Thread(target=_refuse, args=(listener, arrived), daemon=True).start()
        started = time.perf_counter()
        command = [sys.executable, "-m", "crawler", "crawl", "--mlflow-uri", url, "--datahub-url", url, "--no-progress"]
        measured(command, environment=_variables(home), cwd=home, expected=(3,))
    return arrived[0] - started


def _refuse(listener: socket.socket, arrived: list[float]) -> None:
    """Takes the time of each connection and answers that the credentials are refused, until the listener closes."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        arrived.append(time.perf_counter())
        with connection:
            connection.recv(65_536)
            connection.sendall(REFUSED)


def _variables(home: Path) -> dict[str, str]:
    """Nobody's own settings: an empty home has no ~/.datahubenv."""
    return {"HOME": str(home), "PYTHONPATH": str(ROOT)}
