"""A server of recorded pages, multiplied: MLflow's search endpoints at little more cost than sending bytes.

`python -m benchmarks.replay --runs N --experiments E [--models M --versions V] [--logged_models L] [--faults SHARE
--seed S]`; its URL is the first line of its output, what it counted the last. It knows what the crawler asks for and
refuses everything else with 400.
"""

import argparse
import asyncio
import json
import re
import signal
import sys
from typing import Any

from aiohttp import web

from benchmarks.pages import Pages, offset_of
from crawler.mlflow.resources import PROMPTS
from tests.servers.faulty import Faulty

API = "/api/2.0/mlflow"
VERSION = "3.17.2"
START_TIME_ASC = ["attributes.start_time ASC"]
START_TIME_DESC = ["attributes.start_time DESC"]

_CONDITION = re.compile(r"attributes\.(?:(start_time) (>=|<) (-?\d+)|(run_id) IN \(([^)]*)\))")
_CREATED = re.compile(r"creation_timestamp (>=|<) (\d+)")
_AND = re.compile(r"\s+and\s+", re.IGNORECASE)


class Replay:
    """Answers from `pages` and counts requests and bytes."""

    def __init__(self, pages: Pages) -> None:
        self.requests = 0
        self.bytes = 0
        self._pages = pages

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """The handler of all paths."""
        self.requests += 1
        if request.path == "/version":
            return web.Response(text=VERSION)
        query: dict[str, Any] = json.loads(await request.read()) if request.method == "POST" else dict(request.query)
        try:
            body = b"{}" if query.get("filter") == PROMPTS.filter else self._page(request.path, query)
        except ValueError as error:
            return web.json_response({"error_code": "INVALID_PARAMETER_VALUE", "message": str(error)}, status=400)
        if body is None:
            return web.json_response({"error_code": "ENDPOINT_NOT_FOUND", "message": request.path}, status=404)
        self.bytes += len(body)
        return web.Response(body=body, content_type="application/json")

    def _page(self, path: str, query: dict[str, Any]) -> bytes | None:
        limit = int(query.get("max_results", 100))
        offset = offset_of(query.get("page_token", ""))
        match path.removeprefix(API):
            case "/runs/search":
                return self._runs(query, limit, offset)
            case "/experiments/search":
                return self._pages.experiments(limit, offset)
            case "/registered-models/search":
                return self._pages.registered_models(limit, offset)
            case "/model-versions/search":
                return self._pages.model_versions(limit, offset)
            case "/logged-models/search":
                return self._logged_models(query, limit, offset)
        return None

    def _runs(self, query: dict[str, Any], limit: int, offset: int) -> bytes:
        experiment_ids: list[str] = query["experiment_ids"]
        since, until, run_ids = conditions(query.get("filter", ""))
        if run_ids is not None:
            return self._pages.runs_by_id(run_ids, experiment_ids)
        if query.get("order_by") == START_TIME_DESC:
            return self._pages.newest_run(experiment_ids)
        if query.get("order_by") != START_TIME_ASC:
            raise ValueError(f"The replay server orders runs by {START_TIME_ASC}, or gives the last one.")
        return self._pages.runs(experiment_ids, limit, offset=offset, since=since, until=until)

    def _logged_models(self, query: dict[str, Any], limit: int, offset: int) -> bytes:
        bounds: dict[str, int] = {}
        if not query["order_by"][0]["ascending"]:
            bounds[">="] = self._pages.newest_logged_model
        for condition in query["filter"].split(" AND ") if "filter" in query else ():
            match = _CREATED.fullmatch(condition)
            if match is None:
                raise ValueError(f"The replay server cannot filter by {condition!r}.")
            bounds[match[1]] = int(match[2])
        since, until = bounds.get(">=", 0), bounds.get("<")
        return self._pages.logged_models(query["experiment_ids"], limit, offset=offset, since=since, until=until)


def conditions(text: str) -> tuple[int | None, int | None, list[str] | None]:
    """The start times from and before which a filter asks for runs, and the run ids that it names; None where not.

    Raises ValueError for a filter of another kind.
    """
    since: int | None = None
    until: int | None = None
    run_ids: list[str] | None = None
    for condition in _AND.split(text.strip()) if text.strip() else ():
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise ValueError(f"The replay server cannot filter by {condition!r}.")
        if match[4]:
            run_ids = [run_id.strip(" '\"") for run_id in match[5].split(",")]
        elif match[2] == ">=":
            since = max(int(match[3]), since) if since is not None else int(match[3])
        else:
            until = min(int(match[3]), until) if until is not None else int(match[3])
    return since, until, run_ids


async def serve(pages: Pages, port: int, faulty: Faulty) -> None:
    """Serves until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    replay = Replay(pages)
    runner = web.ServerRunner(web.Server(faulty.around(replay.answer)))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    _say(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await ended.wait()
    await runner.cleanup()
    _say(json.dumps({"requests": replay.requests, "bytes": replay.bytes} | faulty.summary()))


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay", description=__doc__)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--experiments", type=int, required=True)
    parser.add_argument("--models", type=int, default=0)
    parser.add_argument("--versions", type=int, default=0, help="versions of each model")
    parser.add_argument("--logged_models", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that fail, from 0 to 1")
    parser.add_argument("--seed", type=int, default=1, help="of the faults")
    parser.add_argument("--port", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    given = _arguments()
    listed = Pages(given.runs, given.experiments, given.models, given.versions, logged_models=given.logged_models)
    asyncio.run(serve(listed, given.port, Faulty(given.faults, given.seed)))
