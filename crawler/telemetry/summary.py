"""The summary at the end of a crawl or a replay: what was read, written and skipped, what failed, where files are."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from crawler.http.traffic import Traffic
from crawler.settings.durations import human_seconds
from crawler.telemetry.logs import printable
from crawler.telemetry.report import Report, peak_rss_bytes
from crawler.telemetry.tally import FindingSummary

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

KINDS = (
    ("registered models", "registered_models", "mlModelGroup"),
    ("model versions", "model_versions", "mlModel"),
    ("experiments", "experiments", "container"),
    ("runs", "runs", "dataProcessInstance"),
    ("users", None, "platformResource"),
    ("datasets", None, "dataset"),
    ("model stages", None, "tag"),
)
"""MLflow's name, its key in `report.read`, DataHub's entity type."""

AMONG_OTHERS = ("prompts", "prompt_versions", "evaluation_datasets", "logged_models")
"""Keys in `report.read` of what is written as model groups, models and datasets; many servers have none of them."""

WHY = {
    "deleted": "MLflow lists it as deleted",
    "absent": "MLflow does not list it any more",
    "failure": "something failed",
    "threshold": "more is gone than fail_safe_threshold allows",
    "empty_listing": "MLflow's listing came back empty",
    "rights": "this account may have lost the right to see it",
    "still_there": "MLflow has it, but does not list it",
    "runs_unread": "not all of its runs could be read",
    "left_out": "the recipe does not choose it",
}
"""The reasons of stale removal in words."""

NAMES_SHOWN = 20
_KIB = 1024


class _Page(io.StringIO):
    """Text for a stream, which rich itself must not write to or flush.

    Where a pipe is broken, rich would redirect standard output, whichever it is, and end the process.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()


def print_summary(report: Report, *, report_path: Path | None, stream: TextIO) -> None:
    """Write the summary to a stream, plain if that is no terminal. Raises OSError."""
    from rich.console import Console  # noqa: PLC0415  rich takes 0.1 s, which --help must not wait for

    page = _Page(stream)
    console = Console(file=page, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty())
    _print_all(console, report, report_path)
    stream.write(page.getvalue())
    stream.flush()


