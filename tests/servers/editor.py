"""Somebody who edits what is on a real MLflow server, through its REST API of any version."""

import json
from typing import Any
from urllib.request import Request, urlopen


class Editor:
    """`Editor(server.url)("runs/set-tag", run_id=…, key="k", value="v")` returns the answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, endpoint: str, method: str = "POST", **body: Any) -> dict[str, Any]:
        request = Request(
            f"{self._url}/api/2.0/mlflow/{endpoint}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
            method=method,
        )
        with urlopen(request) as response:
            answer: dict[str, Any] = json.loads(response.read() or b"{}")
        return answer

    def runs(self) -> list[dict[str, Any]]:
        """All active runs of active experiments."""
        found = self("experiments/search", max_results=1_000)["experiments"]
        ids = [experiment["experiment_id"] for experiment in found]
        return list(self("runs/search", experiment_ids=ids, max_results=1_000).get("runs", []))
