"""Which of what older servers lack is asked for: by the recipe's choice and the server's version. Pure.

A server that tells no version is asked.
"""

from crawler.mlflow.server_version import is_older
from crawler.settings.selection import Include


def asks_prompts(include: Include, version: str | None) -> bool:
    """Return whether a registry of this version is asked for prompts."""
    return include.prompts and not is_older(version, 2, 21)


def asks_logged_models(include: Include, version: str | None) -> bool:
    """Return whether a server is asked for logged models."""
    return include.has_logged_models and not is_older(version, 3, 0)


def asks_evaluation_datasets(include: Include, version: str | None) -> bool:
    """Return whether a server is asked for evaluation datasets."""
    return include.evaluation_datasets and not is_older(version, 3, 4)


def asks_trace_counts(include: Include, version: str | None) -> bool:
    """Return whether a server is asked how many traces there are."""
    return include.trace_counts and not is_older(version, 3, 9)
