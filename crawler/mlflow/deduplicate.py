"""Rows that one page lists twice."""

from collections.abc import Callable

from crawler.mlflow.decoding import Row


def deduplicate(rows: list[Row], key: Callable[[Row], object]) -> tuple[list[Row], list[Row]]:
    """Return the first row of each key, and those others that differ from it.

    These are lost, since rows of one key in MLflow have one URN in DataHub.
    """
    first: dict[object, Row] = {}
    others = [row for row in rows if first.setdefault(key(row), row) is not row]
    return list(first.values()), [row for row in others if row != first[key(row)]]
