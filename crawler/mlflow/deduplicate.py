"""Rows that one page lists twice."""

from collections.abc import Callable

from crawler.mlflow.decoding import Row


def deduplicate(rows: list[Row], key: Callable[[Row], object]) -> tuple[list[Row], list[Row]]:
    """The first row of each key, and those others that are not the same as the first: these are lost, since what has
    one key in MLflow has one URN in DataHub.
    """
    first: dict[object, Row] = {}
    others = [row for row in rows if first.setdefault(key(row), row) is not row]
    return list(first.values()), [row for row in others if row != first[key(row)]]
