"""Crawls of servers that are written to, fail, lose and lie, by seed: each ends, and holds every promise.

`--seeds N` runs the first N; `--seed K` runs one and, if it fails, tells every exchange.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.pool import simulate_all
from tests.simulation.simulation import Verdict, simulate

REGRESSIONS = Path(__file__).parent / "regressions.json"
ROOT = Path(__file__).parents[2]
SHOWN = 5


def told(verdict: Verdict) -> str:
    """A failed seed as a person wants to know it."""
    more = len(verdict.findings) - SHOWN
    findings = [*verdict.findings[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
    command = f"python -m pytest tests/simulation/test_seeds.py -k one_seed --seed {verdict.seed}"
    return "\n  ".join([f"seed {verdict.seed}, replay with: {command}", *findings])


@pytest.mark.slow
def test_first_seeds(request: pytest.FixtureRequest) -> None:
    seeds = request.config.getoption("--seeds")
    failed = [verdict for verdict in simulate_all(range(seeds)) if verdict.findings]
    assert not failed, f"{len(failed)} of {seeds} seeds failed\n" + "\n".join(map(told, failed[:20]))


@pytest.mark.parametrize("seed", range(3))
def test_a_seed(seed: int) -> None:
    verdict = simulate(seed)
    assert not verdict.findings, told(verdict)


def test_one_seed(request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed")
    if seed is None:
        pytest.skip("no --seed")
    verdict = simulate(seed)
    assert not verdict.findings, "\n".join([*verdict.trace, told(verdict)])


@pytest.mark.slow
@pytest.mark.parametrize("case", json.loads(REGRESSIONS.read_text()), ids=lambda case: str(case["seed"]))
def test_seed_that_failed_once(case: dict[str, object]) -> None:
    """Those that were found before there were logged models are of worlds that have none."""
    verdict = simulate(int(str(case["seed"])), logged_models=bool(case["logged_models"]))
    assert not verdict.findings, told(verdict)


@pytest.mark.slow
def test_a_seed_is_the_same_in_every_process() -> None:
    digests = set()
    program = "from tests.simulation.simulation import simulate; print([simulate(seed).digest for seed in range(8)])"
    for hash_seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(
            [sys.executable, "-c", program], env=env, cwd=ROOT, capture_output=True, text=True, check=True
        )
        digests.add(ran.stdout)
    assert len(digests) == 1
