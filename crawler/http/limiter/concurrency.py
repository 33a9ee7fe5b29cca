"""Two stages around Vegas: one holds requests back, one observes those that are sent."""

from typing import Literal

from crawler.http.exchange import Request, Stage
from crawler.http.failures import is_transient
from crawler.http.limiter.rate import Clock
from crawler.http.limiter.semaphore import DynamicSemaphore
from crawler.http.limiter.vegas import Start, Vegas
from crawler.http.responses import Response
from crawler.http.status_policy import is_overload, is_success, is_throttling
from crawler.http.traffic import Traffic


class ConcurrencyLimiter:
    """The stage that has at most as many attempts in flight as Vegas allows.

    A slot is held for one attempt: a request that waits for its next one leaves room for others.
    """

    def __init__(self, next_stage: Stage, vegas: Vegas) -> None:
        self._next = next_stage
        self._semaphore = DynamicSemaphore(lambda: vegas.limit)

    async def send(self, request: Request) -> Response:
        """Wait for a slot, then send."""
        async with self._semaphore:
            return await self._next.send(request)


class TrafficObserver:
    """The stage that counts each attempt in `traffic` and reports its end to Vegas, before its slot is free again.

    `counts` says which bodies are counted, and sized for Vegas.
    """

    def __init__(
        self, next_stage: Stage, vegas: Vegas, traffic: Traffic, counts: Literal["received", "sent"], clock: Clock
    ) -> None:
        self._next = next_stage
        self._vegas = vegas
        self._traffic = traffic
        self._counts = counts
        self._clock = clock
        self._published = 0

    async def send(self, request: Request) -> Response:
        """Send and observe."""
        self._traffic.begin()
        if self._counts == "sent":
            self._traffic.bytes += len(request.body or b"")
        start, began = self._vegas.start(), self._clock()
        try:
            response = await self._next.send(request)
        except BaseException as error:
            if is_transient(error):
                self._vegas.failed(start)
            else:
                self._vegas.dropped(start)
            raise
        else:
            self._observe(start, request, response, self._clock() - began)
        finally:
            self.publish_concurrency()
            self._traffic.end()
        if self._counts == "received":
            self._traffic.bytes += len(response.body)
        return response

    def publish_concurrency(self) -> None:
        """Add what the limit has changed by to `traffic`, which tracking server and registry share."""
        change = self._vegas.concurrency - self._published
        self._published += change
        self._traffic.change_concurrency(change)

    def _observe(self, start: Start, request: Request, response: Response, seconds: float) -> None:
        if is_throttling(response.status):
            self._vegas.refused(start)
        elif is_overload(response.status):
            self._vegas.failed(start)
        elif is_success(response.status):
            size = len(response.body if self._counts == "received" else request.body or b"")
            self._vegas.answered(start, request.url.partition("?")[0], seconds, size)
        else:
            # An error may come fast: it must not look like a fast server.
            self._vegas.dropped(start)
