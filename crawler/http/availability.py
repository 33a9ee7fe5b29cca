"""When the server last answered, and the outage that it is in. The inner stage observes it, the outer one waits."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Protocol

import aiohttp

from crawler.http.exchange import Request, Stage
from crawler.http.failures import AttemptResult, LostHost, is_transient
from crawler.http.limiter.rate import Clock
from crawler.http.responses import Response, is_json, stands_in_front
from crawler.http.status_policy import is_silence


class OutageListener(Protocol):
    """Who logs outages; `silence` is for how many seconds the server has answered nobody."""

    def unanswered(self, last: AttemptResult, silence: float) -> None:
        """An attempt was not answered: `last` is its result."""

    def outage_begun(self, last: AttemptResult, silence: float) -> None:
        """The server is out: `last` is the result of the last attempt."""

    def answered_again(self, silence: float) -> None:
        """The server has answered, after a silence."""

    def outage_given_up(self, silence: float) -> None:
        """The server did not come back in time."""


class ServerOut(Exception):
    """A request was held back because the server is out."""


class StillOut(Exception):
    """The server did not come back in time: `last` is the result of the last probe.

    `seconds` is how long it had answered nobody, `since` when it had last answered (wall clock; None if it never did).
    """

    def __init__(self, last: AttemptResult, seconds: float, since: datetime | None) -> None:
        super().__init__()
        self.last = last
        self.seconds = seconds
        self.since = since


class Outage:
    """One outage, from the first failure to the next answer or to the end of patience."""

    def __init__(self, last: AttemptResult) -> None:
        self.last = last
        self.over = False
        self.given_up: StillOut | None = None
        self.probed = False
        self._changed = asyncio.Event()

    def end(self, given_up: StillOut | None = None) -> None:
        """Release all requests that wait for its end; with `given_up` they fail."""
        self.over, self.given_up = True, given_up
        self._changed.set()

    def hand_over(self) -> None:
        """Let another request probe."""
        self.probed = False
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Wait for its end, or until another request may probe."""
        await self._changed.wait()


class Availability:
    """Counts a server's answers and times its silence; an outage lasts at most `patience` seconds of silence.

    Once the server `has_served` JSON, an answer of what stands before it is as good as none.
    """

    def __init__(self, patience: float, clock: Clock, listener: OutageListener) -> None:
        self.answers = 0
        self.has_served = False
        self.outage: Outage | None = None
        self._patience = patience
        self._clock = clock
        self._listener = listener
        self._silent_since: float | None = None

    def answered(self) -> None:
        """Note an answer, whatever its status: it ends an outage."""
        self.answers += 1
        if self._silent_since is None:
            return
        silence, self._silent_since = self._silence(), None
        if self.outage is not None:
            self._finish(self.outage)
        self._listener.answered_again(silence)

    def is_displaced(self, response: Response) -> bool:
        """Return True if something before the server answered in its place, which may pass as it has come."""
        return self.has_served and stands_in_front(response)

    def is_silence(self, response: Response) -> bool:
        """Return True if a response is as good as none."""
        return self.is_displaced(response) or (is_silence(response.status) and not response.packed)

    def unanswered(self, last: AttemptResult) -> None:
        """Note a failure; the first one after an answer begins the silence."""
        if self._silent_since is None:
            self._silent_since = self._clock()
        self._listener.unanswered(last, self._silence())

    def begin_outage(self, last: AttemptResult) -> Outage | None:
        """Return a new outage, or None if patience is over."""
        if self.patience_left() <= 0:
            return None
        self.outage = Outage(last)
        self._listener.outage_begun(last, self._silence())
        return self.outage

    def give_up(self, outage: Outage) -> None:
        """End an outage that outlasted patience."""
        self._finish(outage, self.still_out(outage.last))
        self._listener.outage_given_up(self._silence())

    def patience_left(self) -> float:
        """Return the seconds of silence that are still waited for."""
        return self._patience - self._silence()

    def retry_seconds_left(self) -> float:
        """Return for how long requests that nobody answers are retried; without patience, attempts alone decide."""
        return max(self.patience_left(), 0.0) if self._patience else math.inf

    def still_out(self, last: AttemptResult) -> StillOut:
        """Return the error of a request that is not answered any more."""
        seconds = self._silence()
        return StillOut(last, seconds, datetime.now(UTC) - timedelta(seconds=seconds) if self.answers else None)

    def _finish(self, outage: Outage, given_up: StillOut | None = None) -> None:
        self.outage = None
        outage.end(given_up)

    def _silence(self) -> float:
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since


class AvailabilityObserver:
    """The stage that notes what each attempt says about the server; during an outage it admits probes only."""

    def __init__(self, next_stage: Stage, availability: Availability) -> None:
        self._next = next_stage
        self._availability = availability

    async def send(self, request: Request) -> Response:
        """Raise ServerOut for a request that must wait for the end of an outage."""
        if self._availability.outage is not None and not request.is_probe:
            raise ServerOut
        try:
            response = await self._exchange(request)
        except (aiohttp.ClientError, TimeoutError) as error:
            if is_transient(error):
                self._availability.unanswered(error)
            raise
        if self._availability.is_silence(response):
            self._availability.unanswered(response)
        else:
            self._availability.answered()
            self._availability.has_served |= is_json(response)
        return response

    async def _exchange(self, request: Request) -> Response:
        try:
            return await self._next.send(request)
        except aiohttp.ClientConnectorDNSError as error:
            if self._availability.answers:
                raise LostHost(*error.args) from None
            raise
