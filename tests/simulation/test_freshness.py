"""Weeks of edits between incremental crawls, by seed; `--seeds N` runs more than a few.

`--seed K` runs one and, if it fails, tells every edit, crawl and exchange.
"""

from collections import Counter

import pytest

from tests.simulation.freshness import Verdict, run_seed

FEW = 8
SHOWN = 5


def told(verdict: Verdict) -> str:
    """A failed seed as a person wants to know it."""
    more = len(verdict.findings) - SHOWN
    findings = [*verdict.findings[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
    command = f"python -m pytest tests/simulation/test_freshness.py -k one_seed --seed {verdict.seed}"
    return "\n  ".join([f"seed {verdict.seed}, replay with: {command}", *findings])


@pytest.mark.slow
def test_after_an_incremental_crawl_datahub_is_as_after_a_full_one() -> None:
    verdicts = [run_seed(seed) for seed in range(FEW)]
    failed = [verdict for verdict in verdicts if verdict.findings]
    assert not failed, f"{len(failed)} of {FEW} seeds failed\n" + "\n".join(map(told, failed))
    crawls = sum((Counter(verdict.crawls) for verdict in verdicts), Counter[str]())
    assert crawls["incremental"] > crawls["full"] > FEW
    # What may differ is a small part, or nothing would be shown.
    assert sum(verdict.excepted for verdict in verdicts) < 0.1 * sum(verdict.compared for verdict in verdicts)
    assert sum(verdict.removed for verdict in verdicts) > 5 * FEW
    assert len({edit for verdict in verdicts for edit in verdict.edits}) == 25


def test_one_seed(request: pytest.FixtureRequest) -> None:
    seed = request.config.getoption("--seed")
    if seed is None:
        pytest.skip("no --seed")
    verdict = run_seed(seed)
    assert not verdict.findings, "\n".join([*verdict.trace, told(verdict)])
