"""The windows that one walk goes through: which mark its runs carry, and when a window ends."""

from collections.abc import Callable, Sequence

from crawler.checkpoint.mark import Mark, Window
from crawler.mlflow.entities import Run
from crawler.mlflow.paging import coverage


class WindowTracker:
    """Asked page by page. Runs of the last start time of a page come again with the next one and belong to that window,
    so they carry the next mark already.
    """

    def __init__(self, experiment_id: str, new_mark: Callable[[], Mark]) -> None:
        self._experiment_id = experiment_id
        self._new_mark = new_mark
        self.mark = new_mark()
        """That of the window at hand."""

    def end_window(self, covered: coverage.Window) -> None:
        """All runs of the window at hand have been handed on with its mark."""
        mark, self.mark = self.mark, self._new_mark()
        mark.seal(
            Window(self._experiment_id, covered.since, covered.until, covered.total, mark.runs, mark.deleted),
        )

    def count(self, runs: Sequence[Run]) -> None:
        """These are handed on with the mark at hand."""
        deleted = sum(run.deleted for run in runs)
        self.mark.runs += len(runs) - deleted
        self.mark.deleted += deleted


def parted(runs: list[Run], covered: coverage.Window | None) -> tuple[list[Run], list[Run]]:
    """The runs of the window that a page ends, and those of the next one."""
    until = None if covered is None else covered.until
    if until is None:
        return runs, []
    inside = [run for run in runs if run.info.start_time is None or run.info.start_time < until]
    return inside, [run for run in runs if run.info.start_time is not None and run.info.start_time >= until]
