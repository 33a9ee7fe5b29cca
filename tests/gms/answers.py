"""The bodies that GMS, the servlets before it and the proxies around it answer with."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

JSON = "application/json"
HTML = "text/html"


class Refusal(Exception):
    """The whole request is refused with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def as_json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Any body as JSON."""
    return web.Response(status=status, body=orjson.dumps(body), content_type=JSON, headers=headers)


def unauthorized(accept: str) -> web.Response:
    """The servlet filter before Rest.li (AEF) lets Jetty write the page: HTML unless JSON was asked for."""
    message = "Unauthorized to perform this action."
    if JSON in accept:
        return as_json({"servlet": "apiServlet", "message": message, "url": "/aspects", "status": "401"}, 401)
    page = f"<html><head><title>Error 401 {message}</title></head><body><h2>HTTP ERROR 401</h2></body></html>"
    return web.Response(status=401, text=page, content_type=HTML)


def too_large() -> web.Response:
    """What a proxy before GMS answers (issue #11904)."""
    page = "<html><head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>"
    return web.Response(status=413, text=page, content_type=HTML)


def not_found(path: str) -> web.Response:
    """Jetty's answer for a path that nothing serves."""
    return as_json({"servlet": "apiServlet", "message": "Not Found", "url": path, "status": "404"}, 404)


def frontend_page() -> web.Response:
    """DataHub's frontend answers any path with the page of its single-page application."""
    page = '<!doctype html><html><head><title>DataHub</title></head><body><div id="root"></div></body></html>'
    return web.Response(text=page, content_type=HTML)


def offsets(position: int, lag: int, *, grouped: bool) -> web.Response:
    """`GET …/mcp/consumer/offsets?detailed=true` (KafkaController), in the older form if `grouped`."""
    metrics = {"maxLag": lag, "medianLag": lag, "totalLag": lag, "avgLag": lag}
    topics = {"MetadataChangeProposal_v1": {"partitions": {"0": {"offset": position, "lag": lag}}, "metrics": metrics}}
    group = "generic-mce-consumer-job-client"
    return as_json({group: topics} if grouped else {"consumerGroupId": group, "topics": topics})


def offsets_forbidden() -> web.Response:
    """The same without the privilege Manage System Operations."""
    return as_json({"error": "urn:li:corpuser:datahub is not authorized to get kafka offsets"}, 403)


def no_batches(uri: str) -> web.Response:
    """Rest.li's answer to an action that its resource does not have (RestLiRouter)."""
    message = (
        "POST operation named ingestProposalBatch not supported on resource "
        f"'class com.linkedin.metadata.resources.entity.AspectResource' URI: '{uri}'"
    )
    return as_json(
        {"exceptionClass": "com.linkedin.restli.server.RoutingException", "message": message, "status": 400}, 400
    )


def config(version: str) -> web.Response:
    """`GET /config` as a quickstart of v1.7.0 answers it (servlet Config), whatever the version it tells."""
    body = {
        "models": {},
        "patchCapable": True,
        "managedIngestion": {"defaultCliVersion": version.removeprefix("v"), "enabled": True},
        "versions": {"acryldata/datahub": {"version": version, "commit": "0" * 40}},
        "statefulIngestionCapable": True,
        "supportsImpactAnalysis": True,
        "timeZone": "GMT",
        "telemetry": {"enabledCli": False, "enabledIngestion": False},
        "datasetUrnNameCasing": False,
        "datahub": {"serverEnv": "core", "serverType": "quickstart"},
        "retention": "true",
        "noCode": "true",
    }
    return as_json(body)
