"""What a server says of itself never tricks the terminal of who asks."""

from argparse import Namespace

import pytest

from crawler.cli import check
from crawler.cli.main import main as cli
from crawler.errors import WrongServer
from crawler.pipeline.check import CheckResult, DatahubCheck
from crawler.pipeline.check_mlflow import MlflowCheck
from crawler.telemetry.report import Report
from tests.fuzz.promises import is_plain
from tests.support.findings import fail

TRICK = "3\x1b[2J\x9b31m\u202e"


def _shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    return [line for line in (out + err).split("\n") if line]


def test_an_error_that_ends_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def redirected(_: object) -> int:
        raise WrongServer(f"MLflow redirects to http://{TRICK}.")

    monkeypatch.setattr("crawler.cli.crawl.crawl_command", redirected)
    assert cli(["crawl"]) == WrongServer.exit_code
    (line,) = _shown(capsys)
    is_plain(line)


def test_what_check_finds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def found(_: object) -> CheckResult:
        report = Report("r")
        fail(report, "unreadable_runs", "Runs cannot be read.", f"{TRICK}: Expected `str`")
        datahub = DatahubCheck(error=WrongServer(f"DataHub redirects to http://{TRICK}."))
        return CheckResult(MlflowCheck(), datahub, report.failures)

    monkeypatch.setattr(check, "check", found)
    monkeypatch.setattr(check, "settings_of", lambda _: None)
    check.check_command(Namespace(log_level="info", json=False))
    lines = _shown(capsys)
    assert len(lines) == 2
    for line in lines:
        is_plain(line)
