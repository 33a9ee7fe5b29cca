"""What is told while a server does not answer: log lines, and what the live view shows."""

import logging
import time

from crawler.config.settings import ServerSettings
from crawler.http.responses import Response
from crawler.http.retry import Outcome
from crawler.http.unreachable import in_short
from crawler.telemetry.report import Traffic

_log = logging.getLogger("crawler.http")


class OutageLog:
    """Tells of retries and outages of the server that is called `name`."""

    def __init__(self, name: str, settings: ServerSettings, traffic: Traffic) -> None:
        self._name = name
        self._attempts = settings.attempts
        self._patience = settings.patience
        self._traffic = traffic

    def retry(self, attempt: int, wait: float, reason: str) -> None:
        """A request will be tried again."""
        self._traffic.retries += 1
        _log.info("%s: retrying in %.1f s (attempt %d of %d): %s", self._name, wait, attempt, self._attempts, reason)

    def outage_begun(self, last: Outcome, silence: float) -> None:
        """Nobody has been answered for `silence` seconds."""
        reason = f"status {last.status}" if isinstance(last, Response) else in_short(last)
        self._traffic.outage = reason
        self._traffic.silent_since = time.monotonic() - silence
        self._traffic.patience = self._patience
        _log.warning(
            "%s gives no answer for %.0f s (%s): one request at a time asks whether it is back, the others wait, "
            "at most until it has been silent for %.0f s.",
            *(self._name, silence, reason, self._patience),
        )

    def outage_ended(self, silence: float) -> None:
        """The server answers again, after `silence` seconds."""
        self._traffic.outage = ""
        _log.warning("%s answers again, after %.0f s.", self._name, silence)

    def outage_given_up(self, silence: float) -> None:
        """Patience is at its end."""
        self._traffic.outage = ""
        _log.warning("%s has answered nothing for %.0f s and is waited for no longer.", self._name, silence)
