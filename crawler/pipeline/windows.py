"""The windows that one source reads: which ack its runs carry, and when a window ends."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from crawler.checkpoint.acks import Window as DoneWindow
from crawler.checkpoint.acks import WindowAck
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.coverage import Window


class WindowTracker:
    """Track the window that is being read.

    Runs that share a page's last start time are returned again by the next page, so they are counted in the next
    window.
    `ack` is that of the window at hand; None where nobody waits for it.
    """

    def __init__(self, experiment_ids: Sequence[str], new_ack: Callable[[], WindowAck | None]) -> None:
        """Begin with the first window of a source that reads these experiments."""
        self.ack = new_ack()
        self._experiment_ids = experiment_ids
        self._new_ack = new_ack
        self._written: Counter[str] = Counter()
        self._deleted: Counter[str] = Counter()
        self._left_out: Counter[str] = Counter()

    def count(self, runs: Sequence[Run], *, writes_deleted: bool = False) -> None:
        """Count runs whose entities carry the ack at hand: those that are written, and those that are only deleted."""
        if self.ack is not None:
            for run in runs:
                is_written = writes_deleted or not run.deleted
                (self._written if is_written else self._deleted)[run.info.experiment_id] += 1

    def count_left_out(self, runs: Iterable[Run]) -> None:
        """Count runs of the window at hand that are not chosen."""
        if self.ack is not None:
            self._left_out.update(run.info.experiment_id for run in runs)

    def end(self, window: Window) -> None:
        """Seal the window at hand: all its runs carry the ack. The next one begins."""
        if self.ack is not None:
            self.ack.seal([self._done(window, experiment_id) for experiment_id in self._experiment_ids])
        self.ack = self._new_ack()
        self._written.clear()
        self._deleted.clear()
        self._left_out.clear()

    def go_on_as(self, ack: WindowAck | None) -> None:
        """Let the window at hand have another ack, which is not done before the one that it has."""
        if self.ack is not None and ack is not None:
            self.ack.hand_over([ack])
            self.ack = ack

    def take_apart(self, scopes: Iterable[Sequence[str]]) -> list["WindowTracker"]:
        """Return trackers for some of the experiments each, as which the window at hand goes on."""
        parts = []
        for experiment_ids in scopes:
            part = WindowTracker(experiment_ids, self._new_ack)
            part._written.update({each: self._written[each] for each in experiment_ids})
            part._deleted.update({each: self._deleted[each] for each in experiment_ids})
            part._left_out.update({each: self._left_out[each] for each in experiment_ids})
            parts.append(part)
        if self.ack is not None:
            self.ack.hand_over([part.ack for part in parts if part.ack is not None])
        return parts

    def _done(self, window: Window, experiment_id: str) -> DoneWindow:
        return DoneWindow(
            experiment_id,
            window.since,
            window.until,
            window.rows.get(experiment_id, 0),
            self._written[experiment_id],
            self._deleted[experiment_id],
            self._left_out[experiment_id],
        )


def split_at(runs: list[Run], window: Window | None) -> tuple[list[Run], list[Run]]:
    """Return the runs of the window that a page ends, and those of the next one."""
    until = None if window is None else window.until
    if until is None:
        return runs, []
    inside: list[Run] = []
    beyond: list[Run] = []
    for run in runs:
        start = run.info.start_time
        (inside if start is None or start < until else beyond).append(run)
    return inside, beyond
