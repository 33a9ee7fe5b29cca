"""What all tests share: real MLflow servers, one a version for each process that runs tests."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.servers.filled import FilledServer, fill
from tests.servers.mlflow_server import MlflowServer, mlflow_server

GOLDEN = Path(__file__).parent / "golden"

# A mutant is killed by the first example that fails, whichever it is, but not by a busy machine (docs/mutation.md).
settings.register_profile(
    "mutation",
    phases=[Phase.explicit, Phase.generate],
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of tests/simulation runs."""
    parser.addoption("--seeds", type=int, default=1_000, help="simulate so many seeds (tests/simulation)")
    parser.addoption("--seed", type=int, default=None, help="simulate one seed and tell every exchange")


@pytest.fixture(autouse=True)
def dead_letters_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crawl's dead letters go to the working directory, where tests must leave nothing."""
    monkeypatch.setattr("crawler.delivery.delivery.DEFAULT_PATH", tmp_path / "dead-letters.jsonl")


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
                server = stack.enter_context(mlflow_server(version, folder))
                running[version] = FilledServer(server, fill(server, folder / "reported.json"))
            return running[version]

        yield serve
