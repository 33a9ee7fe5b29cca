"""The latency of one endpoint on an idle server, against which its latency under load is compared."""

import math

import msgspec

SIZE_BAND = 2.0
"""Sizes within this factor are comparable."""
OTHER_SIZES_TO_ADOPT = 8
"""Answers of another size in a row that make it the usual one."""
AVERAGE_WEIGHT = 0.05
"""The weight of one latency in the moving average: single lucky answers are no idle server."""


class Latency(msgspec.Struct):
    """The latencies of one endpoint, in seconds, at its usual size in bytes.

    A page takes longer the more rows it has, a batch the more proposals. So only comparable sizes are compared, and
    scaled by the square root: the middle between a fixed cost and one that grows with the bytes, wrong by at most 1.4.
    """

    size: int = 0
    idle: float = 0.0
    average: float = 0.0
    other_sizes: int = 0

    def restarts(self, seconds: float, size: int) -> bool:
        """Return True if this answer sets the usual size: the first of all, or sizes have changed for good."""
        self.other_sizes = 0 if self._is_comparable(size) else self.other_sizes + 1
        if self.size and self.other_sizes < OTHER_SIZES_TO_ADOPT:
            return False
        self.size, self.idle, self.average, self.other_sizes = size, seconds, seconds, 0
        return True

    def scaled(self, seconds: float, size: int) -> float | None:
        """Return the latency at the usual size; None for a size that is not comparable."""
        return seconds * math.sqrt(self.size / size) if self._is_comparable(size) else None

    def waiting_share(self, seconds: float) -> float:
        """Return the share of this latency beyond that of an idle server; below 0 if it was faster than that."""
        self.average += AVERAGE_WEIGHT * (seconds - self.average)
        self.idle = min(self.idle, self.average)
        return 1 - self.idle / seconds if seconds > 0 else 0.0

    def set_idle(self, seconds: float) -> None:
        """Adopt a latency that was measured while nothing waited."""
        self.idle = self.average = seconds

    def _is_comparable(self, size: int) -> bool:
        return self.size <= size * SIZE_BAND and size <= self.size * SIZE_BAND
