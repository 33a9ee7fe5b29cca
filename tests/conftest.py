"""What all tests share: real MLflow servers, one a version for each process that runs tests."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.servers.environments import DEMO
from tests.servers.filled import EVERYTHING, FilledServer
from tests.servers.filled import filled_server as serve_filled
from tests.servers.mlflow_server import MlflowServer, mlflow_server

# Else each of the processes that tests start would compile all that it imports: a third of their time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

GOLDEN = Path(__file__).parent / "golden"
LONGEST = {Path(__file__).parent / name for name in ("torture/test_torture.py", "performance/test_benchmarks.py")}
"""Minutes each: one process runs a whole file, and the last to begin should not be one of these."""

REAL_SERVERS = {"golden_server", "filled_server", "server_with_everything"}
"""The fixtures that start an MLflow server, which takes seconds; the first time also its environment is built."""

# No test may fail because the machine is busy, or by chance for who changed something else: `thorough` draws anew each
# time, the others the same examples. --hypothesis-profile names another profile than these.
settings.register_profile("thorough", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("tests", settings.get_profile("thorough"), max_examples=50, derandomize=True)
settings.register_profile("fast", settings.get_profile("tests"), max_examples=10)
settings.load_profile("tests")

# A mutant is killed by the first example that fails, whichever it is, but not by a busy machine (docs/mutation.md).
settings.register_profile(
    "mutation",
    phases=[Phase.explicit, Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of tests/simulation and tests/torture runs."""
    parser.addoption("--seeds", type=int, default=60, help="simulate so many seeds (tests/simulation)")
    parser.addoption("--all-faults", action="store_true", help="let each fault strike everywhere (tests/torture)")
    parser.addoption("--seed", type=int, default=None, help="simulate one seed and tell every exchange")


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples of each property where the slow tests are left out."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        # Below nohup all commands that tests start would ignore it; what is heard here, they hear too.
        signal.signal(signal.SIGHUP, lambda *_: None)
    if config.option.markexpr == "not slow" and not config.getoption("--hypothesis-profile"):
        settings.load_profile("fast")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test that needs a real MLflow server as slow; files with slow tests are run first, in full, the longest
    before the others.

    What is quick fills the time until the last of them ends.
    """
    for item in items:
        if isinstance(item, pytest.Function) and REAL_SERVERS & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (item.path not in LONGEST, item.path not in slow))


@pytest.fixture(autouse=True)
def dead_letters_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl's dead letters go to the working directory, where tests must leave nothing."""
    monkeypatch.setattr("crawler.delivery.dead_letters.FOLDER", tmp_path)


@pytest.fixture(scope="session")
def golden_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow 2.20.4 with the golden database."""
    folder = tmp_path_factory.mktemp("golden-server")
    with mlflow_server("2.20.4", folder, database=GOLDEN / "mlflow-2.20.4.db") as server:
        yield server


@pytest.fixture(scope="session")
def filled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], FilledServer]]:
    """A server of a version with all that a crawl should meet, and what that version's own client says is there."""
    running: dict[str, FilledServer] = {}
    with ExitStack() as stack:

        def serve(version: str) -> FilledServer:
            if version not in running:
                folder = tmp_path_factory.mktemp(f"filled-{version}")
                running[version] = stack.enter_context(serve_filled(version, folder))
            return running[version]

        yield serve


@pytest.fixture(scope="session")
def server_with_everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FilledServer]:
    """MLflow 3.17.2 with one of everything, and ids and texts of what is there."""
    folder = tmp_path_factory.mktemp("everything")
    with serve_filled(DEMO, folder, EVERYTHING) as filled:
        yield filled
