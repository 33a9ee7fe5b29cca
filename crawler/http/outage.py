"""The outermost stage: it waits out a server's outages while one request at a time probes whether it is back.

docs/decisions/0008-retries-budget-and-outages.md says why.
"""

import asyncio
import random

import aiohttp
from msgspec import structs

from crawler.http.availability import Availability, Outage, ServerOut, StillOut
from crawler.http.exchange import Request, Stage
from crawler.http.failures import is_transient, requested_wait, response_or_raise
from crawler.http.limiter.rate import Sleep
from crawler.http.responses import Response
from crawler.http.retry import Silent

PAUSE_BASE = 1.0
PAUSE_CAP = 10.0
MAX_OUTAGES = 5
"""Silences in a row after which a request is at fault itself, if the server came back in between."""


class OutageWaiter:
    """The stage that makes fresh attempts after each outage.

    `health_check` is a cheap request that a healthy server answers. With it, a request that alone is not answered is
    not taken for an outage, nor an outage for the fault of a request.
    """

    def __init__(
        self, next_stage: Stage, availability: Availability, sleep: Sleep, health_check: Request | None = None
    ) -> None:
        self._next = next_stage
        self._availability = availability
        self._sleep = sleep
        self._health_check = None if health_check is None else _probe(health_check)
        self._checking = asyncio.Lock()
        self._checks = 0

    async def send(self, request: Request) -> Response:
        """Return the response, or raise the last failure; StillOut if the server does not come back in time."""
        silences = 0
        while True:
            try:
                return await self._next.send(request)
            except Silent as silent:
                if self._health_check is not None:
                    if silences == MAX_OUTAGES:
                        return response_or_raise(silent.last)
                    silences += 1
                    if await self._is_healthy(self._health_check):
                        # Perhaps it came back only now: one more attempt shows.
                        return await self._next.send(_probe(request))
                outage = self._availability.outage or self._availability.begin_outage(silent.last)
                if outage is None:
                    if self._health_check is not None or not self._availability.retry_seconds_left():
                        raise self._availability.still_out(silent.last) from None
                    return response_or_raise(silent.last)
            except ServerOut:
                outage = self._availability.outage
            if outage is not None and (response := await self._wait_out(outage, request)) is not None:
                return response

    async def _is_healthy(self, health_check: Request) -> bool:
        """Return True if the server answers others; concurrent callers share one check."""
        answers, checks = self._availability.answers, self._checks
        async with self._checking:
            if (self._availability.answers, self._checks) == (answers, checks) and self._availability.outage is None:
                try:
                    await self._next.send(health_check)
                except (aiohttp.ClientError, TimeoutError) as error:
                    if not is_transient(error):
                        raise
                self._checks += 1
        return self._availability.answers > answers

    async def _wait_out(self, outage: Outage, request: Request) -> Response | None:
        """Return the answer to a probe that was this request, or None when the outage is over."""
        while not outage.over:
            if outage.probed:
                await outage.change()
                continue
            outage.probed = True
            try:
                response = await self._probe_until_answered(outage, self._health_check or _probe(request))
            finally:
                outage.hand_over()
            if response is not None and self._health_check is None:
                return response
        if outage.given_up is not None:
            raise StillOut(outage.given_up.last, outage.given_up.seconds, outage.given_up.since)
        return None

    async def _probe_until_answered(self, outage: Outage, probe: Request) -> Response | None:
        longest = PAUSE_BASE
        while not outage.over and (left := self._availability.patience_left()) > 0:
            # Full jitter, as between retries: other crawls may wait for the same server.
            pause = requested_wait(outage.last) or random.uniform(0, longest)  # noqa: S311  no secret depends on it
            longest = min(2 * longest, PAUSE_CAP)
            await self._pause(outage, min(pause, left))
            if self._availability.outage is not outage:
                return None
            try:
                response = await self._next.send(probe)
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_transient(error):
                    raise
                outage.last = error
            else:
                if not self._availability.is_silence(response):
                    return response
                outage.last = response
        if self._availability.outage is outage:
            self._availability.give_up(outage)
        return None

    async def _pause(self, outage: Outage, seconds: float) -> None:
        """Sleep, but not beyond the end of the outage: a late answer to another request may end it."""
        waits = {asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(outage.change())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()


def _probe(request: Request) -> Request:
    return structs.replace(request, is_probe=True)
