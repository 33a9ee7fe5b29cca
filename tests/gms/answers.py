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
