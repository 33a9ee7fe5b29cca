"""How long one endpoint takes when nothing waits before it, so that its latency tells how much does."""

import math

import msgspec

SIZE_BAND = 2.0
"""Sizes are alike within this factor."""
STRANGERS = 8
"""So many unlike sizes in a row are the usual ones from then on."""
AVERAGE_WEIGHT = 0.05
"""What one latency weighs in the moving average: single lucky answers are no idle server."""


class Latency(msgspec.Struct):
    """The latencies of one endpoint, in seconds, at its usual size in bytes.

    A page takes longer the more rows it has, a batch the more proposals. So only sizes that are alike are compared,
    and scaled by the square root: the middle between a cost that is fixed and one that goes with the bytes, wrong by
    1.4 at most whichever it is.
    """

    size: int = 0
    idle: float = 0.0
    average: float = 0.0
    strangers: int = 0

    def begins(self, seconds: float, size: int) -> bool:
        """Whether this answer is the first of its usual size: the first of all, or sizes have changed for good."""
        self.strangers = 0 if self._is_like(size) else self.strangers + 1
        if self.size and self.strangers < STRANGERS:
            return False
        self.size, self.idle, self.average, self.strangers = size, seconds, seconds, 0
        return True

    def scaled(self, seconds: float, size: int) -> float | None:
        """The latency at the usual size; None for a size that cannot be compared."""
        return seconds * math.sqrt(self.size / size) if self._is_like(size) else None

    def waiting_share(self, seconds: float) -> float:
        """The part of this latency that an idle server would not have taken; below 0 where it was faster than that."""
        self.average += AVERAGE_WEIGHT * (seconds - self.average)
        self.idle = min(self.idle, self.average)
        return 1 - self.idle / seconds if seconds > 0 else 0.0

    def set_idle(self, seconds: float) -> None:
        """Takes what was measured while nothing waited."""
        self.idle = self.average = seconds

    def _is_like(self, size: int) -> bool:
        return self.size <= size * SIZE_BAND and size <= self.size * SIZE_BAND
