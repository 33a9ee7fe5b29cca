"""A real MLflow with its own basic-auth app and the administrator that it makes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.mlflow_server import MlflowServer, mlflow_server

ADMIN, PASSWORD = "admin", "password1234"


@contextmanager
def guarded_server(folder: Path, permission: str = "READ") -> Iterator[MlflowServer]:
    """Serves a new database; everyone has the `permission` that nobody was given or denied."""
    folder.mkdir(parents=True, exist_ok=True)
    ini = folder / "auth.ini"
    ini.write_text(
        f"[mlflow]\ndefault_permission = {permission}\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = {ADMIN}\nadmin_password = {PASSWORD}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    environment = {"MLFLOW_AUTH_CONFIG_PATH": str(ini), "MLFLOW_FLASK_SERVER_SECRET_KEY": "tests"}
    options = ["--app-name", "basic-auth"]
    with mlflow_server("2.20.4", folder / "server", options=options, environment=environment) as server:
        yield server
