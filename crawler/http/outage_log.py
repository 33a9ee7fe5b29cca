"""Log lines and counts about retries and outages."""

import logging
import time

from crawler.config.settings import ServerSettings
from crawler.http.failures import AttemptResult
from crawler.http.responses import Response, stands_in_front
from crawler.http.traffic import Traffic
from crawler.http.unreachable import short_reason

_log = logging.getLogger("crawler.http")


class OutageLog:
    """Listens to the retries and outages of the server that messages call `name`."""

    def __init__(self, name: str, settings: ServerSettings, traffic: Traffic) -> None:
        self._name = name
        self._attempts = settings.attempts
        self._patience = settings.patience
        self._traffic = traffic

    def retrying(self, attempt: int, wait: float, reason: str) -> None:
        """Count and log a retry that follows in `wait` seconds."""
        self._traffic.retries += 1
        _log.info("%s: retrying in %.1f s (attempt %d of %d): %s", self._name, wait, attempt, self._attempts, reason)

    def probing(self) -> None:
        """Count a probe as a retry."""
        self._traffic.retries += 1

    def outage_begun(self, last: AttemptResult, silence: float) -> None:
        """Show and log that nobody has been answered for `silence` seconds."""
        reason = _reason(last)
        self._traffic.outage = reason
        self._traffic.silent_since = time.monotonic() - silence
        self._traffic.patience = self._patience
        _log.warning(
            "%s gives no answer for %.0f s (%s): one request at a time asks whether it is back, the others wait, "
            "at most until it has been silent for %.0f s.",
            *(self._name, silence, reason, self._patience),
        )

    def outage_ended(self, silence: float) -> None:
        """Log that the server answers again, after `silence` seconds."""
        self._traffic.outage = ""
        _log.warning("%s answers again, after %.0f s.", self._name, silence)

    def outage_given_up(self, silence: float) -> None:
        """Log that patience is over, after `silence` seconds."""
        self._traffic.outage = ""
        _log.warning("%s has answered nothing for %.0f s and is waited for no longer.", self._name, silence)


def _reason(last: AttemptResult) -> str:
    if not isinstance(last, Response):
        return short_reason(last)
    return "something before it answers" if stands_in_front(last) else f"status {last.status}"
