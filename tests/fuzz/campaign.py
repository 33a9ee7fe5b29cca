"""Many cases: drawn, pushed through the crawler, counted; what fails is told with its number."""

import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from zlib import crc32

import msgspec

from tests.fuzz.answers import ANSWERS
from tests.fuzz.case import PAGES, Case, draw
from tests.fuzz.decoding import Counts, read, read_on, read_run
from tests.fuzz.mapping import MAPPINGS, Read, entities_of
from tests.fuzz.promises import Broken
from tests.fuzz.proposals import file_of
from tests.support.judge import Refused, judge_all

JUDGED_ONE_IN = 100
"""acryl-datahub takes a hundred times as long as all the rest."""

READ_ON_ONE_IN = 4
"""All is decoded once more for it."""

CHUNK = 500
MOST_FINDINGS = 10_000


class Finding(msgspec.Struct, frozen=True):
    """A case that breaks a promise, or breaks off with an error that has no name; those of one `kind` are alike."""

    number: int
    kind: str
    words: str


class Summary(msgspec.Struct):
    """What came of all cases. `seconds` are of wall time, `slowest` the longest case's, with its number."""

    cases: int = 0
    bodies: int = 0
    seconds: float = 0.0
    slowest: tuple[float, int] = (0.0, -1)
    counts: dict[str, int] = {}
    findings: list[Finding] = []

    def add(self, other: "Summary") -> None:
        """Takes another part's cases to its own."""
        self.cases += other.cases
        self.bodies += other.bodies
        self.slowest = max(self.slowest, other.slowest)
        self.counts = dict(Counter(self.counts) + Counter(other.counts))
        self.findings += other.findings

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.bodies:,} mutated bodies in {self.cases:,} cases, {self.seconds:,.0f} s"
        for what, count in sorted(self.counts.items()):
            yield f"  {count:>12,} {what}"
        yield f"  slowest case: number {self.slowest[1]}, {1_000 * self.slowest[0]:,.0f} ms"
        yield f"{len(self.findings):,} cases failed"

    def alike(self) -> dict[str, list[Finding]]:
        """The findings by kind, the most frequent one first."""
        kinds: dict[str, list[Finding]] = {}
        for found in self.findings:
            kinds.setdefault(found.kind, []).append(found)
        return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def finding_of(case: Case, number: int, counts: Counts, *, judged: bool) -> Finding | None:
    """Pushes a case through the crawler: None where all promises hold."""
    try:
        _push(case, counts, judged=judged)
    except (Broken, Refused) as broken:
        words = f"{type(broken).__name__}: {broken}"
        return Finding(number, words[:40], words)
    except Exception as error:  # noqa: BLE001  any error without a name is what is looked for
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}" for frame in frames[:-4:-1])
        kind = f"{type(error).__name__} at {where}"
        return Finding(number, kind, f"{kind}: {ascii(str(error))[:300]}")
    return None


def replay(seed: int, number: int) -> str:
    """The command that shows a case again."""
    return f"python -m tests.fuzz --seed {seed} --case {number}"


def run(seed: int, first: int, cases: int, judged_one_in: int = JUDGED_ONE_IN) -> Summary:
    """So many cases of a seed, in this process."""
    summary, counts = Summary(), Counter[str]()
    began = time.perf_counter()
    for number in range(first, first + cases):
        started = time.perf_counter()
        case = draw(seed, number)
        found = finding_of(case, number, counts, judged=number % judged_one_in == 0)
        if found is not None:
            summary.findings.append(found)
        summary.bodies += case.mutated
        summary.slowest = max(summary.slowest, (time.perf_counter() - started, number))
    summary.cases = cases
    summary.counts = dict(counts)
    summary.seconds = time.perf_counter() - began
    return summary


def run_until(seed: int, bodies: int, processes: int) -> Iterator[Summary]:
    """Cases until there were so many mutated bodies; gives the whole so far, after each part."""
    whole = Summary()
    began = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        first = 0
        while whole.bodies < bodies and len(whole.findings) < MOST_FINDINGS:
            parts = [pool.submit(run, seed, first + CHUNK * each, CHUNK) for each in range(2 * processes)]
            for part in parts:
                whole.add(part.result())
            first += CHUNK * len(parts)
            whole.seconds = time.perf_counter() - began
            yield whole


def _push(case: Case, counts: Counts, *, judged: bool) -> None:
    bodies = {kind: case.bodies.get(kind, b"{}") for kind in PAGES}
    found = Read(
        models=read("registered_models", bodies["registered_models"], counts),
        versions=read("model_versions", bodies["model_versions"], counts),
        experiments=read("experiments", bodies["experiments"], counts),
        runs=[read("runs", bodies["runs"], counts), read("runs", bodies["more_runs"], counts)],
        found=read_run(bodies["run"], counts) if "run" in case.bodies else None,
    )
    settings = MAPPINGS[crc32(bodies["run"]) % len(MAPPINGS)]
    file = file_of(entities_of(found, settings, counts), counts)
    if judged:
        counts["judged by acryl-datahub"] += judge_all(file).total()
    if crc32(bodies["runs"]) % READ_ON_ONE_IN == 0:
        read_on("runs", [bodies["runs"], bodies["more_runs"]] * 2, counts)
        for kind in ("model_versions", "registered_models", "experiments"):
            read_on(kind, [bodies[kind]] * 3, counts)
    for kind, answer in ANSWERS.items():
        if kind in case.bodies:
            answer(case.bodies[kind], counts)
