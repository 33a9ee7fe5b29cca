"""The plan of a crawl: which parts of which listings are read, in stages. Pure.

`Partition("https://mlflow", "runs", ("7",), since=1000, until=2000)` are the runs of experiment 7 that started in the
second second of 1970. Filters, time windows, a resumed crawl and other processes all subtract partitions or split them.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import msgspec
from msgspec import structs

from crawler.checkpoint.intervals import EVERYTHING
from crawler.mlflow.paging.keyset import ALL, DELETED, RunFilter
from crawler.mlflow.resources import (
    EVALUATION_DATASETS,
    EXPERIMENTS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    PROMPT_VERSIONS,
    PROMPTS,
    REGISTERED_MODELS,
    RUNS,
)

STAGES = (
    (REGISTERED_MODELS.name, MODEL_VERSIONS.name, PROMPTS.name, PROMPT_VERSIONS.name, EVALUATION_DATASETS.name),
    (EXPERIMENTS.name,),
    (RUNS.name,),
    (LOGGED_MODELS.name,),
)
"""Resources by stage. Those of one stage are read side by side; a run needs its versions and its experiment."""


class Stretch(NamedTuple):
    """Runs that started from `since` on and before `until` (ms since epoch, None for an open end), on a `condition`."""

    since: int | None
    until: int | None
    condition: str = ""

    def since_or_later(self, since: int) -> "Stretch | None":
        """Return the part that started at `since` or later; None where there is none."""
        if self.until is not None and self.until <= since:
            return None
        return self._replace(since=since if self.since is None else max(self.since, since))


ALL_RUNS = Stretch(*EVERYTHING)


class Partition(msgspec.Struct, frozen=True):
    """A part of one listing of one server; frozen and picklable.

    `scope` are the experiments of a partition of runs, empty for a whole listing. Its runs started at `since` or later
    and before `until` (ms since epoch); None is an open end, which includes runs without start time. Where there is a
    `condition`, they are those that pass it, a filter of MLflow or DELETED. All are of the `chosen` ones.
    """

    server: str
    resource: str
    scope: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    condition: str = ""
    chosen: RunFilter = ALL

    @property
    def stage(self) -> int:
        """The stage in which it is read, from 0."""
        return next(number for number, names in enumerate(STAGES) if self.resource in names)

    @property
    def has_filter(self) -> bool:
        """Whether its condition is a filter, which a server may not know."""
        return self.condition not in {"", DELETED}

    def only(self, since: int | None, until: int | None) -> "Partition":
        """Return the part between two start times, which lie within this one."""
        return structs.replace(self, since=since, until=until)

    def of_experiments(self, experiment_ids: Iterable[str]) -> "Partition":
        """Return the part of some of its experiments."""
        return structs.replace(self, scope=tuple(experiment_ids))

    def whole(self) -> "Partition":
        """Return the same without its condition."""
        return structs.replace(self, condition="")

    def split(self, cuts: Iterable[int]) -> list["Partition"]:
        """Return the parts between ascending start times within it. Each run is in one part only."""
        return [self.only(*bounds) for bounds in pairwise([self.since, *cuts, self.until])]


def listings(tracking: str, registry: str) -> list[Partition]:
    """Return the listings of a whole server, in the order of their stages."""
    return [
        Partition(registry, REGISTERED_MODELS.name),
        Partition(registry, MODEL_VERSIONS.name),
        Partition(tracking, EXPERIMENTS.name),
    ]


def runs_of(
    tracking: str,
    experiment_ids: Iterable[str],
    stretches: Iterable[Stretch] = (ALL_RUNS,),
    chosen: RunFilter = ALL,
) -> list[Partition]:
    """Return the partitions of the runs of some experiments that lie in the `stretches`, those that are to be read."""
    scope = tuple(experiment_ids)
    return [Partition(tracking, RUNS.name, scope, *stretch, chosen) for stretch in stretches]
