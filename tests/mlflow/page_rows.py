"""Smaller pages of MLflow's listings, so that few rows take several."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import force_setattr

from crawler.mlflow.resources import RESOURCES


@contextmanager
def small_pages(**page_rows: int) -> Iterator[None]:
    """Within this context listings ask for that many rows a page: `small_pages(model_versions=5)`.

    Prompts and their versions ask for as many as models, unless they have a number of their own.
    """
    for of_prompts, of_models in (("prompts", "registered_models"), ("prompt_versions", "model_versions")):
        if of_models in page_rows:
            page_rows.setdefault(of_prompts, page_rows[of_models])
    before = {name: RESOURCES[name].page_rows for name in page_rows}
    for name, rows in page_rows.items():
        force_setattr(RESOURCES[name], "page_rows", rows)
    try:
        yield
    finally:
        for name, rows in before.items():
            force_setattr(RESOURCES[name], "page_rows", rows)
