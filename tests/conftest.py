"""What all tests share: real MLflow servers, one a version for the whole session."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.mlflow_server import MlflowServer, mlflow_server

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow 2.20.4 with the golden database."""
    folder = tmp_path_factory.mktemp("golden-server")
    with mlflow_server("2.20.4", folder, database=GOLDEN / "mlflow-2.20.4.db") as server:
        yield server


@pytest.fixture(scope="session")
def empty_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], MlflowServer]]:
    """A server of a version, started when first asked for and shared by all tests that ask."""
    running: dict[str, MlflowServer] = {}
    with ExitStack() as stack:

        def serve(version: str) -> MlflowServer:
            if version not in running:
                folder = tmp_path_factory.mktemp(f"mlflow-{version}")
                running[version] = stack.enter_context(mlflow_server(version, folder))
            return running[version]

        yield serve
