"""A server that answers nobody any more is waited for: one request at a time asks whether it is back.

docs/decisions/0008-retries-budget-and-outages.md says why.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import aiohttp

from crawler.http.limiter.rate import Clock, Sleep
from crawler.http.responses import Response
from crawler.http.retry import Attempt, Outcome, Silent, asked_wait, is_silence, is_transient

PAUSE_BASE = 1.0
PAUSE_CAP = 10.0
MAX_OUTAGES = 5
"""A request after which the server was out so many times in a row, and back in between, is what it cannot bear."""


class OutageListener(Protocol):
    """Who is told of outages, and for how many seconds the server has answered nobody."""

    def outage_begun(self, last: Outcome, silence: float) -> None:
        """The server is out: `last` is what the last try came to."""

    def outage_ended(self, silence: float) -> None:
        """It is back."""

    def outage_given_up(self, silence: float) -> None:
        """It did not come back in time."""


class ServerOut(Exception):
    """A request was held back, since the server is out."""


class StillOut(Exception):
    """The server did not come back in time: `last` is what the last probe came to."""

    def __init__(self, last: Outcome, seconds: float, since: datetime | None) -> None:
        super().__init__()
        self.last = last
        self.seconds = seconds
        """How long it had answered nobody."""
        self.since = since
        """When it had last answered, by the wall clock; None if it never did."""


class Outage:
    """One outage: from the first failure to the next good answer, or to the end of patience."""

    def __init__(self, last: Outcome) -> None:
        self.last = last
        self.over = False
        self.given_up: StillOut | None = None
        self.probed = False
        self._changed = asyncio.Event()

    def end(self, given_up: StillOut | None = None) -> None:
        """Lets all that wait for it go on, or fail."""
        self.over, self.given_up = True, given_up
        self._changed.set()

    def hand_over(self) -> None:
        """The request that probed does so no more: another one may."""
        self.probed = False
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def change(self) -> None:
        """Waits for its end, or for the end of a probing."""
        await self._changed.wait()


class OutageWaiter:
    """Sits out a server's outages of up to `patience` seconds, from the first failure with no good answer since."""

    def __init__(self, patience: float, clock: Clock, sleep: Sleep, audience: OutageListener) -> None:
        self.answers = 0
        """Good answers so far."""
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._audience = audience
        self._silent_since: float | None = None
        self._outage: Outage | None = None
        self._asking = asyncio.Lock()
        self._asked = 0

    def answered(self) -> None:
        """The server answered: whatever it said, it is there."""
        if self._outage is not None:
            self._finish(self._outage)
        self.answers += 1
        self._silent_since = None

    def unanswered(self) -> None:
        """A request was not answered. Nobody can tell how long before that the server was away."""
        if self._silent_since is None:
            self._silent_since = self._clock()

    def admit(self) -> None:
        """Raises ServerOut for a request that must wait for the end of an outage."""
        if self._outage is not None:
            raise ServerOut

    async def __call__(
        self, tries: Callable[[], Awaitable[Response]], probe: Attempt, question: Attempt | None = None
    ) -> Response:
        """What the tries come to, with fresh ones after each outage. Raises StillOut, or what they raise.

        `question` is a cheap request that a server which is well answers: with it, a request that alone is not
        answered is not taken for an outage, nor an outage for the fault of a request.
        """
        outages = 0
        while True:
            try:
                return await tries()
            except Silent as silent:
                if question is not None:
                    if outages == MAX_OUTAGES:
                        return _outcome(silent.last)
                    outages += 1
                    if await self._is_well(question):
                        # Perhaps it came back only now: one more try tells.
                        return await probe()
                outage = self._outage or self._begin(silent.last)
                if outage is None:
                    if question is not None:
                        raise self._still_out(silent.last) from None
                    return _outcome(silent.last)
            except ServerOut:
                outage = self._outage
            if outage is not None and (response := await self._sit_out(outage, probe, question)) is not None:
                return response

    async def _is_well(self, question: Attempt) -> bool:
        """Whether the server answers others: one asks on behalf of all that would like to know."""
        answers, asked = self.answers, self._asked
        async with self._asking:
            if (self.answers, self._asked) == (answers, asked) and self._outage is None:
                try:
                    await question()
                except (aiohttp.ClientError, TimeoutError) as error:
                    if not is_transient(error):
                        raise
                self._asked += 1
        return self.answers > answers

    def _begin(self, last: Outcome) -> Outage | None:
        if not self.answers or self._left() <= 0:
            return None
        self._outage = Outage(last)
        self._audience.outage_begun(last, self._silence())
        return self._outage

    def _finish(self, outage: Outage, given_up: StillOut | None = None) -> None:
        self._outage = None
        outage.end(given_up)
        tell = self._audience.outage_ended if given_up is None else self._audience.outage_given_up
        tell(self._silence())

    async def _sit_out(self, outage: Outage, probe: Attempt, question: Attempt | None) -> Response | None:
        """The answer that a probe of this request got, or None when the outage is over."""
        while not outage.over:
            if outage.probed:
                await outage.change()
                continue
            outage.probed = True
            try:
                response = await self._probe(outage, question or probe)
            finally:
                outage.hand_over()
            if response is not None and question is None:
                return response
        if outage.given_up is not None:
            raise StillOut(outage.given_up.last, outage.given_up.seconds, outage.given_up.since)
        return None

    async def _probe(self, outage: Outage, probe: Attempt) -> Response | None:
        longest = PAUSE_BASE
        while not outage.over and (left := self._left()) > 0:
            # Full jitter, as between retries: other crawls may wait for the same server.
            pause = asked_wait(outage.last) or random.uniform(0, longest)  # noqa: S311  no secret hangs on it
            longest = min(2 * longest, PAUSE_CAP)
            await self._pause(outage, min(pause, left))
            if self._outage is not outage:
                return None
            try:
                response = await probe()
            except (aiohttp.ClientError, TimeoutError) as error:
                if not is_transient(error):
                    raise
                outage.last = error
            else:
                if not is_silence(response):
                    return response
                outage.last = response
        if self._outage is outage:
            self._finish(outage, self._still_out(outage.last))
        return None

    async def _pause(self, outage: Outage, seconds: float) -> None:
        """Sleeps, but not beyond the end of the outage: a late answer to another request may end it."""
        waits = {asyncio.ensure_future(self._sleep(seconds)), asyncio.ensure_future(outage.change())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def _silence(self) -> float:
        return 0.0 if self._silent_since is None else self._clock() - self._silent_since

    def _left(self) -> float:
        return self._patience - self._silence()

    def _still_out(self, last: Outcome) -> StillOut:
        seconds = self._silence()
        return StillOut(last, seconds, datetime.now(UTC) - timedelta(seconds=seconds) if self.answers else None)


def _outcome(last: Outcome) -> Response:
    if isinstance(last, Response):
        return last
    raise last
