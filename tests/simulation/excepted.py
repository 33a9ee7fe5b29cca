"""The URNs of what may differ after an incremental crawl, by docs/freshness.md."""

from collections.abc import Collection, Iterator

import msgspec

from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mapping.model_versions import model_urn
from crawler.mapping.runs import run_urn
from crawler.mlflow.entities import PARENT_TAG
from crawler.settings.mapping import MappingSettings
from tests.simulation.historian import Historian, Mark
from tests.simulation.tracking_server import TrackingServer

RUN = "urn:li:dataProcessInstance:"
MAX_SECONDS = 1e9


class Excepted:
    """Works out what the marks of a historian stand for."""

    def __init__(self, mlflow: TrackingServer, historian: Historian, settings: MappingSettings) -> None:
        self._mlflow = mlflow
        self._historian = historian
        self._settings = settings

    def urns(self, hidden: list[Mark], began: int, written: Collection[str]) -> set[str]:
        """What may differ after a crawl that began then: what the marks that it did not see stand for, and of what was
        `written` all that an edit may have changed since it began.
        """
        excepted = {urn for mark in hidden for urn in self._urns_of(mark)}
        if self._historian.edited_since(began):
            # Edits between two crawls of which the second goes on where the first was: the next one sees them.
            renamed = {each for each, time in self._historian.whole.items() if time >= began}
            for run_id, history in self._mlflow.runs.items():
                if (row := history.now) is not None and row.fields["info"]["experiment_id"] in renamed:
                    excepted.add(run_urn(run_id))
            excepted |= {urn for urn in written if not urn.startswith(RUN)}
        return excepted

    def _urns_of(self, mark: Mark) -> Iterator[str]:
        """What an edit of a run may change: the run, what is written with it, and those that name it."""
        yield run_urn(mark.run_id)
        for state in self._mlflow.runs[mark.run_id].within(0.0, MAX_SECONDS):
            mapper = CrawlMapper(self._settings)
            if state.entity is not None:
                active = msgspec.structs.replace(
                    state.entity, info=msgspec.structs.replace(state.entity.info, lifecycle_stage="active")
                )
                yield from (entity.urn for entity in mapper.run(active))
                yield from (entity.urn for entity in mapper.held())
        for (name, number), history in self._mlflow.versions.items():
            if (row := history.now) is not None and row.fields["run_id"] == mark.run_id:
                yield model_urn(name, str(number), self._settings)
        for run_id, runs in self._mlflow.runs.items():
            child = runs.now
            if child is not None and {"key": PARENT_TAG, "value": mark.run_id} in child.fields["data"]["tags"]:
                yield run_urn(run_id)
