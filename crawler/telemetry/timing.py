"""Where the time of a crawl goes: its own CPU by stage, and waiting by server."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

Clock = Callable[[], float]
Stage = Literal["decode", "map", "transform", "encode", "send"]
STAGES: tuple[Stage, ...] = ("decode", "map", "transform", "encode", "send")
Party = Literal["mlflow", "datahub", "queue", "rate", "disk", "other"]
PARTIES: tuple[Party, ...] = ("mlflow", "datahub", "queue", "rate", "disk", "other")
"""What a crawl waits for: answers of both servers, DataHub's queue, the limit of requests per second, the disk.

`other` is pauses before retries.
"""

_NAMES: dict[str, str] = {
    "mlflow": "MLflow answers slowest",
    "datahub": "DataHub answers slowest",
    "cpu": "this crawler's CPU is the limit",
    "queue": "DataHub's queue is the limit",
    "rate": "the limit of requests per second is the limit",
    "disk": "the disk is the limit",
    "other": "pauses before retries are the limit",
}


class Timing:
    """Splits the time since its creation into CPU seconds of this process and seconds of waiting for each party."""

    def __init__(self, clock: Clock = time.perf_counter, cpu_clock: Clock = time.process_time) -> None:
        """Start now. Both clocks are in seconds."""
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._party: Party = "other"
        self._stages: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        self._waited: dict[str, float] = dict.fromkeys(PARTIES, 0.0)
        self.additions = 0
        """How often another thread has told of its work."""
        self._begun = self._noted = (clock(), cpu_clock())

    @contextmanager
    def stage(self, name: Stage) -> Iterator[None]:
        """Count the CPU time of the context, in which nothing may be awaited, to a stage."""
        start = self._cpu_clock()
        try:
            yield
        finally:
            self._stages[name] += self._cpu_clock() - start

    def add(self, name: Stage, seconds: float) -> None:
        """Count CPU time that another thread spent to a stage."""
        self._stages[name] += seconds
        self.additions += 1

    def wait_for(self, party: Party) -> None:
        """Attribute idle time from now on to a party."""
        if party != self._party:
            self._note()
            self._party = party

    @contextmanager
    def on_disk(self) -> Iterator[None]:
        """Attribute the idle time of the context, in which nothing may be awaited, to the disk."""
        party = self._party
        self.wait_for("disk")
        try:
            yield
        finally:
            self.wait_for(party)

    def shares(self) -> dict[str, float]:
        """Return the seconds so far by `cpu` and by party; their sum is the time that has passed."""
        self._note()
        return {"cpu": self._noted[1] - self._begun[1], **self._waited}

    @property
    def limit(self) -> str:
        """What limited the crawl so far, in words."""
        return slowest(dict.fromkeys(self.shares(), 0.0), self.shares())

    def to_dict(self) -> dict[str, object]:
        """Return the report's `time`: CPU seconds by stage (`other` is HTTP and the event loop), waiting by party."""
        shares = self.shares()
        cpu = shares.pop("cpu")
        rest = max(cpu - sum(self._stages.values()), 0.0)
        return {"cpu_s": _rounded({"total": cpu, **self._stages, "other": rest}), "waiting_s": _rounded(shares)}

    def _note(self) -> None:
        now, cpu = self._clock(), self._cpu_clock()
        idle = (now - self._noted[0]) - (cpu - self._noted[1])
        self._waited[self._party] += max(idle, 0.0)
        self._noted = (now, cpu)


def slowest(before: dict[str, float], now: dict[str, float]) -> str:
    """Return what limited the crawl between two `shares`, in words."""
    return _NAMES[max(now, key=lambda name: now[name] - before[name])]


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in seconds.items()}
