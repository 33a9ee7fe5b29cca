"""Pages of a large MLflow server, byte for byte as MLflow 3.17.2 writes them: recorded rows, multiplied.

Each run is one of the recorded ones with an id, name, user, times and experiment of its own.
"""

import base64
import json
import re
import textwrap
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parent / "recorded"
FIRST_START = 1_700_000_000_000
MS_BETWEEN_RUNS = 1_000
MS_OF_A_RUN = 60_000
USERS = 20

# An odd factor turns 0, 1, 2, … into ids that look as random as MLflow's and can be turned back.
_ID_FACTOR = 0x9E3779B97F4A7C15F39CC0605CEDC835
_ID_SPACE = 1 << 128
_ID_INVERSE = pow(_ID_FACTOR, -1, _ID_SPACE)


class Pages:
    """A server of `runs` runs, dealt out to `experiments` experiments in turn, and `models` models with `versions`
    versions each, which name runs. Its `logged_models` are dealt out in the same way, with 20 metrics each.

    Run n starts MS_BETWEEN_RUNS after run n - 1, whatever their experiments. With `datasets` each fourth run has a
    dataset as input.
    """

    def __init__(
        self,
        runs: int,
        experiments: int,
        models: int = 0,
        versions: int = 0,
        *,
        datasets: bool = True,
        logged_models: int = 0,
    ) -> None:
        if models * versions > runs:
            raise ValueError(f"{models * versions} versions need as many runs, and there are {runs}.")
        self._runs = runs
        self._experiments = experiments
        self._models = models
        self._versions = versions
        self._logged_models = logged_models
        self._users = [b'"user%02d"' % user for user in range(USERS)]
        self._run_rows = [_run_template(row) for row in _recorded("runs") if datasets or not row["inputs"]]
        self._experiment_row = _experiment_template(_recorded("experiments")[0])
        self._model_row = _model_template(_recorded("registered_models")[0])
        self._version_row = _version_template(_recorded("model_versions")[0])
        self._logged_model_row = _logged_model_template()

    def runs(
        self,
        experiment_ids: Sequence[str],
        limit: int,
        *,
        offset: int = 0,
        since: int | None = None,
        until: int | None = None,
    ) -> bytes:
        """`runs/search` by start time: those that started at `since` or later and before `until` (ms since epoch)."""
        first = 0 if since is None else _runs_before(since)
        end = self._runs if until is None else min(_runs_before(until), self._runs)
        places = sorted(place for place in map(_place, set(experiment_ids)) if place < self._experiments)
        skipped = self._matching(places, first) + offset
        total = self._matching(places, end)
        numbers = (self._number(places, index) for index in range(skipped, min(skipped + limit, total)))
        return _page("runs", map(self._run, numbers), offset + limit if skipped + limit < total else None)

    def newest_run(self, experiment_ids: Sequence[str]) -> bytes:
        """`runs/search` by start time, the latest first, with one row a page."""
        last = max(self._last(place) for place in map(_place, experiment_ids))
        return self.runs(experiment_ids, 1, since=FIRST_START + last * MS_BETWEEN_RUNS)

    def runs_by_id(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> bytes:
        """`runs/search` with `run_id IN`, all in one page."""
        wanted = set(map(_place, experiment_ids))
        numbers = sorted(filter(lambda number: 0 <= number < self._runs, map(_run_number, run_ids)))
        return _page("runs", (self._run(number) for number in numbers if number % self._experiments in wanted), None)

    def experiments(self, limit: int, offset: int = 0) -> bytes:
        """`experiments/search` by id."""
        rows = (
            self._experiment_row.fill(
                {"experiment_id": b'"%d"' % (place + 1), "name": b'"experiment %d"' % (place + 1)}
            )
            for place in _slice(self._experiments, limit, offset)
        )
        return _page("experiments", rows, _next(self._experiments, limit, offset))

    def registered_models(self, limit: int, offset: int = 0) -> bytes:
        """`registered-models/search` by name."""
        rows = (
            self._model_row.fill(self._version_values(model, self._versions))
            for model in _slice(self._models, limit, offset)
        )
        return _page("registered_models", rows, _next(self._models, limit, offset))

    def model_versions(self, limit: int, offset: int = 0) -> bytes:
        """`model-versions/search` by name and version."""
        total = self._models * self._versions
        places = (divmod(place, self._versions) for place in _slice(total, limit, offset))
        rows = (self._version_row.fill(self._version_values(model, index + 1)) for model, index in places)
        return _page("model_versions", rows, _next(total, limit, offset))

    def logged_models(
        self, experiment_ids: Sequence[str], limit: int, *, offset: int = 0, since: int = 0, until: int | None = None
    ) -> bytes:
        """`logged-models/search` by creation time; number n is created when run n starts."""
        first = _runs_before(since)
        end = self._logged_models if until is None else min(_runs_before(until), self._logged_models)
        places = sorted(place for place in map(_place, set(experiment_ids)) if place < self._experiments)
        skipped = self._matching(places, first) + offset
        total = self._matching(places, end)
        rows = (
            self._logged_model_row.fill(
                {
                    "model": _run_id(number),
                    "run": _run_id(number % self._runs),
                    "experiment_id": b'"experiment_id": "%d"' % (number % self._experiments + 1),
                    "created": b"%d" % (FIRST_START + number * MS_BETWEEN_RUNS),
                }
            )
            for number in (self._number(places, index) for index in range(skipped, min(skipped + limit, total)))
        )
        return _page("models", rows, offset + limit if skipped + limit < total else None)

    @property
    def newest_logged_model(self) -> int:
        """When the last logged model was created."""
        return FIRST_START + (self._logged_models - 1) * MS_BETWEEN_RUNS

    def _run(self, number: int) -> bytes:
        start = FIRST_START + number * MS_BETWEEN_RUNS
        experiment = number % self._experiments + 1
        values = {
            "run": _run_id(number),
            "name": b'"xgb-%06d"' % number,
            "user": self._users[number % USERS],
            "experiment_id": b'"experiment_id": "%d"' % experiment,
            "start_time": b'"start_time": %d' % start,
            "end_time": b'"end_time": %d' % (start + MS_OF_A_RUN),
            "dataset": b'"payments-%d"' % experiment,
        }
        return self._run_rows[number % len(self._run_rows)].fill(values)

    def _version_values(self, model: int, version: int) -> dict[str, bytes]:
        """A version names a run: all of them evenly spread over the runs, no run twice."""
        run = (model * self._versions + version - 1) * self._runs // (self._models * self._versions)
        return {"model": b'"model-%06d"' % model, "version": b'"version": "%d"' % version, "run": _run_id(run)}

    def _last(self, place: int) -> int:
        """The number of the last run of an experiment; negative where it has none."""
        return self._runs - 1 - (self._runs - 1 - place) % self._experiments

    def _matching(self, places: Sequence[int], before: int) -> int:
        """How many of the first `before` runs belong to these experiments."""
        rounds, rest = divmod(before, self._experiments)
        return rounds * len(places) + bisect_left(places, rest)

    def _number(self, places: Sequence[int], index: int) -> int:
        rounds, place = divmod(index, len(places))
        return rounds * self._experiments + places[place]


def offset_token(offset: int) -> str:
    """MLflow's token of the page that begins behind so many rows."""
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


def offset_of(token: str) -> int:
    """The offset in a token; 0 for none."""
    return int(json.loads(base64.b64decode(token))["offset"]) if token else 0


def _recorded(kind: str) -> list[dict[str, Any]]:
    body = (RECORDED / f"{kind}.json").read_text()
    answer = json.loads(body)
    if json.dumps(answer, indent=2) != body:
        raise ValueError(f"benchmarks/recorded/{kind}.json is not written as MLflow writes JSON. Record it anew.")
    rows: list[dict[str, Any]] = answer[kind]
    return rows


class _Template:
    """A recorded row as MLflow writes it within a page, with gaps for what differs from row to row.

    `gaps` tells which text of the row is which gap.
    """

    def __init__(self, row: dict[str, Any], gaps: dict[str, str]) -> None:
        text = textwrap.indent(json.dumps(row, indent=2), 4 * " ")
        if missing := [recorded for recorded in gaps if recorded not in text]:
            raise ValueError(f"The recorded pages lack {missing}. Record them anew, or change benchmarks/pages.py.")
        pieces = re.split("|".join(f"({re.escape(recorded)})" for recorded in gaps), text)
        names = [gaps[piece] for piece in pieces if piece in gaps]
        self._literals = [piece.encode() for piece in pieces if piece is not None and piece not in gaps]
        self._names = names

    def fill(self, values: dict[str, bytes]) -> bytes:
        """The row with a value in each gap."""
        parts = [b""] * (2 * len(self._names) + 1)
        parts[::2] = self._literals
        parts[1::2] = [values[name] for name in self._names]
        return b"".join(parts)


def _run_template(row: dict[str, Any]) -> _Template:
    info = row["info"]
    gaps = {
        info["run_id"]: "run",
        f'"{info["run_name"]}"': "name",
        f'"{info["user_id"]}"': "user",
        f'"experiment_id": "{info["experiment_id"]}"': "experiment_id",
        f'"start_time": {info["start_time"]}': "start_time",
        f'"end_time": {info["end_time"]}': "end_time",
    }
    if row["inputs"]:
        gaps['"payments"'] = "dataset"
    return _Template(row, gaps)


def _experiment_template(row: dict[str, Any]) -> _Template:
    return _Template(row, {f'"{row["name"]}"': "name", f'"{row["experiment_id"]}"': "experiment_id"})


def _model_template(row: dict[str, Any]) -> _Template:
    newest = row["latest_versions"][0]
    version = f'"version": "{newest["version"]}"'
    return _Template(row, {f'"{row["name"]}"': "model", version: "version", newest["run_id"]: "run"})


def _version_template(row: dict[str, Any]) -> _Template:
    version = f'"version": "{row["version"]}"'
    return _Template(row, {f'"{row["name"]}"': "model", version: "version", row["run_id"]: "run"})


def _logged_model_template() -> _Template:
    """As MLflow 3.17.2 writes one with 10 params, 20 metrics and 5 tags."""
    model_id, run_id, created = "m-" + "0" * 32, "f" * 32, 1_700_000_000_001
    metric = {"timestamp": created, "step": 3, "model_id": model_id, "run_id": run_id}
    row = {
        "info": {
            "model_id": model_id,
            "experiment_id": "77",
            "name": "xgb-model",
            "creation_timestamp_ms": created,
            "last_updated_timestamp_ms": created,
            "artifact_uri": f"s3://bucket/77/models/{model_id}/artifacts",
            "status": "LOGGED_MODEL_READY",
            "model_type": "",
            "source_run_id": run_id,
            "status_message": "",
            "tags": [{"key": f"tag{number}", "value": f"value {number}"} for number in range(5)],
        },
        "data": {
            "params": [{"key": f"param{number}", "value": str(number / 7)} for number in range(10)],
            "metrics": [{"key": f"metric{number}", "value": (number + 1) / 21, **metric} for number in range(20)],
        },
    }
    return _Template(
        row,
        {"0" * 32: "model", run_id: "run", '"experiment_id": "77"': "experiment_id", str(created): "created"},
    )


def _page(kind: str, rows: Iterable[bytes], next_offset: int | None) -> bytes:
    """A whole answer; an empty list is left out, as protobuf does."""
    listed = b",\n".join(rows)
    parts = []
    if listed:
        parts.append(b'  "%b": [\n%b\n  ]' % (kind.encode(), listed))
    if next_offset is not None:
        parts.append(b'  "next_page_token": "%b"' % offset_token(next_offset).encode())
    return b"{\n%b\n}" % b",\n".join(parts) if parts else b"{}"


def _slice(total: int, limit: int, offset: int) -> range:
    return range(offset, min(offset + limit, total))


def _next(total: int, limit: int, offset: int) -> int | None:
    return offset + limit if offset + limit < total else None


def _runs_before(time: int) -> int:
    """How many runs start before a time, were there no end of them."""
    return max(0, -((FIRST_START - time) // MS_BETWEEN_RUNS))


def _run_id(number: int) -> bytes:
    return b"%032x" % ((number + 1) * _ID_FACTOR % _ID_SPACE)


def _run_number(run_id: str) -> int:
    return int(run_id, 16) * _ID_INVERSE % _ID_SPACE - 1


def _place(experiment_id: str) -> int:
    return int(experiment_id) - 1
