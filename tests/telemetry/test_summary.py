"""The summary off a terminal, where it is grepped, and on terminals of any width, where it is read."""

import io
from pathlib import Path

import pytest

from crawler.settings.durations import human_seconds
from crawler.telemetry.events import (
    Outcome,
    Outcomes,
    RowsRead,
    RowsSkipped,
    StaleFound,
    Started,
    WorkspacesChosen,
    rows_left_out,
)
from crawler.telemetry.report import Report
from crawler.telemetry.summary import human_bytes, print_summary
from tests.support.findings import fail, warn

LONG = "The reason is long and " + "goes on and " * 20 + "ends here."


class Terminal(io.StringIO):
    """Standard error as a person has it."""

    def isatty(self) -> bool:
        return True


def shown(report: Report, report_path: Path | None = None) -> str:
    stream = io.StringIO()
    print_summary(report, report_path=report_path, stream=stream)
    return stream.getvalue()


def shown_on_terminal(report: Report, width: int, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": str(width), "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    print_summary(report, report_path=None, stream=stream)
    return stream.getvalue()


def finished(status: str = "success") -> Report:
    """10 s of work, to the tick."""
    report = Report("r")
    report.finish(status)
    report._finished = report._started + 10.0
    return report


def words(text: str) -> str:
    return " ".join(text.split())


def test_nothing_was_read() -> None:
    text = shown(finished())
    assert text.splitlines()[-1] == "Done: 0 entities in 0 proposals delivered in 10.0 s."
    assert "Warnings" not in text
    assert "Failures" not in text


def test_what_was_read_stands_beside_what_was_written() -> None:
    report = finished()
    report.read["registered_models"] = 1_234
    report.delivered["mlModelGroup"] = 1_230
    assert "registered models 1,234 mlModelGroup 1,230" in words(shown(report))


def test_workspaces_are_named_the_first_of_many() -> None:
    report = finished()
    report(WorkspacesChosen([f"team-{number}" for number in range(25)], ["other"]))
    text = shown(report)
    assert "Workspaces: team-0, team-1, " in text
    assert "team-19 and 5 more\nLeft out: other\n" in text
    assert "Workspaces" not in shown(finished())


def test_prompts_and_traces_have_lines_where_there_are_any() -> None:
    report = finished()
    report.read["runs"] = 1
    assert "prompt" not in shown(report)
    report(RowsRead("prompts", 2))
    report(RowsRead("prompt_versions", 1_003))
    report(RowsSkipped("traces (counted, not read)", 7))
    assert "prompts 2 prompt versions 1,003 skipped: traces (counted, not read) 7" in words(shown(report))


def test_what_has_not_changed_stands_beside_both() -> None:
    report = finished()
    report(Started("r", since=1_700_000_000_123))
    assert "unchanged" not in shown(report)
    report.read["runs"], report.delivered["dataProcessInstance"] = 12, 2
    for count in (4, 6):
        runs = [Outcome("dataProcessInstance", f"run {number}", 0, is_unchanged=True) for number in range(count)]
        report(Outcomes(runs))
    text = words(shown(report))
    assert "DataHub written unchanged" in text
    assert "runs 12 dataProcessInstance 2 10" in text
    assert text.endswith("Done: 2 entities in 0 proposals delivered, 10 unchanged in 10.0 s.")
    assert report.runs_done == 12
    assert (report.to_dict()["unchanged"], report.to_dict()["since"]) == (
        {"dataProcessInstance": 10},
        "2023-11-14T22:13:20.123+00:00",
    )


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_is_chosen_and_in_a_dry_run_what_is_left_out(dry_run: bool) -> None:
    report = finished()
    assert "chooses" not in shown(report)
    report(Started("r", dry_run, chosen={"runs_since": "30d", "include.runs": "false"}))
    for page in (["tmp-1", "tmp-2"], ["x"] * 5):
        report(rows_left_out("registered_models", page, str.upper))
    report(StaleFound("container", "left_out", is_removed=False, urns=["urn:li:container:a"]))
    text = shown(report)
    assert "  runs_since: 30d\n  include.runs: false\n" in text
    names = "\n      TMP-1\n      TMP-2\n      X\n      X\n      X\n      … and 2 more\n"
    assert (f"  7 registered models left out:{names}" in text) is dry_run
    assert "Kept in DataHub, as it is:\n  1 container: the recipe does not choose it\n" in text
    assert "although MLflow does not list it" not in text
    shown_report = report.to_dict()
    assert shown_report["chosen"] == {"runs_since": "30d", "include.runs": "false"}
    assert shown_report["left_out"] == {"registered models left out": ["TMP-1", "TMP-2", "X", "X", "X"]}
    assert shown_report["skipped"] == {"registered models left out": 7}


def test_both_servers_with_their_versions_traffic_and_rates() -> None:
    report = finished()
    report.mlflow.version, report.mlflow.requests, report.mlflow.bytes = "3.17.2", 1_200, 3 * 2**20
    report.datahub.version, report.datahub.requests, report.datahub.retries = "v1.1.0", 500, 7
    report.batches = 480
    report.read["runs"], report.tally.proposals = 12_000, 96_000
    text = shown(report)
    assert "MLflow 3.17.2: 1,200 requests, 0 retries, 3.0 MiB received" in text
    assert "DataHub v1.1.0: 500 requests, 7 retries, 0 B sent, 480 batches" in text
    assert "Took 10.0 s (1,200 runs/s, 9,600 proposals/s), at most" in text


def test_no_line_on_a_datahub_that_was_not_asked() -> None:
    assert "DataHub:" not in shown(finished())


def test_where_the_output_and_the_report_are() -> None:
    report = finished()
    report.output = "http://datahub:8080"
    report.delivered["mlModel"], report.tally.proposals = 12_345, 96_000
    assert shown(report, Path("/tmp/report.json")).splitlines()[-2:] == [
        "Report: /tmp/report.json",
        "Done: 12,345 entities in 96,000 proposals delivered to http://datahub:8080 in 10.0 s.",
    ]


def test_a_dry_run_says_that_nothing_was_written() -> None:
    report = finished()
    report.dry_run = True
    report.output = "http://datahub:8080"
    report.mapped["mlModel"] = 3
    last = shown(report).splitlines()[-1]
    assert last == "Done: Dry run: nothing was written; 3 entities would be."


def test_off_a_terminal_a_message_stays_one_line() -> None:
    report = finished("failures")
    fail(report, "urn", LONG, "sample " + "x" * 300)
    assert f"  1 × urn: {LONG}" in shown(report).splitlines()
    assert "      sample " + "x" * 300 in shown(report).splitlines()


@pytest.mark.parametrize("width", [30, 46, 80, 200])
def test_on_a_terminal_nothing_is_cut(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    report = finished("failures")
    report.read["runs"] = 1_234_567
    fail(report, "urn", LONG, "sample " + "x" * 300)
    text = shown_on_terminal(report, width, monkeypatch)
    assert max(map(len, text.splitlines())) <= width
    assert LONG in words(text)
    assert text.count("x") >= 300
    assert "…" not in text
    assert "1,234,567" in text


def test_on_a_terminal_what_is_wrapped_stays_indented(monkeypatch: pytest.MonkeyPatch) -> None:
    report = finished("failures")
    fail(report, "urn", "Too long.", "y" * 300)
    lines = [line for line in shown_on_terminal(report, 60, monkeypatch).splitlines() if "yy" in line]
    assert len(lines) > 1
    assert all(line.startswith("      y") for line in lines)


@pytest.mark.parametrize("width", [None, 80])
def test_names_from_servers_are_neither_markup_nor_commands(width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    report = finished("failures")
    report.output = "http://a/\x1b[31m[red]x"
    report.mlflow.version = "3\x1b[2J"
    fail(report, "x", "[bold]kept[/bold] :smile: [/]", "name\r\n\x1b]0;title\x07 \u202e\x9b31m")
    text = shown(report) if width is None else shown_on_terminal(report, width, monkeypatch)
    for kept in ("[bold]kept[/bold] :smile: [/]", "[red]x"):
        assert kept in text
    assert not set("\x1b\x07\r\u202e\x9b") & set(text)


def test_the_summary_names_what_was_skipped_and_what_failed() -> None:
    report = Report("r")
    report.skipped["deleted runs"] = 7
    warn(report, "careful", "Something to know.", "sample one")
    for number in range(9):
        fail(report, "urn", "Too long.", f"urn:{number}")
    report.finish("failures")
    text = shown(report)
    for expected in (
        "skipped: deleted runs",
        "1 × careful: Something to know.",
        "9 × urn: Too long.",
        "urn:4",
        "… and 4 more",
    ):
        assert expected in text
    assert "urn:5" not in text
    assert text.rstrip().splitlines()[-1].startswith("Not all: 9 failed")


@pytest.mark.parametrize(
    ("status", "verdict"), [("success", "Done:"), ("failed", "Failed:"), ("interrupted", "Stopped before the end.")]
)
def test_the_verdict(status: str, verdict: str) -> None:
    report = Report("r")
    report.finish(status)
    assert shown(report).rstrip().splitlines()[-1].startswith(verdict)


def test_numbers_for_people() -> None:
    assert [human_bytes(count) for count in (5, 2_048, 3 * 2**20, 2**31)] == ["5 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]
    assert [human_seconds(seconds) for seconds in (1.25, 61, 3_725)] == ["1.2 s", "1m01s", "1h02m"]
