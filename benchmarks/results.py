"""What a benchmark found: rows of repeats, as a table for people and as JSON and a plot for the README."""

import statistics
from pathlib import Path

import msgspec

from benchmarks import plot


class Row(msgspec.Struct):
    """One measure: a value a repeat, what it should reach in the issue's words, and whether it did."""

    name: str
    unit: str
    values: list[float]
    target: str = ""
    reached: bool | None = None

    @property
    def minimum(self) -> float:
        return min(self.values)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def maximum(self) -> float:
        return max(self.values)

    def at_most(self, bound: float, *, every: bool = False) -> "Row":
        """This row, judged: the median, or every repeat, is at most `bound`."""
        self.reached = (self.maximum if every else self.median) <= bound
        return self

    def at_least(self, bound: float, *, every: bool = False) -> "Row":
        """This row, judged: the median, or every repeat, is at least `bound`."""
        self.reached = (self.minimum if every else self.median) >= bound
        return self


class Result(msgspec.Struct):
    """One run of a benchmark. `rows` and `notes` are the benchmark's own; `__main__` fills the rest."""

    benchmark: str
    title: str
    rows: list[Row]
    notes: list[str] = []
    command: str = ""
    quick: bool = False
    started_at: str = ""
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}


HEADINGS = ("measure", "unit", "minimum", "median", "maximum", "repeats", "target", "reached")
REACHED = {True: "yes", False: "NO", None: ""}


def table(result: Result) -> str:
    """The rows in columns, then the notes."""
    lines = [HEADINGS, *(_cells(row) for row in result.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([result.title, *texts, *(f"- {note}" for note in result.notes)])


def figure(value: float) -> str:
    """A number as people read it: three digits that count, and no more."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3}f}"


def write(result: Result, folder: Path) -> list[Path]:
    """Writes `<benchmark>.json` and `<benchmark>.svg` into the folder; gives both."""
    folder.mkdir(parents=True, exist_ok=True)
    data, picture = (folder / f"{result.benchmark}.{kind}" for kind in ("json", "svg"))
    data.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    bars = [plot.Bar(row.name, row.unit, row.minimum, row.median, row.maximum) for row in result.rows]
    picture.write_text(plot.svg(result.title, bars), encoding="utf-8")
    return [data, picture]


def read(path: Path) -> Result:
    """A result that `write` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def _cells(row: Row) -> tuple[str, ...]:
    figures = (figure(value) for value in (row.minimum, row.median, row.maximum))
    return (row.name, row.unit, *figures, str(len(row.values)), row.target, REACHED[row.reached])
