"""The pure stages may not come to cost more: counted, not timed, so that the answer is the same on every machine.

After a change that is worth its cost, or an improvement to hold on to:
`python -m tests.performance.test_pure_stages_cost` writes pure_stages_cost.json anew, for the Python that runs it.
"""

import gc
import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from benchmarks.pages import Pages
from benchmarks.pure_stages import PureStages, run_pages

FIGURES = Path(__file__).with_name("pure_stages_cost.json")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
RUNS = 160
MORE = 1.10


def cost() -> dict[str, float]:
    """What a run costs on its way from MLflow's page to DataHub's request: bytecodes, calls of Python and of C, and
    the blocks of memory that its mapped and encoded form holds.
    """
    experiment, pages = run_pages(Pages(RUNS, 1), RUNS)
    for _ in range(2):
        # What is remembered beyond one crawl is there from now on.
        list(PureStages(experiment).bodies(pages))
    counts = {
        "bytecodes": _bytecodes(PureStages(experiment), pages),
        "calls": _calls(PureStages(experiment), pages),
        "blocks": _blocks(PureStages(experiment), pages),
    }
    return {name: round(count / RUNS, 1) for name, count in counts.items()}


def _bytecodes(stages: PureStages, pages: list[bytes]) -> int:
    executed = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal executed
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        executed += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        _drain(stages, pages)
    finally:
        sys.settrace(before)
    return executed


def _calls(stages: PureStages, pages: list[bytes]) -> int:
    events: Counter[str] = Counter()

    def profile(_frame: FrameType, event: str, _argument: object) -> None:
        events[event] += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        _drain(stages, pages)
    finally:
        sys.setprofile(before)
    return events["call"] + events["c_call"]


def _blocks(stages: PureStages, pages: list[bytes]) -> int:
    gc.collect()
    gc.disable()
    try:
        before = sys.getallocatedblocks()
        held = stages.held(pages)
        blocks = sys.getallocatedblocks() - before
    finally:
        gc.enable()
    assert held
    return blocks


def _drain(stages: PureStages, pages: list[bytes]) -> None:
    for _ in stages.bodies(pages):
        pass


def test_a_run_costs_no_more_than_it_did() -> None:
    figures = json.loads(FIGURES.read_text())
    if PYTHON not in figures:
        pytest.skip(f"{FIGURES.name} has no figures for Python {PYTHON}: its bytecode differs from {sorted(figures)}.")
    now = cost()
    dearer = {name: (known, now[name]) for name, known in figures[PYTHON].items() if now[name] > MORE * known}
    assert not dearer, (
        f"A run costs more than {MORE - 1:.0%} more than before (before, now): {dearer}. Make it cheaper, or, if it "
        "is worth it, say why in the commit and renew the figures with "
        "python -m tests.performance.test_pure_stages_cost."
    )


@pytest.mark.slow
def test_the_counts_are_the_same_each_time() -> None:
    first, second = cost(), cost()
    # Memory that the interpreter keeps for the next object of a kind is counted or not.
    assert first.pop("blocks") == pytest.approx(second.pop("blocks"), rel=0.01)
    assert first == second


if __name__ == "__main__":
    known = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    FIGURES.write_text(json.dumps(known | {PYTHON: cost()}, indent=2) + "\n")
