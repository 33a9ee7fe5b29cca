"""The page docs/comparison.md as Markdown: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

import yaml

from scripts.comparison.delivered import AspectRow, Mark
from scripts.comparison.field_differences import Difference, How
from scripts.official_options import RELEASE

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
SHOWN_KEYS = 4
WIDTH = 120

HEAD = f"""\
# What each delivers: the official connector and this crawler

<!-- Written by `python -m scripts.comparison`: change scripts/comparison/ instead. -->

`python -m scripts.comparison` starts real MLflow servers, runs DataHub's own MLflow connector (acryl-datahub {RELEASE})
and this crawler on each, both into a file, and writes this page from the two files and the servers' access logs. Nobody
types a number. How long each takes is in [performance.md](performance.md).

- Both run the same recipe with default options; where this crawler has more on, the section of the server says which.
- *Kind* is DataHub's entity type with its subtype. A number counts entities that have the aspect.
- *Equal* counts entities with the same value from both; the order of lists does not count.
- *Ours adds* lists fields, map keys and list entries (`[]`) that only this crawler writes, *official adds* those that
  only the official connector writes, *other value* those that both write with different values. The number after each
  is that of the entities.
- `tests/pipeline/test_golden.py` holds each difference on the first server to a list of those that are on purpose.
"""

OTHERS = f"""
## What others do

Read in the named source, not run. Each source may have changed since.

