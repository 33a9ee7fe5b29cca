"""Each dataset once a crawl, although thousands of runs use it and each may tell something else of it.

MLflow knows a dataset only as an input of a run, and different ones share a name (autologging calls them all
"dataset"). The newest run's word on each aspect is what a crawl writes, whatever order the runs are read in.
"""

from collections import OrderedDict
from collections.abc import Iterator

from crawler.datahub.aspects import Aspect
from crawler.datahub.proposals import Entity
from crawler.mapping.once import Once
from crawler.mlflow.entities import Run

HELD_DATASETS = 2_000
REMEMBERED_DATASETS = 200_000

Rank = tuple[int, str]


class DatasetCatalog:
    """Holds datasets until the end of the crawl, at most `held` of them: the one unused for longest is then settled
    early.
    """

    def __init__(self, held: int = HELD_DATASETS, remembered: int = REMEMBERED_DATASETS) -> None:
        self._limit = held
        self._held: OrderedDict[str, dict[str, tuple[Rank, Aspect]]] = OrderedDict()
        self._settled = Once(remembered)

    def offer(self, dataset: Entity, run: Run) -> list[Entity]:
        """Takes what one run tells of a dataset; gives the datasets that are settled by that, if any."""
        if dataset.urn in self._settled:
            return []
        rank = (run.info.start_time or 0, run.info.run_id)
        held = self._held.setdefault(dataset.urn, {})
        for aspect in dataset.aspects:
            if aspect.NAME not in held or held[aspect.NAME][0] < rank:
                held[aspect.NAME] = (rank, aspect)
        self._held.move_to_end(dataset.urn)
        return [self._settle()] if len(self._held) > self._limit else []

    def drain(self) -> Iterator[Entity]:
        """All that is held, at the end of the crawl."""
        while self._held:
            yield self._settle()

    def _settle(self) -> Entity:
        urn, aspects = self._held.popitem(last=False)
        self._settled.first(urn)
        return Entity("dataset", urn, tuple(aspect for _, aspect in aspects.values()))
