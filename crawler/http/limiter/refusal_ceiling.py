"""How many requests at once a server refuses, remembered: so that it refuses few."""

PATIENCE = 128
"""Answers at that number until one more is tried after a refusal: less than 1 % are refused."""
HASTE = 4
"""Each try that goes well divides the patience by this."""


class RefusalCeiling:
    """The number in flight that is not to be exceeded for now, as CUBIC keeps the window at which packets were lost."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._patience = 0
        self._left = 0

    def allows(self, in_flight: int) -> bool:
        """Whether so many may be tried."""
        return self._highest is None or in_flight <= self._highest

    def answered(self, in_flight: int) -> None:
        """The server took a request that made so many in flight."""
        if self._highest is None or in_flight < self._highest:
            return
        self._left -= 1
        if self._left <= 0:
            self._highest += 1
            self._patience //= HASTE
            self._left = self._patience

    def refused(self, in_flight: int) -> None:
        """The server refused a request while so many were in flight. One that was alone tells nothing about that."""
        if in_flight == 1:
            self._highest = None
            return
        self._highest = in_flight - 1 if self._highest is None else min(self._highest, in_flight - 1)
        self._patience = self._left = PATIENCE
