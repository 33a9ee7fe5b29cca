"""The demo, as the README's first command runs it, in an environment with MLflow."""

import asyncio
import os
import subprocess
from pathlib import Path

import msgspec

from tests.servers.environments import mlflow_environment

ROOT = Path(__file__).parent.parent


async def test_the_demo_shows_counts_lineage_and_what_to_do_next(tmp_path: Path) -> None:
    # The packages of the tests beside an MLflow of the version that the demo's extra names.
    python = mlflow_environment("3.17.2") / "bin" / "python"
    packages = Path(msgspec.__file__).parents[1]
    process = await asyncio.create_subprocess_exec(
        *(str(python), "-m", "crawler", "demo", "--directory", str(tmp_path / "demo")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}{os.pathsep}{packages}"},
    )
    output, errors = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, errors
    assert "Done: 59 entities in 384 proposals delivered" in output
    way = output[output.index("Where the model churn-classifier in production comes from:") :]
    steps = [
        "hosted dataset: warehouse.customers  on snowflake",
        "─ dataset: warehouse.customers",
        "run: trial",
        "model version: churn-classifier_2 [Production]",
        "registered model: churn-classifier",
    ]
    assert [way.index(step) for step in steps] == sorted(way.index(step) for step in steps)
    assert "mlflow-datahub-crawler crawl --mlflow-uri http://localhost:5000" in output
    assert (tmp_path / "demo" / "datahub.db").exists()
    assert "Traceback" not in errors
