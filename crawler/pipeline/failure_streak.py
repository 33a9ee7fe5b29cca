"""Requests of one kind that fail one behind the other: after many of them, others are not tried at all. Pure."""


class FailureStreak:
    """Counts failures without a success in between, until the server is taken to fail all requests of this kind."""

    def __init__(self, most: int) -> None:
        """Be over after `most` failures."""
        self._most = most
        self._failures = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be asked for any more."""
        return self._failures >= self._most

    @property
    def reason(self) -> str:
        """Why something was not asked for, for a finding."""
        return f"not asked for, after {self._most} failures"

    def failed(self) -> None:
        """Count a failure."""
        self._failures += 1

    def succeeded(self) -> None:
        """Begin to count anew."""
        self._failures = 0