def shortened(names: Sequence[str]) -> str:
    """Return names in one line, of many only the first ones and how many more there are."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def human_bytes(count: float) -> str:
    """Return a number of bytes in the unit that reads best."""
    for unit in ("B", "KiB", "MiB"):
        if count < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} GiB"


def _print_all(console: "Console", report: Report, report_path: Path | None) -> None:
    # The tags of the stages are written whatever MLflow says.
    if report.read.total() or report.skipped.total() or report.delivered.total() > report.delivered["tag"]:
        console.print(_proposals(report) if report.replayed else _entities(report))
    _print_workspaces(console, report)
    _print_choice(console, report)
    _print_stale(console, report)
    _print_traffic(console, report)
    for title, findings in (("Warnings", report.warnings), ("Failures", report.failures)):
        _print_findings(console, title, findings)
    if report.dead_letters:
        path = printable(str(report.dead_letters_path))
        console.print(f"Dead letters: {report.dead_letters:,} proposals in {path}; send them with `replay {path}`.")
    if report.unconfirmed:
        path = printable(str(report.unconfirmed_path))
        console.print(f"Not confirmed: {report.unconfirmed:,} entities in {path}; `replay {path} --unconfirmed` later.")
    if report_path is not None:
        console.print(f"Report: {printable(str(report_path))}")
    console.print(_verdict(report))
    if report.replayed is not None:
        console.print(_file_after_replay(report, printable(str(report.replayed))))


def _entities(report: Report) -> "Table":
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    written = report.mapped if report.dry_run else report.delivered
    for left, right in (("MLflow", "read"), ("DataHub", "to write" if report.dry_run else "written")):
        table.add_column(left, overflow="fold")
        table.add_column(right, justify="right", no_wrap=True)
    has_unchanged = bool(report.unchanged.total())
    if has_unchanged:
        table.add_column("unchanged", justify="right", no_wrap=True)
    for name, key, entity_type in KINDS:
        read = f"{report.read[key]:,}" if key else ""
        unchanged = [f"{report.unchanged[entity_type]:,}"] if has_unchanged else []
        table.add_row(name, read, entity_type, f"{written[entity_type]:,}", *unchanged)
    for key in AMONG_OTHERS:
        if report.read[key]:
            table.add_row(key.replace("_", " "), f"{report.read[key]:,}")
    for what, count in report.skipped.items():
        table.add_row(f"skipped: {what}", f"{count:,}")
    return table


def _proposals(report: Report) -> "Table":
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("File", "DataHub"):
        table.add_column(name, overflow="fold")
        table.add_column("proposals" if name == "File" else "entities", justify="right", no_wrap=True)
    table.add_row("read", f"{report.read['proposals']:,}", "", "")
    for what, count in report.skipped.items():
        table.add_row(f"skipped: {what}", f"{count:,}", "", "")
    for entity_type, count in sorted(report.delivered.items()):
        table.add_row("", "", entity_type, f"{count:,}")
    return table


def _file_after_replay(report: Report, path: str) -> str:
    """Say whether the file that was replayed is still needed. It is never changed."""
    if report.status not in {"success", "unconfirmed", "failures"}:
        return f"Keep {path}: it was not read to its end. Replay it again to have the rest."
    if skipped := sum(report.skipped.values()):
        return f"Keep {path}: the {skipped:,} proposals that were skipped are still there, and only there."
    if any(finding.code in {"unreadable_proposals", "dead_letters"} for finding in report.failures):
        return f"Keep {path}: some of it is only there."
    if report.dry_run:
        return f"Keep {path}: nothing was sent."
    has = {
        "failures": "DataHub has its proposals, but for the dead letters",
        "unconfirmed": "DataHub took its proposals; those that could not be confirmed are in another file, see above",
    }.get(report.status, "DataHub has all of its proposals")
    return f"{path} is no longer needed: {has}."


def _print_traffic(console: "Console", report: Report) -> None:
    if not report.replayed:
        console.print(_traffic("MLflow", report.mlflow, "received"))
    if report.dry_run:
        for line in _plan_lines(report):
            console.print(line)
    elif report.datahub.requests:
        console.print(f"{_traffic('DataHub', report.datahub, 'sent')}, {report.batches:,} batches")
    console.print(
        f"Took {human_seconds(report.duration)} ({'' if report.replayed else _runs_per_second(report)}"
        f"{_per_second(report, report.proposals)} proposals/s), at most {human_bytes(peak_rss_bytes())} of memory"
    )


def _plan_lines(report: Report) -> Iterator[str]:
    """Yield what a dry run foresees: what would be sent, and how long that takes at least."""
    plan = report.forecast
    if not plan.requests:
        return
    version = f" {printable(report.datahub.version)}" if report.datahub.version else ""
    lookups = f", about {count:,} to confirm them" if (count := plan.lookups(report.mapped)) else ""
    yield (
        f"DataHub{version} would get {plan.proposals.total():,} proposals with {plan.requests:,} requests, "
        f"{human_bytes(plan.bytes)}{lookups}"
    )
    least = plan.seconds(report.duration, report.mapped)
    if least is not None and plan.answer_s is not None:
        yield (
            f"Estimate: at least {human_seconds(least)}. Reading took {human_seconds(report.duration)}, and DataHub "
            f"takes {plan.answer_s:.3f} s for a small answer; how long for a full request, only a crawl shows."
        )


def _runs_per_second(report: Report) -> str:
    return f"{_per_second(report, report.read['runs'])} runs/s, "


def _per_second(report: Report, count: int) -> str:
    return f"{count / report.duration:,.0f}" if report.duration else "0"


def _traffic(name: str, traffic: Traffic, verb: str) -> str:
    version = f" {printable(traffic.version)}" if traffic.version else ""
    return (
        f"{name}{version}: {traffic.requests:,} requests, {traffic.retries:,} retries, "
        f"{human_bytes(traffic.bytes)} {verb}{_at_once(traffic)}"
    )


def _at_once(traffic: Traffic) -> str:
    if traffic.lowest_concurrency == traffic.highest_concurrency:
        return f", {traffic.concurrency} at once" if traffic.concurrency else ""
    return f", {traffic.lowest_concurrency} to {traffic.highest_concurrency} at once"


def _print_choice(console: "Console", report: Report) -> None:
    """Say what the recipe chooses, and in a dry run what it leaves out; MLflow does not tell what it filtered."""
    if not report.chosen:
        return
    console.print("\nThe recipe chooses; what it leaves out is neither written nor removed:")
    for option, value in report.chosen.items():
        _print_indented(console, 2, printable(f"{option}: {value}"))
    for what, samples in report.left_out.items() if report.dry_run else ():
        count = report.skipped[what]
        _print_indented(console, 2, f"{count:,} {what}:")
        for sample in samples:
            _print_indented(console, 6, printable(sample))
        if count > len(samples):
            _print_indented(console, 6, f"… and {count - len(samples):,} more")


def _print_workspaces(console: "Console", report: Report) -> None:
    """Name the workspaces that were read, and those that are left out."""
    if report.workspaces is None:
        return
    for title, names in (("Workspaces", report.workspaces.read), ("Left out", report.workspaces.left_out)):
        if names:
            console.print(f"{title}: {printable(shortened(names))}")


def _print_stale(console: "Console", report: Report) -> None:
    """Say what was removed, or would be, what was kept although MLflow does not list it, and why."""
    removed = "Would be removed from DataHub" if report.dry_run else "Removed from DataHub"
    kept = report.stale.of(is_removed=False)
    for title, counts in (
        (removed, report.stale.of(is_removed=True)),
        ("Kept in DataHub, although MLflow does not list it", [each for each in kept if each.why != "left_out"]),
        ("Kept in DataHub, as it is", [each for each in kept if each.why == "left_out"]),
    ):
        if not counts:
            continue
        console.print(f"\n{title}:")
        for each in counts:
            _print_indented(console, 2, f"{each.count:,} {each.entity_type}: {WHY[each.why]}")
            for sample in each.samples:
                _print_indented(console, 6, printable(sample))
            if each.count > len(each.samples):
                _print_indented(console, 6, f"… and {each.count - len(each.samples):,} more")


def _print_findings(console: "Console", title: str, findings: list[FindingSummary]) -> None:
    if not findings:
        return
    console.print(f"\n{title}:")
    for finding in findings:
        _print_indented(console, 2, f"{finding.count:,} × {finding.code}: {printable(finding.message)}")
        for sample in finding.samples:
            _print_indented(console, 6, printable(sample))
        if finding.samples and finding.count > len(finding.samples):
            _print_indented(console, 6, f"… and {finding.count - len(finding.samples):,} more")


def _print_indented(console: "Console", indent: int, text: str) -> None:
    """Print a text that wraps within its indentation on a terminal; elsewhere it stays one line, for grep."""
    from rich.padding import Padding  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    if console.soft_wrap:
        console.print(" " * indent + text)
    else:
        console.print(Padding(Text(text), (0, 0, 0, indent)))


def _verdict(report: Report) -> str:
    entities = sum(report.delivered.values())
    where = f" to {printable(report.output)}" if report.output else ""
    took = human_seconds(report.duration)
    unchanged = f", {report.unchanged.total():,} unchanged" if report.unchanged.total() else ""
    done = f"{entities:,} entities in {report.proposals:,} proposals delivered{where}{unchanged} in {took}."
    if report.status == "failed" and not report.proposals:
        done = f"Nothing was delivered{where}; it took {took}."
    if report.dry_run:
        done = f"Dry run: nothing was written; {sum(report.mapped.values()):,} entities would be."
    failed = sum(finding.count for finding in report.failures)
    return {
        "success": f"Done: {done}",
        "unconfirmed": f"Everything was taken; {report.unconfirmed:,} entities could not be confirmed in time. {done}",
        "failures": f"Not all: {failed:,} failed, see above. {done}",
        "failed": f"Failed: see above. {done}",
    }.get(report.status, f"Stopped before the end. {done}")
