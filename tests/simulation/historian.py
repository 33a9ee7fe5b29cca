"""Somebody who works on MLflow for weeks between crawls, and notes of each edit whether an incremental crawl sees it.

The notes say what docs/freshness.md says, in the words of a test: an edit leaves a mark on all that it changes in
DataHub. A mark is seen by a crawl that reads the run that it is on, and by one that reads everything.
"""

import copy
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from crawler.mlflow.entities import PARENT_TAG
from tests.simulation.tracking_server import TrackingServer
from tests.simulation.writer import Amounts, Writer, of_logged_models

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
OVERLAP = HOUR
AMOUNTS = Amounts(experiments=3, runs=12, models=2, versions=5, ties=0.0)
ENDED = ("FINISHED", "FAILED", "KILLED")


class Mark(msgspec.Struct, frozen=True):
    """An edit at `time` (ms since epoch) that changes what DataHub has of a run, or of what is written with it.

    `by_run` says that a crawl which reads the run sees it.
    """

    run_id: str
    time: int
    by_run: bool = True


class Historian(Writer):
    """Draws edits. `now` tells the time in ms since epoch, at which runs start and end, but for those backfilled."""

    def __init__(self, server: TrackingServer, chance: Random, now: Callable[[], int]) -> None:
        super().__init__(server, chance, AMOUNTS)
        self._now = now
        self.marks: list[Mark] = []
        self.whole: dict[str, int] = {}
        """When experiments were created, renamed or restored last."""
        self.edits: list[tuple[int, str]] = []
        """When, and what."""
        self._edits: dict[Callable[[], None], int] = {
            self._create_run: 4,
            self._end_run: 4,
            self._edit_run: 4,
            self._backfill_run: 1,
            self._resume_run: 1,
            self._trash_or_restore_run: 2,
            self._purge_run: 1,
            self._create_experiment: 1,
            self._edit_experiment: 1,
            self._rename_experiment: 1,
            self._trash_or_restore_experiment: 1,
            self._purge_experiment: 1,
            self._create_model: 1,
            self._edit_model: 2,
            self._rename_model: 1,
            self._delete_model: 1,
            self._create_version: 3,
            self._edit_version: 2,
            self._delete_version: 1,
        }

    def write(self) -> None:
        """One edit, or none where there is nothing of that kind."""
        (edit,) = self._chance.choices([*self._edits], [*self._edits.values()])
        self.edits.append((self._now(), edit.__name__.strip("_")))
        edit()

    def edited_since(self, time: int) -> bool:
        """Whether there was an edit at this time or later."""
        return any(when >= time for when, _ in self.edits)

    def hidden(self, began: int, since: int | None, not_ended_since: int, listed: int) -> list[Mark]:
        """The marks that a crawl which began then does not see; `listed` is when the last one that ended well asked for
        the experiments.
        """
        if since is None:
            return [mark for mark in self.marks if mark.time >= began]
        return [
            mark
            for mark in self.marks
            if mark.time >= began or not mark.by_run or not self._is_read(mark.run_id, since, not_ended_since, listed)
        ]

    def _is_read(self, run_id: str, since: int, not_ended_since: int, listed: int) -> bool:
        row = self._server.runs[run_id].now
        if row is None:
            return False
        info = row.fields["info"]
        if self.whole.get(info["experiment_id"], -1) >= listed:
            return True
        if info["start_time"] >= since or (info["end_time"] is not None and info["end_time"] >= since):
            return True
        return info["status"] not in ENDED and info["start_time"] >= not_ended_since

    def mark(self, run_id: str, *, by_run: bool = True) -> None:
        self.marks.append(Mark(run_id, self._now(), by_run))

    def _mark_beside(self, run_id: str) -> None:
        """A run has come or gone: what others say of it, or say in its stead, is another thing now."""
        self.mark(run_id)
        self.mark(run_id, by_run=False)

    def _start_time(self) -> int | None:
        return self._now() - self._chance.randrange(10 * MINUTE)

    def _end(self, info: dict[str, Any]) -> None:
        """At the time of the edit, or not yet."""
        if self._chance.random() < 0.4:
            info["status"], info["end_time"] = self._chance.choice(ENDED), self._now()

    def _create_run(self) -> None:
        before = {*self._server.runs}
        super()._create_run()
        for run_id in self._server.runs.keys() - before:
            self.mark(run_id)

    def _backfill_run(self) -> None:
        """A run that lies in the past, as imported ones do."""
        before = {*self._server.runs}
        ago = self._chance.choice((2 * HOUR, 2 * DAY, 20 * DAY))
        now, self._now = self._now, lambda: now() - ago
        try:
            super()._create_run()
        finally:
            self._now = now
        for run_id in self._server.runs.keys() - before:
            self._mark_beside(run_id)

    def _end_run(self) -> None:
        if fields := self._one_of(lambda info: info["status"] not in ENDED):
            fields["info"]["status"] = self._chance.choice(ENDED)
            fields["info"]["end_time"] = self._now()
            self._put(fields)

    def _resume_run(self) -> None:
        """As `mlflow.start_run(run_id=…)` does it; the former end time stays."""
        if fields := self._one_of(lambda info: info["status"] in ENDED):
            fields["info"]["status"] = "RUNNING"
            self._put(fields)

    def _edit_run(self) -> None:
        if fields := self._one_of(lambda _: True):
            fields["data"]["tags"] = [tag for tag in fields["data"]["tags"] if tag["key"] == PARENT_TAG] + self._tags()
            fields["data"]["metrics"] = self._metrics() + of_logged_models(fields)
            if self._chance.random() < 0.3:
                fields["info"]["run_name"] = f"renamed {self._number()}"
            self._put(fields)

    def _put(self, fields: dict[str, Any]) -> None:
        self._server.put_run(fields)
        self.mark(fields["info"]["run_id"])

    def _one_of(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
        there = [row for history in self._server.runs.values() if (row := history.now) is not None]
        there = [row for row in there if row.active and wanted(row.fields["info"])]
        return copy.deepcopy(self._chance.choice(there).fields) if there else None

    def _trash_or_restore_run(self) -> None:
        fields = self._some(self._server.runs)
        if fields is None:
            return
        experiment = self._server.experiments[fields["info"]["experiment_id"]].now
        assert experiment is not None
        if experiment.active:
            info = fields["info"]
            info["lifecycle_stage"] = "active" if info["lifecycle_stage"] == "deleted" else "deleted"
            self._server.put_run(fields)
            self._mark_beside(info["run_id"])

    def _purge_run(self) -> None:
        if fields := self._some(self._server.runs):
            self._mark_beside(fields["info"]["run_id"])
            self._server.purge_run(fields["info"]["run_id"])

    def _create_experiment(self) -> None:
        super()._create_experiment()
        fields = copy.deepcopy([*self._server.experiments.values()][-1].now.fields)  # type: ignore[union-attr]
        fields["creation_time"] = fields["last_update_time"] = self._now()
        self._touch(fields)

    def _edit_experiment(self) -> None:
        """Its tags: MLflow moves no time for them."""
        if fields := self._some(self._server.experiments):
            fields["tags"] = [*self._tags(), {"key": "mlflow.note.content", "value": f"note {self._number()}"}]
            self._server.put_experiment(fields)

    def _rename_experiment(self) -> None:
        """Of an active one: MLflow renames no other."""
        fields = self._some(self._server.experiments)
        if fields is not None and fields["lifecycle_stage"] == "active":
            fields["name"] = f"renamed {self._number()}"
            fields["last_update_time"] = self._now()
            self._touch(fields)

    def _trash_or_restore_experiment(self) -> None:
        before = {key: history.now for key, history in self._server.experiments.items()}
        super()._trash_or_restore_experiment()
        for key, history in self._server.experiments.items():
            if (row := history.now) is not before[key] and row is not None:
                fields = copy.deepcopy(row.fields)
                fields["last_update_time"] = self._now()
                self._touch(fields)
                for run_id, runs in self._server.runs.items():
                    if (run := runs.now) is not None and run.fields["info"]["experiment_id"] == key:
                        self._mark_beside(run_id)

    def _purge_experiment(self) -> None:
        """With all of its runs and logged models."""
        if fields := self._some(self._server.experiments):
            for run_id, history in self._server.runs.items():
                run = history.now
                if run is not None and run.fields["info"]["experiment_id"] == fields["experiment_id"]:
                    self._mark_beside(run_id)
                    self._server.purge_run(run_id)
            for model_id, models in self._server.logged_models.items():
                model = models.now
                if model is not None and model.fields["info"]["experiment_id"] == fields["experiment_id"]:
                    self._server.delete_logged_model(model_id)
            self._server.purge_experiment(fields["experiment_id"])

    def _touch(self, fields: dict[str, Any]) -> None:
        self._server.put_experiment(fields)
        self.whole[fields["experiment_id"]] = self._now()

    def _rename_model(self) -> None:
        """All its versions are renamed with it."""
        fields = self._some(self._server.models)
        if fields is None:
            return
        name = f"renamed {self._number()}"
        old = fields["name"]
        self._server.put_model(fields | {"name": name})
        for number in self._versions_of(old):
            version = self._version(old, number)
            self._server.put_version(version | {"name": name, "last_updated_timestamp": self._now()})
        self._server.delete_model(old)

    def _delete_model(self) -> None:
        if fields := self._some(self._server.models):
            for number in self._versions_of(fields["name"]):
                self._mark_outputs(self._version(fields["name"], number))
            self._server.delete_model(fields["name"])

    def _delete_version(self) -> None:
        before = {key: row.fields for key, history in self._server.versions.items() if (row := history.now) is not None}
        super()._delete_version()
        for key, fields in before.items():
            if self._server.versions[key].now is None:
                self._mark_outputs(fields)

    def _version(self, name: str, number: int) -> dict[str, Any]:
        row = self._server.versions[name, number].now
        assert row is not None
        return row.fields

    def _mark_outputs(self, version: dict[str, Any]) -> None:
        """The run that made a version names it no more."""
        if version["run_id"] in self._server.runs:
            self.mark(version["run_id"])

    def _inputs(self) -> list[dict[str, Any]]:
        """Datasets of many names, or each would be touched by some edit that is not seen."""
        inputs = super()._inputs()
        for each in inputs:
            each["dataset"]["name"] = f"payments-{self._chance.randrange(30)}"
        return inputs
