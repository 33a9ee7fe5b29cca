"""Every benchmark runs, and what it counts agrees; times are for quiet machines."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import NAMES
from benchmarks.data import PAGE_SIZE, Data, pages_needed, runs_by_experiment, tables
from benchmarks.line import Direction, Line
from benchmarks.performance_page import BEGIN, END, NoMarks, renew
from benchmarks.processes import CommandFailed, measured, running
from benchmarks.results import Result, Row, read, table, write

ROOT = Path(__file__).parents[2]


class Ran(NamedTuple):
    """All benchmarks in one command: the folder of their results, what it printed, and why it ended."""

    folder: Path
    output: str
    errors: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("results")
    command = [sys.executable, "-m", "benchmarks", *NAMES, "--quick", "--output", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return Ran(folder, done.stdout, done.stderr[-3000:])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_benchmark_runs(name: str, ran: Ran) -> None:
    assert (ran.folder / f"{name}.json").exists(), ran.errors
    result = read(ran.folder / f"{name}.json")
    assert (result.benchmark, result.quick) == (name, True)
    assert {row.reached for row in result.rows} == {None}
    assert {"cores", "cpu", "memory", "kernel"} <= result.machine.keys()
    assert (ran.folder / f"{name}.svg").read_text().startswith("<svg")
    for row in result.rows:
        assert row.values
        assert row.name in ran.output


def test_figures_come_from_one_benchmark_at_a_time() -> None:
    command = [sys.executable, "-m", "benchmarks", "start", "floor"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "one name, or several benchmarks with --quick" in done.stderr) == (2, True)


def some_result() -> Result:
    rows = [
        Row("1,000 runs: wall, official", "s", [60.0, 80.0, 70.0]),
        Row("1,000 runs: wall, ours", "s", [1.0, 1.25, 1.0]),
        Row("1,000 runs: wall, ratio", "×", [70.0, 56.0, 70.0], "≥ 60 ×").at_least(60),
        Row("some <other> & measure", "µs", [1_234.5], "≤ 1,000").at_most(1_000),
    ]
    return Result("peer", "Both", rows, ["A note."], "python -m benchmarks peer", started_at="2026-01-02T03:04:05")


def test_rows_are_judged_by_their_median_or_by_every_repeat() -> None:
    row = Row("r", "×", [1.0, 1.2, 1.1])
    assert (row.minimum, row.median, row.maximum) == (1.0, 1.1, 1.2)
    assert row.at_most(1.1).reached is True
    assert row.at_most(1.1, every=True).reached is False
    assert row.at_least(1.1).reached is True
    assert row.at_least(1.1, every=True).reached is False


def test_table_shows_all_figures_targets_and_notes() -> None:
    lines = table(some_result()).splitlines()
    assert lines[4].split("  ")[0] == "1,000 runs: wall, ratio"
    assert lines[4].split()[-8:] == ["56.0", "70.0", "70.0", "3", "≥", "60", "×", "yes"]
    assert lines[5].split()[-3:] == ["≤", "1,000", "NO"]
    assert lines[-1] == "- A note."


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    result = some_result()
    data, picture = write(result, tmp_path / "new")
    assert read(data) == result
    labels = {each.text for each in ET.parse(picture).iter("{http://www.w3.org/2000/svg}text")}
    assert {"Both", *(row.name for row in result.rows)} <= labels


def test_page_gets_the_figures_between_its_marks(tmp_path: Path) -> None:
    write(some_result(), tmp_path)
    page = tmp_path / "performance.md"
    page.write_text(f"Before.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n")
    renew(page, tmp_path)
    first = page.read_text()
    assert "old" not in first
    assert first.startswith("Before.\n")
    assert first.endswith("\n\nAfter.\n")
    assert "| 1,000 runs: wall | 70.0 s (60.0–80.0) | 1.00 s (1.00–1.25) | 70.0 × (56.0–70.0) |" in first
    assert "| some <other> & measure | ≤ 1,000 | 1,234 µs | **no** |" in first
    assert "`python -m benchmarks peer`, 2026-01-02" in first
    renew(page, tmp_path)
    assert page.read_text() == first


def test_readme_gets_the_main_figures_only(tmp_path: Path) -> None:
    rows = [
        Row(f"{case}: wall, {side}", unit, [1.0])
        for case in ("1,000 runs, as shipped", "1,000 runs, no stall")
        for side, unit in (("official", "s"), ("ours", "s"), ("ratio", "×"))
    ]
    write(Result("peer", "Both", rows, [], "python -m benchmarks peer"), tmp_path)
    write(Result("start", "Start", [Row("help", "s", [0.1], "≤ 0.2")], [], "python -m benchmarks start"), tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text(f"{BEGIN}\n{END}\n")
    renew(readme, tmp_path, main_only=True)
    lines = readme.read_text().splitlines()
    assert lines[2:] == [
        "| | official connector | this crawler | ratio |",
        "| --- | --- | --- | --- |",
        "| 1,000 runs, as shipped: wall | 1.00 s | 1.00 s | 1.00 × |",
        END,
    ]


def test_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("Nothing.\n")
    with pytest.raises(NoMarks, match="needs the lines"):
        renew(page, tmp_path)
    assert page.read_text() == "Nothing.\n"


BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def test_a_command_is_measured_with_its_children() -> None:
    child = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {BUSY!r}]); x = b'x' * 150_000_000; print(1)"
    )
    done = measured([sys.executable, "-c", child])
    assert done.stdout == "1\n"
    assert 0.3 <= done.cpu <= done.wall * 2
    assert done.peak_rss > 150_000_000


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(CommandFailed, match="no such thing"):
        measured([sys.executable, "-c", "import sys; sys.exit('no such thing')"])
    assert measured([sys.executable, "-c", "raise SystemExit(3)"], expected=(3,)).exit_code == 3


@pytest.mark.slow
def test_a_command_is_killed_when_its_lifetime_is_over() -> None:
    sleeper = [sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"]
    killed = measured(sleeper, lifetime=2.0, expected=(-9,))
    assert killed.stdout == "1\n"
    assert 2.0 <= killed.wall < 30
    assert measured([sys.executable, "-c", "print(2)"], lifetime=60).stdout == "2\n"


SERVER = f"""
import signal, subprocess, sys
subprocess.run([sys.executable, "-c", {BUSY!r}])
x = b"x" * 150_000_000
print("ready", flush=True)
signal.sigwait([signal.SIGUSR1])
"""


def test_a_running_process_counts_its_ended_children_and_is_gone_after() -> None:
    with running([sys.executable, "-c", SERVER]) as process:
        assert process.first_line() == "ready"
        assert 0.3 <= process.cpu_seconds() < 30
        assert process.peak_rss() > 150_000_000
    assert process.cpu_seconds() == 0


def test_a_process_that_does_not_start_says_why() -> None:
    with (
        running([sys.executable, "-c", "raise SystemExit('no port')"]) as process,
        pytest.raises(CommandFailed, match="no port"),
    ):
        process.first_line()


def test_data_has_all_that_it_says_and_parents_first() -> None:
    data = Data(runs=7, experiments=3, models=2, versions=2, logged_models=5)
    rows = {table.name: [dict(zip(table.columns, row, strict=True)) for row in table.rows] for table in tables(data)}
    counts = {name: len(found) for name, found in rows.items()}
    assert counts == {
        "experiments": 3,
        "runs": 7,
        "params": 56,
        "latest_metrics": 70,
        "tags": 42,
        "datasets": 12,
        "inputs": 2,
        "registered_models": 2,
        "model_versions": 4,
        "logged_models": 5,
        "logged_model_params": 50,
        "logged_model_tags": 25,
        "logged_model_metrics": 100,
    }
    runs = {run["run_uuid"] for run in rows["runs"]}
    assert len(runs) == 7
    assert {each["destination_id"] for each in rows["inputs"]} < runs
    assert {each["source_id"] for each in rows["inputs"]} < {each["dataset_uuid"] for each in rows["datasets"]}
    assert {version["run_id"] for version in rows["model_versions"]} < runs
    assert {each["source_run_id"] for each in rows["logged_models"]} < runs
    assert {run["experiment_id"] for run in rows["runs"]} == {each["experiment_id"] for each in rows["experiments"]}
    assert runs_by_experiment(data) == [3, 2, 2]
    assert pages_needed(data) == 4 + 4 + 3
    assert pages_needed(Data(runs=4 * PAGE_SIZE + 1, experiments=2)) == 4 + 4 + 3 + 2


def test_bytes_leave_one_after_another_and_arrive_later() -> None:
    now = 10.0
    direction = Direction(0.5, 1_000, lambda: now)
    assert direction.arrival(1_000) == 11.5
    assert direction.arrival(500) == 12.0
    now = 20.0
    assert direction.arrival(100) == 20.6
    assert Direction(0.5, None, lambda: now).arrival(10**9) == 20.5


async def test_a_line_passes_everything_on_and_takes_its_time() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readexactly(len(sent)))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await line.serve(reader, writer)
        served.set()

    served = asyncio.Event()
    sent = bytes(range(256)) * 1_000
    async with await asyncio.start_server(echo, "127.0.0.1", 0) as target:
        line = Line("127.0.0.1", target.sockets[0].getsockname()[1], round_trip=0.1, bytes_a_second=2_560_000)
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as slow:
            began = asyncio.get_running_loop().time()
            reader, writer = await asyncio.open_connection(*slow.sockets[0].getsockname())
            writer.write(sent)
            received = await reader.read()
            took = asyncio.get_running_loop().time() - began
            writer.close()
            await writer.wait_closed()
            # Its own end is on its way a while longer, and must not outlive the loop.
            await asyncio.wait_for(served.wait(), 60)
    assert received == sent
    # 0.1 s of transfer and half a round trip each way; the handshake hides behind the first transfer.
    assert took > 0.29
