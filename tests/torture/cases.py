"""The cases: a fault, the step that it strikes, and what must hold afterwards."""

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tests.torture import disk, exchanges
from tests.torture.torture import WORKERS, Fault, Key, Outcome, Torture

ENDINGS_AT_A_DISK = {0, 1, 2}
RUN = "urn:li:dataProcessInstance:"


class Undisturbed(msgspec.Struct, frozen=True):
    """The crawl without a fault: how it ended, what DataHub then had, and its steps."""

    outcome: Outcome
    aspects: dict[Key, Any]
    exchanges: int
    writes: list[str]


class Case(msgspec.Struct, frozen=True):
    """The first life meets `fault` at step `at`; where it was killed, the second one meets `then` at `then_at`."""

    target: str
    fault: Fault
    at: int
    then: Fault | None = None
    then_at: int = 0

    def __str__(self) -> str:
        then = f" '{self.then.value}' {self.then_at}" if self.then else ""
        return f"{self.target} '{self.fault.value}' {self.at}{then}"


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong, if anything; whether the first life ended `well`; every exchange, and all that was said."""

    case: Case
    findings: list[str]
    well: bool
    repeated: int
    trace: list[str]

    def __str__(self) -> str:
        command = f"python -m tests.torture {self.case}"
        return "\n  ".join([f"{self.case}, replay with: {command}", *self.findings])


@cache
def undisturbed(target: str) -> Undisturbed:
    """Of one target."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        torture = Torture(Path(folder), target)
        outcome = torture.live()
        assert outcome.code in {0, 1}, outcome.said
        return Undisturbed(outcome, dict(torture.aspects), torture.network.count, torture.disk.steps)


def cases(target: str, fault: Fault, then: Fault | None = None) -> Iterator[Case]:
    """One for each step that the fault can strike; the second one strikes anywhere."""
    calm = undisturbed(target)
    for at in _steps(calm, fault):
        yield Case(target, fault, at, then, 0 if then is None else _second(calm, then, at))


def run(case: Case) -> Verdict:
    """Lives of one case, up to one that nothing disturbs."""
    with tempfile.TemporaryDirectory(prefix="torture-") as folder:
        return _Trial(case, Torture(Path(folder), case.target)).run()


