"""What a server says of itself never tricks the terminal of who asks."""

from types import SimpleNamespace
from typing import Any

import pytest

from crawler.cli import check
from crawler.cli import main as cli
from crawler.errors import WrongServer
from crawler.telemetry.report import Report
from tests.fuzz.promises import is_plain

TRICK = "3\x1b[2J\x9b31m\u202e"


def _shown(capsys: pytest.CaptureFixture[str]) -> list[str]:
    out, err = capsys.readouterr()
    return [line for line in (out + err).split("\n") if line]


def test_an_error_that_ends_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def redirected(_: object) -> int:
        raise WrongServer(f"MLflow redirects to http://{TRICK}.")

    monkeypatch.setitem(cli._COMMANDS, "crawl", redirected)
    assert cli.main(["crawl"]) == WrongServer.exit_code
    (line,) = _shown(capsys)
    is_plain(line)


async def test_what_check_finds(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def unreadable(_: object, report: Report) -> None:
        report.fail("unreadable_runs", "Runs cannot be read.", f"{TRICK}: Expected `str`")

    async def redirected(*_: object) -> None:
        raise WrongServer(f"DataHub redirects to http://{TRICK}.")

    monkeypatch.setattr(check, "_check_mlflow", unreadable)
    monkeypatch.setattr(check, "_check_sink", redirected)
    settings: Any = SimpleNamespace(run_id="r")
    await check._check(settings)
    lines = _shown(capsys)
    assert len(lines) == 2
    for line in lines:
        is_plain(line)
