"""Many seeds on all cores."""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor

import msgspec

from tests.simulation.simulation import Verdict, simulate

SEEDS_A_TASK = 10


def simulate_all(seeds: Iterable[int]) -> Iterator[Verdict]:
    """The verdicts without their traces, in the order of the seeds."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        yield from pool.map(_in_brief, seeds, chunksize=SEEDS_A_TASK)


def _in_brief(seed: int) -> Verdict:
    return msgspec.structs.replace(simulate(seed), trace=[])
