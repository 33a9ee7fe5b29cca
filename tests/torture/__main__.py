"""Replays one case: `python -m tests.torture TARGET FAULT STEP [FAULT STEP]`."""

import sys

import msgspec

from tests.torture import disk, exchanges
from tests.torture.cases import Case, run
from tests.torture.torture import Fault


def _fault(text: str) -> Fault:
    try:
        return exchanges.Fault(text)
    except ValueError:
        return disk.Fault(text)


target, fault, at, *then = sys.argv[1:]
case = Case(target, _fault(fault), int(at))
if then:
    case = msgspec.structs.replace(case, then=_fault(then[0]), then_at=int(then[1]))
verdict = run(case)
print("\n".join(verdict.trace))
print(verdict if verdict.findings else "Nothing is wrong.")
sys.exit(bool(verdict.findings))
