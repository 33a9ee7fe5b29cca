"""One HTTP server behind one session: authentication, TLS, time-outs, retries, pacing, redaction."""

from crawler.http.answers import Response
from crawler.http.server import Server

__all__ = ["Response", "Server"]
