"""Rows that are left out, since the server fails for every page that holds them."""

from typing import Generic

import msgspec

from crawler.mlflow.decoding import Row
from crawler.mlflow.entities import Run


class Skipped(msgspec.Struct, Generic[Row], frozen=True):
    """A row that is left out. It lies between two readable ones, None where there is none; `error_text` says why."""

    after: Row | None
    before: Row | None
    error_text: str

    def behind(self, after: Row | None) -> "Skipped[Row]":
        """Return the same with another row before it."""
        return Skipped(after, self.before, self.error_text)


def describe_row(skipped: Skipped[Row]) -> str:
    """Return what is known of a skipped row: the keys of the rows beside it, and the error."""
    return f"one {_between(_row(skipped.after), _row(skipped.before))}: {skipped.error_text}"


def describe_run(skipped: Skipped[Run], since: int | None, until: int | None) -> str:
    """Return what is known of a run that was skipped among those that started in [since, until), in ms since epoch."""
    after = _run(skipped.after) or ("" if since is None else f"start_time {since}")
    before = _run(skipped.before) or ("" if until is None else f"start_time {until}")
    return f"a run {_between(after, before)}: {skipped.error_text}"


def _between(after: str, before: str) -> str:
    if after and before:
        return f"between {after} and {before}"
    if after:
        return f"behind {after}, at the end"
    return f"before {before}, at the beginning" if before else "that is the only one"


def _run(run: Run | None) -> str:
    return f"{run.info.run_id} (start_time {run.info.start_time})" if run else ""


def _row(row: Row | None) -> str:
    """Return the row's name and version, or its id."""
    known = (str(getattr(row, field, "")) for field in ("experiment_id", "name", "version"))
    return " ".join(part for part in known if part)
