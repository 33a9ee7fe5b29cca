"""The README's figures, generated from the results that are kept: nobody types a number."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from benchmarks.results import Result, Row, figure, read

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- figures: python -m benchmarks readme -->", "<!-- end of figures -->"
COMPARED = ("wall", "client CPU", "MLflow CPU", "client peak RSS", "requests to MLflow")
REACHED = {True: "yes", False: "**no**", None: ""}


class NoMarks(Exception):
    """The README has no place for the figures; the message says which lines it needs."""


def renew(readme: Path = README, results: Path = RESULTS) -> None:
    """Puts the figures of all results into the README. Raises NoMarks where it has no place for them."""
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoMarks(f"{readme.name} needs the lines {BEGIN!r} and {END!r}, between which the figures go.")
    lines = figures([read(path) for path in sorted(results.glob("*.json"))])
    readme.write_text("\n".join([f"{before}{begin}", *lines, f"{end}{after}"]), encoding="utf-8")


def figures(results: list[Result]) -> Iterator[str]:
    """Markdown: the two crawlers beside each other, what had to be reached, and where the figures come from."""
    for result in results:
        if result.benchmark == "peer":
            yield from ("", "| | official connector | this crawler | ratio |", "| --- | --- | --- | --- |")
            yield from _comparison(result.rows)
    judged = [row for result in results for row in result.rows if row.target]
    if judged:
        yield from ("", "| measure | target | median (minimum–maximum) | reached |", "| --- | --- | --- | --- |")
        for row in judged:
            yield f"| {row.name} | {row.target} | {_spread(row)} | {REACHED[row.reached]} |"
    yield ""
    yield from _sources(results)


def _comparison(rows: list[Row]) -> Iterator[str]:
    """A line for each measure of each case: three rows of the result."""
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
