"""What must be marked as removed in DataHub after a crawl with stale removal, and what must not."""

from collections.abc import Iterator, Mapping
from typing import Any

from crawler.mapping.runs import run_urn
from crawler.removal.own_kinds import LOGGED_MODEL, kind_of
from crawler.removal.stale import is_removable
from crawler.telemetry.report import Report
from tests.simulation.excepted import MAX_SECONDS, RUN
from tests.simulation.metadata_server import MetadataServer
from tests.simulation.tracking_server import TrackingServer
from tests.simulation.writer import NEWEST

LISTED_WHOLE = {"mlModelGroup", "mlModel", "container"}
"""By each crawl; datasets are known from runs, runs from the state, and logged models are read as far as they changed:
only a crawl of everything misses these.
"""
OF_EVERYTHING = LISTED_WHOLE | {"dataset", "dataProcessInstance", LOGGED_MODEL}


class Removals:
    """Holds each `status` in DataHub against MLflow, crawl for crawl.

    What a crawl that was killed has written is in no checkpoint, so what must vanish is what was there when an earlier
    crawl ended well.
    """

    def __init__(self, mlflow: TrackingServer, gms: MetadataServer) -> None:
        self._mlflow = mlflow
        self._gms = gms
        self._listed: set[str] = set()
        self._written = 0
        self._removed: set[str] = set()
        self._untold: set[str] = set()
        """Removed while a crawl was killed, perhaps by it, before its checkpoint: a later one may remove them again."""
        self.count = 0
        """How often something was marked as removed."""
        self._had_failures = False
        """The last crawl: where it could not remove all runs of an experiment, the next one removes that once more."""

    def judge(
        self,
        report: Report,
        began: int,
        expected: Mapping[tuple[str, str], Any],
        excepted: set[str],
        *,
        is_alone: bool,
        is_edited: bool,
    ) -> Iterator[str]:
        """What is wrong after a crawl that began then; `expected` is what one without a state gives.

        The crawl `is_alone` where none before it was killed; MLflow `is_edited` where it was since the crawl began.
        """
        before = set(self._removed)
        again = self._told_again()
        if is_alone and not self._had_failures:
            yield from (f"{urn} was marked as removed twice" for urn in again if urn not in self._untold)
        self._untold -= {*again}
        if not is_alone:
            self._untold |= self._removed - before
        there = {urn for urn, name in expected if name == "status"}
        returned = {urn for urn in self._removed & there - excepted if urn not in self._gms.bad}
        yield from (f"{urn} is removed, and MLflow has it" for urn in sorted(returned))
        yield from (f"{urn} is removed, and not MLflow's own" for urn in sorted(self._removed) if not _is_own(urn))
        shown = {urn for urn, name in self._gms.aspects if name == "status" and urn not in self._gms.bad}
        shown -= self._removed
        yield from (f"{urn} is in the trash, and not removed" for urn in self._trash(began, report) if urn in shown)
        self._had_failures = bool(report.failures)
        if is_edited:
            return
        if not report.failures:
            seen = OF_EVERYTHING if is_alone and report.since is None else LISTED_WHOLE
            stale = (urn for urn in sorted(shown & self._listed - there) if kind_of(urn) in seen and _is_own(urn))
            yield from (f"{urn} is gone, and not removed" for urn in stale)
        self._listed |= there

    def _told_again(self) -> list[str]:
        """Takes over what was written since the last crawl; returns what was marked as removed and was so before."""
        again = []
        for urn, name, value in self._gms.history[self._written :]:
            if name == "status":
                self.count += value["removed"]
                if value["removed"] and urn in self._removed:
                    again.append(urn)
                (self._removed.add if value["removed"] else self._removed.discard)(urn)
        self._written = len(self._gms.history)
        return again

    def _trash(self, began: int, report: Report) -> Iterator[str]:
        """Runs that were in the trash all the time; after failures, experiments stay, and their runs with them."""
        for run_id, history in self._mlflow.runs.items():
            if history.now is None or any(row.active for row in history.within((began - NEWEST) / 1_000, MAX_SECONDS)):
                continue
            experiment = self._mlflow.experiments[history.now.fields["info"]["experiment_id"]].now
            if not report.failures or (experiment is not None and experiment.active):
                yield run_urn(run_id)


def _is_own(urn: str) -> bool:
    return urn.startswith(RUN) or is_removable(urn)
