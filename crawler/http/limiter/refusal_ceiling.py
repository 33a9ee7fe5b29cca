"""The number of requests in flight that a server refused, remembered so that it refuses few."""

ANSWERS_TO_RISE = 128
"""Answers at the ceiling until it rises by one after a refusal: less than 1 % are refused."""
RISE_SPEEDUP = 4
"""Each rise divides the answers until the next one by this."""


class RefusalCeiling:
    """The number in flight that is not exceeded for now, as CUBIC keeps the window at which packets were lost."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._answers_to_rise = 0
        self._answers_left = 0

    def allows(self, in_flight: int) -> bool:
        """Return True if `in_flight` requests may be tried."""
        return self._highest is None or in_flight <= self._highest

    def answered(self, in_flight: int) -> None:
        """Note an answer to a request that was sent as one of `in_flight`."""
        if self._highest is None or in_flight < self._highest:
            return
        self._answers_left -= 1
        if self._answers_left <= 0:
            self._highest += 1
            self._answers_to_rise //= RISE_SPEEDUP
            self._answers_left = self._answers_to_rise

    def refused(self, in_flight: int) -> None:
        """Lower the ceiling below `in_flight`.

        A refusal of the only request in flight says nothing about the limit, so it resets it.
        """
        if in_flight == 1:
            self._highest = None
            return
        self._highest = in_flight - 1 if self._highest is None else min(self._highest, in_flight - 1)
        self._answers_to_rise = self._answers_left = ANSWERS_TO_RISE
