"""What a refused search says about a listing, and about a server that gives no listing at all. Pure."""

import re
from typing import Any

from crawler.errors import CrawlerError, CredentialsRefused, RequestRefused, ServerError, WrongServer
from crawler.http import Response
from crawler.http.status_policy import BAD_REQUEST, FORBIDDEN, NO_ENDPOINT, PROXY_UNAUTHORIZED, UNPROCESSABLE
from crawler.mlflow.resources import Resource

API = "/api/2.0/mlflow"
_NO_REGISTRY = "registry functionality is unavailable"
_NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
_NO_SUCH_ROW = "RESOURCE_DOES_NOT_EXIST"
_DISABLED = "FEATURE_DISABLED"
_ORDER_BY = re.compile(r"order[_ ]?by", re.IGNORECASE)
_HOST_HEADER = re.compile(r"\bhost header\b", re.IGNORECASE)


def is_missing(error: CrawlerError) -> bool:
    """Return whether the server has no such listing: a file store, DagsHub, GitLab."""
    return _has_no_registry(error) or _has_no_endpoint(error) or is_disabled(error)


def says_disabled(response: Response) -> bool:
    """Return whether MLflow answers 500 for what its store will never be able to answer, as a file store does."""
    return _DISABLED.encode() in response.body


def wants_filter(error: CrawlerError) -> bool:
    """Return whether the server may want a filter for this search, as Databricks does for model versions."""
    return isinstance(error, RequestRefused) and error.status == BAD_REQUEST and not is_missing(error)


def says_no_such_row(refused: RequestRefused) -> bool:
    """Return whether the server knows the request, and says that what it asks for is not there."""
    return refused.status in NO_ENDPOINT and _NO_SUCH_ROW in refused.answer


def refuses_order_list(error: RequestRefused) -> bool:
    """Return whether the server refuses `order_by` as a list, as GitLab does, which wants a text."""
    return error.status in {BAD_REQUEST, UNPROCESSABLE} and bool(_ORDER_BY.search(error.answer))


def no_listing(error: CrawlerError, url: str, resource: Resource[Any]) -> CrawlerError:
    """Return the error of a server that gives no listing at all; `error` is why it does not give `resource`."""
    if not isinstance(error, RequestRefused):
        return error
    if _has_no_endpoint(error):
        return WrongServer(
            f"{url} is not an MLflow server: it has no {API}/{resource.endpoint} ({error.status}).",
            "Give the URL that MLflow's own client uses (MLFLOW_TRACKING_URI), with the base path if there is one.",
        )
    if error.status == PROXY_UNAUTHORIZED:
        return ServerError(error.message, error.hint)
    if error.status != FORBIDDEN:
        return error
    if _HOST_HEADER.search(error.answer):
        return ServerError(
            error.message,
            "Perhaps MLflow does not know the host name in its URL (MLflow 3.5 and later): start it with "
            "--allowed-hosts, or use another URL of it.",
        )
    return CredentialsRefused(error.message, error.hint)


def _has_no_registry(error: CrawlerError) -> bool:
    return isinstance(error, RequestRefused) and _NO_REGISTRY in error.answer


def is_disabled(error: CrawlerError) -> bool:
    """Return whether the server's store is none that could ever answer this."""
    return isinstance(error, RequestRefused) and _DISABLED in error.answer


def _has_no_endpoint(error: CrawlerError) -> bool:
    if not isinstance(error, RequestRefused):
        return False
    return _NO_ENDPOINT in error.answer or (error.status in NO_ENDPOINT and _NO_SUCH_ROW not in error.answer)
