"""Experiments that are read together: one search of runs covers a whole set of them. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from crawler.mlflow.paging.keyset import ALL, RunFilter
from crawler.pipeline.plan import Partition, Stretch, runs_of

FEWEST_SETS = 10
"""Few experiments make as many sets, so that several workers read them from the beginning on."""

Item = TypeVar("Item")


class ExperimentState(msgspec.Struct, eq=False):
    """An experiment that is read: how many sources still read its runs, and whether one of them has failed."""

    name: str
    sources: int
    failed: bool = False


class ExperimentSet(msgspec.Struct, frozen=True, eq=False):
    """Experiments by their ids, and the partitions of their runs."""

    experiments: dict[str, ExperimentState]
    partitions: list[Partition]


def experiment_sets(
    tracking: str,
    names: Mapping[str, str],
    stretches: Callable[[str], Sequence[Stretch]],
    size: Callable[[Sequence[Stretch]], int],
    chosen: RunFilter = ALL,
) -> Iterator[ExperimentSet]:
    """Yield sets of at most `size(stretches)` experiments, which is asked before each of them.

    `names` are those of the experiments by id; `stretches` says which runs of one are to be read, none or some. Those
    of a set are the same, so that each of its partitions is one for all of its experiments. All runs are of the
    `chosen` ones.
    """
    alike: defaultdict[tuple[Stretch, ...], list[str]] = defaultdict(list)
    for experiment_id in names:
        alike[tuple(stretches(experiment_id))].append(experiment_id)
    for to_read, experiment_ids in alike.items():
        first = 0
        while to_read and first < len(experiment_ids):
            some = experiment_ids[first : first + size(to_read)]
            first += len(some)
            states = {each: ExperimentState(names[each], len(to_read)) for each in some}
            yield ExperimentSet(states, runs_of(tracking, some, to_read, chosen))


def even_size(experiments: int, limit: int) -> int:
    """Return how many experiments make a set of at most `limit`, where there are so many to read."""
    return max(1, min(limit, -(-experiments // FEWEST_SETS)))


def even_slices(items: Sequence[Item], most: int) -> list[Sequence[Item]]:
    """Return the items in order, in as few slices of about the same size as hold at most `most` each."""
    count = -(-len(items) // most)
    return slices(items, -(-len(items) // count))


def slices(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return the items in order, at most `size` at a time."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def search_scopes(experiment_ids: Sequence[str], most: int, runs: int) -> list[Sequence[str]]:
    """Return the experiments of each search for `runs` runs by id, `most` at a time.

    One scope of no experiment stands for asking for each run alone, where that takes fewer requests.
    """
    scopes = slices(experiment_ids, most)
    return scopes if 0 < len(scopes) <= runs else [[]]