class _Trial:
    def __init__(self, case: Case, torture: Torture) -> None:
        self._case = case
        self._torture = torture
        self._calm = undisturbed(case.target)
        self._findings: list[str] = []
        self._said: list[str] = []
        self._letters: set[Key] = set()
        self._kept: set[str] = set()
        self._done: set[str] = set()
        self._repeated = 0
        self._lives = 0
        self._longest_page = 0

    def run(self) -> Verdict:
        """All lives."""
        outcome = self._live(self._case.fault, self._case.at)
        well = self._is_well(outcome)
        if self._case.then is not None:
            outcome = self._live(self._case.then, self._case.then_at)
        if not self._is_well(outcome):
            outcome = self._live()
            self._judge_last(outcome)
        self._findings += self._torture.gms.violations
        return Verdict(self._case, self._findings, well, self._repeated, [*self._torture.trace, *self._said])

    def _live(self, fault: Fault | None = None, at: int | None = None) -> Outcome:
        outcome = self._torture.live(fault, at)
        self._lives += 1
        self._said.append(f"ended with {outcome.code}:\n{outcome.said}")
        self._letters |= outcome.letters
        self._judge_values()
        self._judge_repeats()
        self._note_progress()
        if outcome.code is not None:
            self._judge_end(outcome, fault)
        return outcome

    def _is_well(self, outcome: Outcome) -> bool:
        """Whether it ended as the undisturbed one; what had to be done again may have failed again."""
        found, expected = outcome.failures, self._calm.outcome.failures
        if outcome.code != self._calm.outcome.code or found.keys() != expected.keys():
            return False
        return found == expected or (self._lives > 1 and all(found[code][0] >= expected[code][0] for code in found))

    def _judge_end(self, outcome: Outcome, fault: Fault | None) -> None:
        if outcome.is_traceback:
            self._findings.append(f"ended with a traceback:\n{outcome.said}")
        if self._is_well(outcome):
            self._judge_whole()
            return
        if not outcome.is_cut_short:
            self._judge_names(outcome)
        if isinstance(fault, disk.Fault):
            if outcome.code not in ENDINGS_AT_A_DISK:
                self._findings.append(f"ended with {outcome.code} after a fault of the disk")
        elif fault is not None and fault not in exchanges.GARBLED:
            self._findings.append(f"one fault of the network was not survived: ended with {outcome.code}")

    def _judge_names(self, outcome: Outcome) -> None:
        """It went on to its end: what the undisturbed one names it names too, and all that is not there."""
        found, expected = outcome.failures, self._calm.outcome.failures
        for code in expected.keys() - found.keys():
            self._findings.append(f"{code} is not named: {min(expected[code][1])}")
        if found.keys() == expected.keys() and all(found[code][0] <= expected[code][0] for code in found):
            self._judge_whole()
        elif "dead_letters" not in found:
            self._judge_letters()

    def _judge_last(self, outcome: Outcome) -> None:
        """With nothing in its way, it ends well or, where letters of an earlier life could not be kept, says so. It
        tells what was read in all lives together.
        """
        for what in ("read", "skipped"):
            if outcome.report.get(what) != self._calm.outcome.report[what]:
                self._findings.append(f"the report has {what} {outcome.report.get(what)}")
        self._judge_counts(outcome.report["written"]["entities"], self._calm.outcome.report["written"]["entities"])
        self._judge_whole(letters="dead_letters" not in outcome.failures)
        unexpected = outcome.failures.keys() - self._calm.outcome.failures.keys() - {"dead_letters"}
        if outcome.code != self._calm.outcome.code or unexpected:
            self._findings.append(f"with all faults off it ended with {outcome.code}: {outcome.failures}")

    def _judge_counts(self, found: dict[str, int], expected: dict[str, int]) -> None:
        """Runs that had to be written once more count once more."""
        for entity_type, count in expected.items():
            more = found.get(entity_type, 0) - count
            if more < 0 or (more and entity_type != "dataProcessInstance"):
                self._findings.append(f"the report counts {found.get(entity_type, 0)} {entity_type} for {count}")

    def _judge_whole(self, *, letters: bool = True) -> None:
        missing = self._calm.aspects.keys() - self._torture.aspects.keys()
        if missing:
            self._findings.append(f"{len(missing)} missing, such as {min(missing)}")
        if letters:
            self._judge_letters()

    def _judge_letters(self) -> None:
        lost = self._calm.outcome.letters - self._letters
        if lost:
            self._findings.append(f"{len(lost)} dead letters missing, such as {min(lost)}")

    def _judge_values(self) -> None:
        expected = self._calm.aspects
        try:
            aspects = self._torture.aspects
        except ValueError as error:
            self._findings.append(f"what the crawl left is corrupted: {error}")
            return
        wrong = [key for key, value in aspects.items() if expected.get(key) != value]
        if wrong:
            key = wrong[0]
            self._findings.append(f"{len(wrong)} wrong, such as {key}: {aspects[key]} for {expected.get(key)}")

    def _judge_repeats(self) -> None:
        """What the state had kept is not sent again, but for runs of pages that were in flight."""
        sent = self._torture.sent
        if again := {urn for urn in self._kept if not urn.startswith(RUN)} & sent:
            self._findings.append(f"{len(again)} are sent again that were confirmed, such as {min(again)}")
        again = self._done & sent
        if len(again) > WORKERS * self._longest_page:
            self._findings.append(f"{len(again)} runs are sent again of pages that were done")
        self._repeated = max(self._repeated, len({urn for urn in self._kept if urn.startswith(RUN)} & sent))

    def _note_progress(self) -> None:
        """What is kept for the next life, and the runs of pages that are done. The runs of a page's last start time are
        asked for again with the next one and belong to that.
        """
        if self._torture.finished:
            self._kept.clear()
            self._done.clear()
            return
        kept = self._torture.kept
        self._kept |= kept
        for page in self._torture.pages:
            self._longest_page = max(self._longest_page, len(page))
            inside = {urn for urn, start in page if start != page[-1][1]}
            if inside <= kept:
                self._done |= inside


def _steps(calm: Undisturbed, fault: Fault) -> list[int]:
    if isinstance(fault, exchanges.Fault):
        return list(range(calm.exchanges))
    if fault is disk.Fault.KILLED_WITHIN:
        return [number for number, what in enumerate(calm.writes) if what.startswith(("write", "SQLite: COMMIT"))]
    return list(range(len(calm.writes)))


def _second(calm: Undisturbed, then: Fault, at: int) -> int:
    steps = _steps(calm, then)
    return steps[at * 7919 % len(steps)]
