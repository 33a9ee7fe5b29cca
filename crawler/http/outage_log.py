"""Log lines and counts about retries and outages: an outage is told once, however many requests it stops."""

import logging
import time

import aiohttp

from crawler.http.failures import AttemptResult
from crawler.http.responses import Response, stands_in_front
from crawler.http.traffic import Traffic
from crawler.http.unreachable import short_reason
from crawler.settings.durations import human_seconds
from crawler.settings.servers import ServerSettings

TELL_AFTER = 5.0
"""Seconds without a connection after which that is told: a shorter silence is none of a user's business."""

REMIND_AFTER = 60.0

_log = logging.getLogger("crawler.http")


class OutageLog:
    """Listens to the retries and outages of the server that messages call `name`, at `host`."""

    def __init__(self, name: str, host: str, settings: ServerSettings, traffic: Traffic) -> None:
        self._name = f"{name} at {host}"
        self._attempts = settings.attempts
        self._patience = settings.patience
        self._traffic = traffic
        self._told_at: float | None = None
        """The silence, in seconds, of which was told last; None while there is nothing to tell."""

    def retrying(self, attempt: int, wait: float, reason: str) -> None:
        """Count and log a retry that follows in `wait` seconds."""
        self._traffic.retries += 1
        _log.debug("%s: retrying in %.1f s (attempt %d of %d): %s", self._name, wait, attempt, self._attempts, reason)

    def probing(self) -> None:
        """Count a probe as a retry."""
        self._traffic.retries += 1

    def unanswered(self, last: AttemptResult, silence: float) -> None:
        """Tell of an outage once there has been no connection for a while, and remind of it."""
        # Only this cannot be the fault of one request.
        is_out = isinstance(last, aiohttp.ClientConnectorError) and silence >= TELL_AFTER
        if self._patience and (is_out or self._told_at is not None):
            self._tell(last, silence)

    def outage_begun(self, last: AttemptResult, silence: float) -> None:
        """Tell of an outage."""
        self._tell(last, silence)

    def answered_again(self, silence: float) -> None:
        """Log that the server answers again, after `silence` seconds."""
        if self._told_at is not None:
            self._told_at, self._traffic.outage = None, ""
            _log.warning("%s answers again, after %s.", self._name, human_seconds(silence))

    def outage_given_up(self, silence: float) -> None:
        """Log that patience is over, after `silence` seconds."""
        self._told_at, self._traffic.outage = None, ""
        _log.warning("%s gave no answer for %s: no longer waiting for it.", self._name, human_seconds(silence))

    def _tell(self, last: AttemptResult, silence: float) -> None:
        if self._told_at is not None and silence - self._told_at < REMIND_AFTER:
            return
        still = "" if self._told_at is None else "still "
        self._told_at = silence
        self._traffic.outage = _reason(last)
        self._traffic.silent_since = time.monotonic() - silence
        self._traffic.patience = self._patience
        _log.warning(
            "%s %sgives no answer, for %s now (%s): waiting up to %s for it.",
            *(self._name, still, human_seconds(silence), self._traffic.outage, human_seconds(self._patience)),
        )


def _reason(last: AttemptResult) -> str:
    if not isinstance(last, Response):
        return short_reason(last)
    return "something before it answers" if stands_in_front(last) else f"status {last.status}"
