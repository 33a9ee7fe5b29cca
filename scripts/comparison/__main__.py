"""`python -m scripts.comparison` starts the servers, runs both crawlers on each and writes the page."""

import sys
import tempfile
from pathlib import Path

from crawler.settings.selection import Include
from scripts.comparison.crawls import compare
from scripts.comparison.page import PAGE, ServerComparison, render
from tests.conftest import GOLDEN
from tests.servers.environments import DEMO
from tests.servers.filled import EVERYTHING, fill
from tests.servers.mlflow_server import mlflow_server

OPTIONS = {
    "include": dict.fromkeys(Include.__struct_fields__, True),
    "owner": {"tags": ["mlflow.user"]},
    "link_to_mlflow": True,
    "model_tags": ["stage", "alias"],
}
"""Of this crawler's source on the server that has everything: all that make it deliver more."""
ACCESS_LOG = ("--gunicorn-opts", "--access-logfile -")
"""Of MLflow 2, which keeps none unless asked."""


def main() -> None:
    """Write the page."""
    with tempfile.TemporaryDirectory(prefix="comparison-") as folder:
        servers = [_golden(Path(folder, "golden")), _everything(Path(folder, "everything"))]
    PAGE.write_text(render(servers))


def _golden(folder: Path) -> ServerComparison:
    sys.stderr.write("MLflow 2.20.4\n")
    with mlflow_server("2.20.4", folder, database=GOLDEN / "mlflow-2.20.4.db", options=ACCESS_LOG) as server:
        return compare(
            server,
            folder,
            "MLflow 2.20.4",
            "The database of `tests/golden`: 24 runs, models with versions in all stages, aliases, datasets.",
        )


def _everything(folder: Path) -> ServerComparison:
    sys.stderr.write(f"MLflow {DEMO}\n")
    with mlflow_server(DEMO, folder) as server:
        made = fill(server, folder / "made.json", EVERYTHING)
        return compare(
            server,
            folder,
            f"MLflow {DEMO}",
            "One of everything, made through MLflow's own client by `tests/servers/everything.py`.",
            OPTIONS,
            made["texts"],
        )


if __name__ == "__main__":
    main()
