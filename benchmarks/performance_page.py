"""The figures in docs/performance.md and the README, generated from the kept results: nobody types a number."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.results import Result, Row, figure, read

RESULTS = Path(__file__).parent / "results"
ROOT = Path(__file__).parent.parent
BEGIN, END = "<!-- figures: python -m benchmarks document -->", "<!-- end of figures -->"
COMPARED = ("wall", "client CPU", "MLflow CPU", "client peak RSS", "requests to MLflow")
MAIN = (
    "1,000 runs, as shipped: wall",
    "20,000 runs, no stall: wall",
    "20,000 runs, no stall: client CPU",
    "20,000 runs, no stall: MLflow CPU",
    "20,000 runs, no stall: requests to MLflow",
)
REACHED = {True: "yes", False: "**no**", None: ""}


class NoMarks(Exception):
    """The page has no place for the figures; the message names the lines that it needs."""


def renew_all() -> None:
    """Renew docs/performance.md and the README's main figures."""
    renew(ROOT / "docs" / "performance.md")
    renew(ROOT / "README.md", main_only=True)


def renew(page: Path, results: Path = RESULTS, *, main_only: bool = False) -> None:
    """Replace the page's figures by those of all results. Raises NoMarks if it has no place for them."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"{page.name} needs the lines {BEGIN!r} and {END!r}, between which the figures go.")
    found = [read(path) for path in sorted(results.glob("*.json"))]
    lines = main_figures(found) if main_only else figures(found)
    page.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")


def figures(results: list[Result]) -> Iterator[str]:
    """Return Markdown lines: both crawlers side by side, targets, and the origin of the figures."""
    for result in results:
        if result.benchmark == "peer":
            yield from _comparison(result.rows)
    judged = [row for result in results for row in result.rows if row.target]
    if judged:
        yield from ("", "| measure | target | median (minimum–maximum) | reached |", "| --- | --- | --- | --- |")
        for row in judged:
            yield f"| {row.name} | {row.target} | {_spread(row)} | {REACHED[row.reached]} |"
    yield ""
    yield from _sources(results)


def main_figures(results: list[Result]) -> Iterator[str]:
    """Return Markdown lines: the few measures by which both crawlers are compared first."""
    for result in results:
        if result.benchmark == "peer":
            yield from _comparison([row for row in result.rows if row.name.rpartition(", ")[0] in MAIN])


def _comparison(rows: list[Row]) -> Iterator[str]:
    """Return a table with one line for each measure of each case, from three rows of the result."""
    yield from ("", "| | official connector | this crawler | ratio |", "| --- | --- | --- | --- |")
    named = {row.name: row for row in rows}
    for name in named:
        case_and_measure, comma, side = name.rpartition(", ")
        if comma and side == "official" and case_and_measure.rpartition(": ")[2] in COMPARED:
            cells = (_spread(named[f"{case_and_measure}, {each}"]) for each in ("official", "ours", "ratio"))
            yield f"| {case_and_measure} | {' | '.join(cells)} |"


def _spread(row: Row) -> str:
    median = f"{figure(row.median)} {row.unit}"
    if row.minimum == row.maximum:
        return median
    return f"{median} ({figure(row.minimum)}–{figure(row.maximum)})"


def _sources(results: Iterable[Result]) -> Iterator[str]:
    for result in results:
        machine = ", ".join(f"{name} {value}" for name, value in (result.machine | result.versions).items())
        yield f"- `{result.command}`, {result.started_at[:10]}: {machine}."