- **DataHub's MLflow connector** is bound to MLflow's client of before prompts and logged models: `mlflow-skinny<2.21.0`
  (metadata of [acryl-datahub {RELEASE}](https://pypi.org/project/acryl-datahub/{RELEASE}/), extra `mlflow`).
- **MLflow** lists model versions without their aliases, where the official connector looks for them
  ([mlflow#16734](https://github.com/mlflow/mlflow/issues/16734)). This crawler takes them from the list of registered
  models.
- **DataHub's Unity Catalog connector** reads registered models of Databricks' Unity Catalog, with aliases by option
  (`include_ml_models`, `include_ml_model_aliases` in `datahub/ingestion/source/unity/config.py`, acryl-datahub
  {RELEASE}). It reads no other MLflow server.
- **OpenMetadata's MLflow connector** writes one model for each registered model, made of its newest version and that
  version's run (`get_mlmodels` in
  [metadata.py](https://github.com/open-metadata/OpenMetadata/blob/01798d5c6260348f3fac68479a0121c67f91a3c8/ingestion/src/metadata/ingestion/source/mlmodel/mlflow/metadata.py)),
  since August 2026 with the signature of MLflow 3's models
  ([OpenMetadata#32024](https://github.com/open-metadata/OpenMetadata/pull/32024)).
- **mlflow-export-import** copies one MLflow server to another, also logged models, prompts, traces and evaluation
  datasets ([README](https://github.com/mlflow/mlflow-export-import/blob/cf626079fc6729b10e34c2fd0fa3cf36fbfb30b2/README.md),
  January 2026). It is not made to write to a catalog.
"""


class ServerComparison(NamedTuple):
    """Both crawls of one server.

    Attributes:
        title: which server it is.
        intro: what is on it.
        options: what this crawler's source has beside the defaults.
        exit_codes: of the official connector and of this crawler.
        changing: how many aspects each wrote with several values.
        requests: requests to MLflow by endpoint, of each.
        rows: what each delivered.
        marks: how many of the things on the server are in what each delivered; empty if that is not known.
    """

    title: str
    intro: str
    options: Mapping[str, object]
    exit_codes: tuple[int, int]
    changing: tuple[int, int]
    requests: tuple[Mapping[str, int], Mapping[str, int]]
    rows: Sequence[AspectRow]
    marks: Sequence[Mark] = ()


def render(servers: Sequence[ServerComparison]) -> str:
    """Return the page."""
    return "\n".join([HEAD, *(line for each in servers for line in _server(each)), *_unread(servers), OTHERS])


def _server(server: ServerComparison) -> Iterator[str]:
    rows, requests = server.rows, server.requests
    equal, differ = sum(row.equal for row in rows), sum(row.both - row.equal for row in rows)
    yield f"## {server.title}\n"
    yield f"{server.intro}\n"
    if server.options:
        yield "This crawler's source has these options on:\n"
        yield f"```yaml\n{yaml.safe_dump(dict(server.options), sort_keys=False)}```\n"
    yield from _table(
        ("", "official connector", "this crawler"),
        [
            ("aspects", sum(row.official for row in rows), sum(row.ours for row in rows)),
            ("aspects written with several values, of which the last one wins", *server.changing),
            ("requests to MLflow", sum(requests[0].values()), sum(requests[1].values())),
            ("exit code", *server.exit_codes),
        ],
    )
    yield (
        f"{equal} aspects are equal, {differ} differ, {_only(rows, ours=True)} are ours only, "
        f"{_only(rows, ours=False)} the official connector's only.\n"
    )
    if server.marks:
        yield "### What is on the server\n"
        yield "How many of them are in what was delivered, by an id or a text of their own:\n"
        yield from _table(("", "on the server", "official", "ours"), server.marks)
    yield "### By kind and aspect\n"
    yield from _table(
        ("kind", "aspect", "official", "ours", "equal", *(_HEADINGS[how] for how in How)), map(_aspect_cells, rows)
    )
    yield "### Requests to MLflow\n"
    names = sorted(requests[0].keys() | requests[1].keys())
    yield from _table(
        ("endpoint", "official", "ours"), [(f"`{name}`", *(each.get(name, 0) for each in requests)) for name in names]
    )


_HEADINGS = {How.OURS_ONLY: "ours adds", How.OFFICIAL_ONLY: "official adds", How.OTHER: "other value"}


def _aspect_cells(row: AspectRow) -> tuple[object, ...]:
    equal = row.equal if row.both else ""
    return (row.kind, f"`{row.aspect}`", row.official, row.ours, equal, *(_fields(row.differences, how) for how in How))


def _fields(counts: Mapping[Difference, int], how: How) -> str:
    """Return the fields that differ in this way, each with its keys and the most entities of any of them."""
    keys: dict[str, list[str]] = {}
    entities: dict[str, int] = {}
    for difference, count in sorted(counts.items(), key=lambda item: (item[0].field, item[0].key)):
        if difference.how is how:
            keys.setdefault(difference.field, []).append(difference.key)
            entities[difference.field] = max(count, entities.get(difference.field, 0))
    return "; ".join(f"`{field}`{_keys(names)} ({entities[field]})" for field, names in keys.items())


def _keys(names: Sequence[str]) -> str:
    named = [f"`{name}`" for name in names if name]
    more = f" and {len(named) - SHOWN_KEYS} more" if len(named) > SHOWN_KEYS else ""
    return f": {', '.join(named[:SHOWN_KEYS])}{more}" if named else ""


def _unread(servers: Sequence[ServerComparison]) -> Iterator[str]:
    marks = [mark for server in servers for mark in server.marks]
    neither = [mark.kind for mark in marks if not mark.official and not mark.ours]
    ours = [mark.kind for mark in marks if mark.official < mark.ours]
    official = [mark.kind for mark in marks if mark.official > mark.ours]
    yield "## What neither delivers\n"
    yield f"{_sentence('Of what is on these servers, neither delivers', neither)}\n"
    yield f"{_sentence('This crawler delivers more of', ours)}\n"
    yield _sentence("The official connector delivers more of", official)


def _sentence(beginning: str, kinds: Sequence[str]) -> str:
    return fill(f"{beginning}: {', '.join(kinds) or 'nothing'}.", WIDTH)


def _only(rows: Iterable[AspectRow], *, ours: bool) -> int:
    return sum((row.ours if ours else row.official) - row.both for row in rows)


def _table(head: tuple[str, ...], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(str(cell).replace('|', '&#124;') for cell in row)} |"
    yield ""
