"""Which experiments and runs are read and written, as far as their rows tell. Pure."""

from collections.abc import Iterable

from crawler.mapping.runs import NAME_TAG
from crawler.mlflow.entities import Experiment, Run
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.keyset import RunFilter
from crawler.settings.selection import Selection

_REGISTRY_TYPES = frozenset({"mlModelGroup", "mlModel"})
_VIEWS = {"active": "ACTIVE_ONLY", "deleted": "DELETED_ONLY", "all": "ALL"}


class RunChoice:
    """The choice of one crawl, which began at `now` (ms since epoch).

    `filter` is for MLflow to apply, `since` the earliest start time that counts, None for any.
    """

    def __init__(self, selection: Selection | None = None, now: int = 0) -> None:
        selection = selection or Selection()
        self.filter = RunFilter(selection.run_filter, only_deleted=selection.lifecycle == "deleted")
        self.since = None if selection.runs_since is None else selection.runs_since.start(now)
        self.writes_deleted = selection.lifecycle != "active"
        self.view = _VIEWS[selection.lifecycle]
        """The `run_view_type` of the runs that are written."""
        self.reads_runs = selection.reads_runs
        self.most = selection.max_runs_per_experiment
        self.selection = selection
        self._newest_from: dict[str, tuple[int, str]] = {}
        """The oldest run of each experiment that has more than `most`: start time and id."""

    def divide_experiments(
        self, listed: Iterable[Experiment]
    ) -> tuple[list[Experiment], list[Experiment], list[Experiment]]:
        """Return those that are written, those that are chosen and not written, since deleted, and the others.

        Where only deleted runs are chosen, active experiments are written, too: they may have some.
        """
        written: list[Experiment] = []
        deleted: list[Experiment] = []
        left_out: list[Experiment] = []
        for each in listed:
            if not self.chooses_experiment(each):
                left_out.append(each)
            elif each.lifecycle_stage == "deleted" and not self.writes_deleted:
                deleted.append(each)
            else:
                written.append(each)
        return written, deleted, left_out

    def chooses_experiment(self, experiment: Experiment) -> bool:
        """Return whether an experiment is chosen, deleted or not."""
        return self.selection.include.experiments and self.selection.experiment_pattern.allows(experiment.name)

    @property
    def knows_experiments(self) -> bool:
        """Whether a run's own row tells all that decides on it, but for what `filter` asks."""
        return self.most is None and self.selection.experiment_pattern.allows_all

    @property
    def chooses_names(self) -> bool:
        """Whether names of runs decide."""
        return not self.selection.run_name_pattern.allows_all

    def has_name(self, run: Run) -> bool:
        """Return whether the name of a run is a chosen one."""
        return self.selection.run_name_pattern.allows(_name(run))

    def take_newest(self, experiment_id: str, oldest: Run) -> None:
        """Leave out what is older than one run of its experiment."""
        self._newest_from[experiment_id] = _place(oldest)

    def since_of(self, experiment_id: str) -> int | None:
        """Return the earliest start time of an experiment's runs that counts, None for any."""
        newest_from = self._newest_from.get(experiment_id)
        return self.since if newest_from is None else -newest_from[0]

    def divide(self, runs: list[Run]) -> tuple[list[Run], list[Run]]:
        """Return the runs of a page that are chosen, deleted ones included, and those that are left out.

        Start times are looked at again: not every server keeps a filter.
        """
        if self.since is None and self.most is None and not (self.chooses_names or self.filter.only_deleted):
            return runs, []
        chosen: list[Run] = []
        left_out: list[Run] = []
        for run in runs:
            (chosen if self._chooses(run) else left_out).append(run)
        return chosen, left_out

    def writes(self, run: Run) -> bool:
        """Return whether a run of a chosen experiment is written, if it passes `filter`."""
        return self.reads_runs and (self.writes_deleted or not run.deleted) and self._chooses(run)

    def _chooses(self, run: Run) -> bool:
        newest_from = self._newest_from.get(run.info.experiment_id)
        return (
            (run.deleted or not self.filter.only_deleted)
            and (self.since is None or _start(run) >= self.since)
            and (newest_from is None or _place(run) <= newest_from)
            and (not self.chooses_names or self.has_name(run))
        )


def unread_types(selection: Selection) -> frozenset[str]:
    """Return the entity types of which a crawl reads nothing, and whose absence tells nothing."""
    return frozenset() if selection.include.registered_models else _REGISTRY_TYPES


def shown_name(run: Run) -> str:
    """Return how a run that is left out is named to users."""
    return f"{_name(run)} ({run.info.run_id})".lstrip()


def _name(run: Run) -> str:
    return run.info.run_name or next((tag.value for tag in run.data.tags if tag.key == NAME_TAG), "")


def _place(run: Run) -> tuple[int, str]:
    """Return what orders runs, the newest one first."""
    return -_start(run), run.info.run_id


def _start(run: Run) -> int:
    return EARLIEST if run.info.start_time is None else run.info.start_time
