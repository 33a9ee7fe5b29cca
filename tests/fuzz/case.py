"""One case: a whole crawl's answers, most of them with something wrong, by seed and number."""

from collections.abc import Callable
from functools import cache
from random import Random

import msgspec

from tests.fuzz import seeds
from tests.fuzz.mutations import mutated
from tests.fuzz.proposals import LISTED, STORED
from tests.fuzz.seeds import Recording

INTACT = 0.1
ANSWERS_A_CASE = 2

PAGES = ("registered_models", "model_versions", "experiments", "runs", "more_runs", "run")
"""What a crawl reads of MLflow: the four listings, runs of two experiments, and runs/get."""


class Case(msgspec.Struct, frozen=True):
    """Bodies by kind; what is not there is as the server meant it. `mutated` of them are."""

    bodies: dict[str, bytes]
    mutated: int = 0


def draw(seed: int, number: int) -> Case:
    """The same for the same seed and number, whatever was drawn before."""
    dice = Random(f"{seed}/{number}")
    recording = dice.choice(_recordings())
    intact = {kind: _page(dice, kind, recording) for kind in PAGES}
    for kind in dice.sample(list(_ANSWERS), ANSWERS_A_CASE):
        intact[kind] = _ANSWERS[kind](dice, recording)
    others = [intact[kind] for kind in PAGES]
    bodies = {kind: body if dice.random() < INTACT else mutated(dice, body, others) for kind, body in intact.items()}
    return Case(bodies, sum(body != intact[kind] for kind, body in bodies.items()))


def _page(dice: Random, kind: str, recording: Recording) -> bytes:
    if kind == "run":
        return b'{"run":%b}' % bytes(dice.choice(recording.runs))
    rows = kind.removeprefix("more_")
    return seeds.page(dice, rows, getattr(recording, rows))


def _refusal(dice: Random, recording: Recording) -> bytes:
    of_mlflow = [words.encode() for words in recording.refusals]
    return dice.choice([*of_mlflow, *seeds.GMS_REFUSALS, seeds.ECHO])


_ANSWERS: dict[str, Callable[[Random, Recording], bytes]] = {
    "version": lambda dice, _: dice.choice(seeds.VERSIONS),
    "config": lambda dice, _: dice.choice(seeds.CONFIGS),
    "listing": lambda _, __: LISTED,
    "stored": lambda _, __: STORED,
    "refusal": _refusal,
    "location": lambda dice, _: dice.choice(seeds.LOCATIONS),
    "wait": lambda dice, _: dice.choice(seeds.WAITS),
}


@cache
def _recordings() -> list[Recording]:
    return seeds.recordings()
