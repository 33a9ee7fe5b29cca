"""The demo, as the README's first command runs it, in an environment with MLflow."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from crawler.cli.demo import _hear_termination
from crawler.cli.demo_server.held_signals import signals_held_back
from crawler.cli.demo_server.server import mlflow_server
from crawler.cli.interruption import terminating_signals
from crawler.errors import SettingsError, Unreachable
from tests.servers.environments import DEMO, PYTHON, mlflow_environment
from tests.support.commands import run
from tests.support.crawls import ROOT, plain_environment

beside_mlflow = pytest.mark.skipif(
    sys.version_info[:2] != tuple(map(int, PYTHON.split("."))),
    reason=f"the tests' packages run in MLflow's environment, which has Python {PYTHON}",
)


async def start_demo(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The packages of the tests beside an MLflow of the version that the demo's extra names."""
    python = mlflow_environment(DEMO) / "bin" / "python"
    packages = Path(msgspec.__file__).parents[1]
    # It is measured where the tests are.
    (folder / "sitecustomize.py").write_text("import coverage\n\ncoverage.process_startup()\n")
    (folder / "temporary").mkdir()
    paths = os.pathsep.join(map(str, (folder, ROOT, packages)))
    return await asyncio.create_subprocess_exec(
        *(str(python), "-m", "crawler", "demo", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=plain_environment(folder, {"PYTHONPATH": paths, "TMPDIR": str(folder / "temporary")}),
    )


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def type_again(command: str) -> str:
    """What a command that the demo printed writes, where the demo's packages are found."""
    paths = os.pathsep.join(map(str, (ROOT, Path(msgspec.__file__).parents[1])))
    process = await asyncio.create_subprocess_shell(
        command, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"], "PYTHONPATH": paths}
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


@pytest.mark.slow
@beside_mlflow
async def test_the_demo_shows_counts_lineage_and_what_to_do_next(tmp_path: Path) -> None:
    process = await start_demo(tmp_path)
    output, errors = (text.decode() for text in await process.communicate())
    assert process.returncode == 0, errors
    assert "Done: 59 entities in 384 proposals delivered" in output
    way = output[output.index("Where the model churn-classifier in production comes from:") :]
    steps = [
        "hosted dataset: warehouse.customers  on snowflake",
        "─ dataset: warehouse.customers  [training]",
        "run: trial",
        "model version: churn-classifier_2 [Production]",
        "registered model: churn-classifier",
    ]
    assert [way.index(step) for step in steps] == sorted(way.index(step) for step in steps)
    assert "Traceback" not in errors
    python = str(mlflow_environment(DEMO) / "bin" / "python")
    # The summary's last line is one line for grep where there is no terminal.
    without_paths = output.replace(str(tmp_path), "").replace(python, "")
    assert [line for line in without_paths.splitlines() if len(line) > 80 and not line.startswith("Done: ")] == []
    assert f"  {python} -m crawler crawl \\\n    --mlflow-uri http://localhost:5000 -o proposals.json\n" in output
    # Neither DataHub nor MLflow leaves anything in the home folder.
    assert names_in(tmp_path) == {"sitecustomize.py", "__pycache__", "temporary"}
    lines = output[output.index("Look at it") :].splitlines()
    assert "mlmodels" in (await type_again("\n".join(lines[1:3]))).splitlines()
    assert "churn-classifier_2" in await type_again("\n".join(lines[3:5]))


@pytest.mark.slow
@beside_mlflow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Starting", signal.SIGTERM),
        ("Crawling", signal.SIGTERM),
        ("Crawling", signal.SIGHUP),
    ],
)
async def test_a_signal_takes_the_demos_server_and_folder_with_it(
    tmp_path: Path, moment: str, number: signal.Signals
) -> None:
    process = await start_demo(tmp_path)
    assert process.stdout is not None
    while not (line := await process.stdout.readline()).startswith(moment.encode()):
        assert line, (await process.communicate())[1].decode()
    process.send_signal(number)
    _, errors = await process.communicate()
    assert process.returncode == 143, errors.decode()
    assert "Traceback" not in errors.decode()
    assert list((tmp_path / "temporary").iterdir()) == []
    left = [each for each in psutil.process_iter(["cmdline"]) if str(tmp_path) in " ".join(each.info["cmdline"] or ())]
    # Killed they are by now, but a process takes a moment to end.
    _, alive = psutil.wait_procs(left, timeout=10)
    assert alive == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_crawl_is_heard_too(number: signal.Signals) -> None:
    """An event loop that ends leaves its signals to the system."""
    before = {each: signal.getsignal(each) for each in terminating_signals()}
    try:
        _hear_termination()
        with signals_held_back(terminating_signals()):
            signal.signal(number, signal.SIG_DFL)
        with pytest.raises(SystemExit):
            signal.raise_signal(number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


async def test_a_folder_that_is_there_is_not_filled(tmp_path: Path) -> None:
    code, _, errors = await run("demo", "--directory", tmp_path, folder=tmp_path)
    assert code == 2
    assert f"Cannot make the folder {tmp_path}: File exists. Name a new one." in errors


def install(program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `python -m mlflow` run a program."""
    (folder / "mlflow").mkdir()
    (folder / "mlflow" / "__init__.py").touch()
    (folder / "mlflow" / "__main__.py").write_text(program)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(folder)


def test_the_demo_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(SettingsError, match=r"needs MLflow itself\. pip install 'mlflow-datahub-crawler\[demo\]'"):
        mlflow_server(tmp_path).__enter__()


def test_a_server_that_does_not_come_up_is_told_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("print('starting')\nraise SystemExit('no memory left')", tmp_path, monkeypatch)
    with pytest.raises(Unreachable, match=r"did not start; its log is .*mlflow\.log\. no memory left"):
        mlflow_server(tmp_path).__enter__()


DEAF = """
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

signal.signal(signal.SIGTERM, signal.SIG_IGN)
HTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Health).serve_forever()
"""


def test_a_server_that_does_not_heed_its_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(DEAF, tmp_path, monkeypatch)
    monkeypatch.setattr("crawler.cli.demo_server.server.STOP_SECONDS", 0.2)
    before = set(psutil.Process().children())
    with mlflow_server(tmp_path):
        (server,) = set(psutil.Process().children()) - before
    assert not server.is_running()
