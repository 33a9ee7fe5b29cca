"""One HTTP server behind one session: credentials, TLS, time-outs, retries, adaptive concurrency, redaction."""

from crawler.http.limiter.semaphore import DynamicSemaphore
from crawler.http.responses import Response
from crawler.http.server import Server

__all__ = ["DynamicSemaphore", "Response", "Server"]
