"""One HTTP server behind one session: credentials, TLS, time-outs, retries, adaptive concurrency, redaction."""

from crawler.http.answers import Response
from crawler.http.server import Server
from crawler.http.slots import Slots

__all__ = ["Response", "Server", "Slots"]
