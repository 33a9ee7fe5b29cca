"""Somebody who edits what is on a real MLflow server, through its REST API of any version."""

import json
from base64 import b64encode
from typing import Any
from urllib.request import Request, urlopen

COLUMNS = json.dumps({"mlflow_colspec": [{"name": "age", "type": "long"}]})


class Editor:
    """`Editor(server.url)("runs/set-tag", run_id=…, key="k", value="v")` returns the answer; signs in as a `user`."""

    def __init__(self, url: str, user: str = "", password: str = "") -> None:
        self._url = url
        login = b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Basic {login}"} if user else {})

    def __call__(self, endpoint: str, method: str = "POST", **body: Any) -> dict[str, Any]:
        url = f"{self._url}/api/2.0/mlflow/{endpoint}"
        with urlopen(Request(url, json.dumps(body).encode(), self._headers, method=method)) as response:
            answer: dict[str, Any] = json.loads(response.read() or b"{}")
        return answer

    def runs(self) -> list[dict[str, Any]]:
        """All active runs of active experiments."""
        found = self("experiments/search", max_results=1_000)["experiments"]
        ids = [experiment["experiment_id"] for experiment in found]
        return list(self("runs/search", experiment_ids=ids, max_results=1_000).get("runs", []))

    def experiment(self, name: str) -> str:
        """A new experiment's id."""
        experiment_id: str = self("experiments/create", name=name)["experiment_id"]
        return experiment_id

    def run(self, experiment_id: str, start: int, user: str = "ann", datasets: dict[str, str] | None = None) -> str:
        """The id of a new run, which has ended, with inputs: source types by name."""
        created = self("runs/create", experiment_id=experiment_id, start_time=start, user_id=user)
        run_id: str = created["run"]["info"]["run_id"]
        inputs = [
            {"dataset": {"name": name, "digest": "1", "source_type": source_type, "source": "{}", "schema": COLUMNS}}
            for name, source_type in (datasets or {}).items()
        ]
        if inputs:
            self("runs/log-inputs", run_id=run_id, datasets=inputs)
        self("runs/update", run_id=run_id, status="FINISHED", end_time=start + 1)
        return run_id

    def model(self, name: str, versions: int, run_id: str = "") -> None:
        """A new registered model with versions."""
        self("registered-models/create", name=name)
        for _ in range(versions):
            self("model-versions/create", name=name, source="s3://bucket/model", run_id=run_id)
