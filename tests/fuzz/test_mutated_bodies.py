"""Bodies of real servers with something wrong, by seed: each comes to what is promised, or to an error with a name.

`python -m tests.fuzz` runs more of them, and one of them again.
"""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from crawler.datahub.wire import openapi
from crawler.http import error_text as words
from crawler.mlflow.decoding import Page
from tests.fuzz import decoding
from tests.fuzz.campaign import finding_of, replay, run
from tests.fuzz.case import Case
from tests.fuzz.regressions import REGRESSIONS

ROOT = Path(__file__).parents[2]
SEED = 0
CASES = 775
BODIES = 5_000
JUDGED_ONE_IN = 60


@pytest.mark.slow
def test_mutated_bodies_break_no_promise() -> None:
    summary = run(SEED, 0, CASES, JUDGED_ONE_IN)
    told = [f"{alike[0].words}\n  replay with: {replay(SEED, alike[0].number)}" for alike in summary.alike().values()]
    assert not told, "\n".join([*summary.lines(), *told])
    assert summary.bodies >= BODIES
    # Not so broken that nothing is left to map, nor so good that nothing is refused.
    for kind in ("runs", "experiments", "registered_models", "model_versions"):
        assert summary.counts[f"decoded: {kind}"] > CASES / 3
        assert summary.counts[f"refused: {kind} (unexpected_answer)"] > CASES / 10
    for what in ("rows read", "rows named as unreadable", "mapped: proposals"):
        assert summary.counts[what] > CASES / 2
    for what in ("not sent: urn", "mapped: notices", "judged by acryl-datahub"):
        assert summary.counts[what] > 0


@pytest.mark.parametrize("bodies", REGRESSIONS.values(), ids=REGRESSIONS)
def test_what_broke_a_promise_once(bodies: dict[str, bytes]) -> None:
    assert finding_of(Case(bodies), 0, Counter(), judged=True) is None


@pytest.mark.slow
def test_a_case_is_the_same_in_every_process() -> None:
    program = (
        "from zlib import crc32; from tests.fuzz.case import draw\n"
        "print([crc32(body) for number in range(100) for body in draw(1, number).bodies.values()])"
    )
    drawn = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }
    assert len(drawn) == 1


def _loses_unreadable_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = decoding.DECODERS["runs"]

    def forgetful(body: bytes) -> Page[Any]:
        page = decode(body)
        return Page(page.rows, page.token)

    monkeypatch.setitem(decoding.DECODERS, "runs", forgetful)


def _sees_no_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "left_out", lambda *_: [])


def _passes_control_characters_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_one_line", lambda text: text)


def _knows_no_infinite_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.mapping.runs.python_texts", lambda values: [str(round(value)) for value in values])


@pytest.mark.slow
@pytest.mark.parametrize(
    "plant", [_loses_unreadable_rows, _sees_no_drops, _passes_control_characters_on, _knows_no_infinite_metrics]
)
def test_a_planted_bug_is_found(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    assert run(SEED, 0, 150).findings
