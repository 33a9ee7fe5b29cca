"""What a refused search says about the server as a whole."""

from crawler.errors import CredentialsRefused, RequestRefused, WrongServer

API = "/api/2.0/mlflow"
_NO_REGISTRY = "registry functionality is unavailable"


class ExperimentsMissing(Exception):
    """The server is MLflow, but older than 1.28.0: it has no experiments/search."""


class RegistryMissing(Exception):
    """The server is MLflow, but keeps its data where no model registry can be."""


def explain_refusal(refused: RequestRefused, url: str) -> Exception:
    """Return what a refused search of the registry means; `refused` itself where it says nothing of the server."""
    if _NO_REGISTRY in refused.answer:
        return RegistryMissing()
    if refused.status == 404:
        return WrongServer(
            f"{url} is not an MLflow server: it has no {API}/registered-models/search (404).",
            "Give the URL that MLflow's own client uses (MLFLOW_TRACKING_URI), with the base path if there is one.",
        )
    if refused.status == 403:
        return CredentialsRefused(
            f"MLflow at {url} does not allow these credentials to read its registered models (403).",
            "Use an account that may read the whole server.",
        )
    return refused
