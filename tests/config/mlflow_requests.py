"""Run by an interpreter that has MLflow: says what its client would send, for each case on standard input.

A case is what DataHub's connector is given: options of its recipe, and variables. MlflowClient is made as the connector
makes it (`_configure_client`), and asked for experiments and registered models; nothing is sent.
"""

import json
import os
import sys

import mlflow
import requests
from mlflow import MlflowClient


class Caught(BaseException):
    """The request that would be sent; not an Exception, so that nothing retries it."""

    def __init__(self, request: requests.PreparedRequest) -> None:
        super().__init__()
        self.request = request


def catch(_: requests.Session, request: requests.PreparedRequest, **__: object) -> None:
    """Stand in for `Session.send`."""
    raise Caught(request)


def main() -> None:
    """Answer all cases, a line for each."""
    requests.Session.send = catch  # type: ignore[method-assign, assignment]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    for line in sys.stdin:
        case = json.loads(line)
        os.environ.clear()
        os.environ.update(clean | case["environment"])
        mlflow.set_tracking_uri(None)
        print(json.dumps(asked(case["source"])), flush=True)


def asked(source: dict[str, str]) -> list[tuple[object, object]] | None:
    """URL and Authorization header of both listings; None if the connector does not start."""
    username, password = source.get("username"), source.get("password")
    if bool(username) != bool(password):
        return None
    if username and password:
        os.environ["MLFLOW_TRACKING_USERNAME"] = username
        os.environ["MLFLOW_TRACKING_PASSWORD"] = password
    client = MlflowClient(tracking_uri=source.get("tracking_uri"), registry_uri=source.get("registry_uri"))
    found: list[tuple[object, object]] = []
    for listing in (client.search_experiments, client.search_registered_models):
        try:
            listing()
        except Caught as caught:
            found.append((caught.request.url, caught.request.headers.get("Authorization")))
    return found


if __name__ == "__main__":
    main()
