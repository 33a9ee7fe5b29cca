"""The floor: every page of a server fetched, four at once, each by a new connection, and thrown away.

`python -m benchmarks.naive URL`. It knows before which pages there are, as it makes their tokens itself; nobody who
reads MLflow through its search endpoints can be faster than the server answers this.
"""

import argparse
import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import aiohttp

from benchmarks.data import FIRST_EXPERIMENT, Data, runs_by_experiment

RUNS_A_PAGE, AT_ONCE = 1_000, 4
MODELS_A_PAGE, VERSIONS_A_PAGE, LOGGED_MODELS_A_PAGE = 500, 2_000, 700


async def read_all(url: str, data: Data) -> int:
    """Fetches every page; gives how many bytes they had. Raises aiohttp's errors, also for an error's status."""
    pages = _pages(data)

    async def work(session: aiohttp.ClientSession) -> int:
        total = 0
        for method, path, options in pages:
            async with session.request(method, f"{url}/api/2.0/mlflow/{path}", **options) as answer:
                total += len(await answer.read())
        return total

    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
        return sum(await asyncio.gather(*(work(session) for _ in range(AT_ONCE))))


def _pages(data: Data) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each page's request: method, path, options."""
    yield "POST", "experiments/search", {"json": {"max_results": data.experiments + 1}}
    for path, count, size in (
        ("registered-models/search", data.models, MODELS_A_PAGE),
        ("model-versions/search", data.models * data.versions, VERSIONS_A_PAGE),
    ):
        for offset in range(0, count, size):
            yield "GET", path, {"params": {"max_results": size, **_token(offset)}}
    for number, count in enumerate(runs_by_experiment(data)):
        experiment = {"experiment_ids": [str(FIRST_EXPERIMENT + number)], "max_results": RUNS_A_PAGE}
        for offset in range(0, count, RUNS_A_PAGE):
            yield "POST", "runs/search", {"json": experiment | _token(offset)}
    for number, count in enumerate(runs_by_experiment(data._replace(runs=data.logged_models))):
        asked: dict[str, Any] = {"experiment_ids": [str(FIRST_EXPERIMENT + number)]}
        for offset in range(0, count, LOGGED_MODELS_A_PAGE):
            token = _token(offset, **asked, filter_string=None, order_by=None)
            yield "POST", "logged-models/search", {"json": asked | {"max_results": LOGGED_MODELS_A_PAGE} | token}


def _token(offset: int, **query: object) -> dict[str, str]:
    token = json.dumps({**query, "offset": offset})
    return {"page_token": base64.b64encode(token.encode()).decode()} if offset else {}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.naive", description=__doc__)
    parser.add_argument("url")
    for field in Data._fields:
        parser.add_argument(f"--{field}", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    given = vars(_arguments())
    print(asyncio.run(read_all(given.pop("url"), Data(**given))))
