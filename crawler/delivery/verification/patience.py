"""Decides how long a piece that is not stored yet is waited for, and what it is then: lost, or not confirmed. Pure.

A queue keeps its order, so a piece is lost where the queue has passed it. It is only *not confirmed* where nothing
says so: the queue may be long, or stand still.
"""

from collections.abc import Mapping

from crawler.datahub.queue_offsets import QueueOffsets
from crawler.delivery.verification.queue import LONGEST_PAUSE, PendingVerification

OVERTAKEN_WAIT = 60.0
"""Seconds of pauses that a piece is waited for while nothing comes, although later ones are stored.

A queue has partitions: each keeps its own order only.
"""
PASSED_WAIT = 2.0
"""The same where the queue is known to have passed the piece, or where there is none."""


class Patience:
    """Follows the queue. Pieces are numbered in the order in which they were sent; times are in seconds.

    Only pauses count: a process that was stopped has not looked meanwhile.
    """

    def __init__(self, confirm_wait: float, *, queued: bool) -> None:
        """Wait `confirm_wait` seconds without any movement. Without a queue, what was sent is stored or lost."""
        self._confirm_wait = confirm_wait
        self._queued = queued
        self._movements = 0
        self._stored_until = -1
        self._passed_until = -1
        self._stalled = 0.0
        """How long nothing has moved."""
        self._looked_at = 0.0
        self._offsets: QueueOffsets | None = None
        self._mark: tuple[int, Mapping[str, int]] | None = None
        """The number of the last piece sent by then, and where the queue's partitions ended."""

    def stored(self, number: int) -> None:
        """Note that a piece was found: the queue moves, and has come as far as this one."""
        self._moved()
        self._stored_until = max(self._stored_until, number)

    def consumed(self, offsets: QueueOffsets, sent: int) -> None:
        """Note how far the consumer is; `sent` is the number of the last piece that was sent before."""
        if self._offsets is not None and offsets.positions != self._offsets.positions:
            self._moved()
        self._offsets = offsets
        if self._mark is not None and offsets.has_passed(self._mark[1]):
            self._passed_until = self._mark[0]
            self._mark = None
        if self._mark is None:
            self._mark = (sent, offsets.ends)

    def looked(self, now: float) -> None:
        """Count a lookup that found nothing of some pieces."""
        self._stalled += min(now - self._looked_at, LONGEST_PAUSE)
        self._looked_at = now

    def wait(self, piece: PendingVerification) -> None:
        """Count the pause after which a piece was not found."""
        if piece.movements != self._movements and not self._has_passed(piece):
            piece.waited = 0.0
        else:
            piece.waited += piece.pause
        piece.movements = self._movements

    def is_over(self, piece: PendingVerification) -> bool:
        """Return True if a piece is not waited for any more."""
        if self.is_lost(piece):
            enough = PASSED_WAIT if self._has_passed(piece) else OVERTAKEN_WAIT
            return piece.waited >= min(enough, self._confirm_wait)
        return self._stalled >= self._confirm_wait

    def is_worth_comparing(self, piece: PendingVerification) -> bool:
        """Return True once a piece was waited for so long that what DataHub has of it may be an equal, earlier word."""
        return not piece.compared and piece.waited >= OVERTAKEN_WAIT

    def is_lost(self, piece: PendingVerification) -> bool:
        """Return True if the queue has passed a piece, as far as that is known."""
        return self._has_passed(piece) or (self._offsets is None and piece.number <= self._stored_until)

    def _has_passed(self, piece: PendingVerification) -> bool:
        return not self._queued or piece.number <= self._passed_until

    def _moved(self) -> None:
        self._movements += 1
        self._stalled = 0.0
