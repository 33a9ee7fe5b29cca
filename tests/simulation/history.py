"""The states of a row over time: what it was at some moment, and whether it was there throughout."""

from typing import Generic, TypeVar

Value = TypeVar("Value")


class History(Generic[Value]):
    """Each state since its time; None is a row that is not there."""

    def __init__(self) -> None:
        self._states: list[tuple[float, Value | None]] = []

    @property
    def now(self) -> Value | None:
        """The last state."""
        return self._states[-1][1] if self._states else None

    def put(self, time: float, value: Value | None) -> None:
        """From `time` on it is `value`."""
        self._states.append((time, value))

    def within(self, since: float, until: float) -> list[Value]:
        """All that it was at some moment of this stretch, both ends included."""
        return [value for _, value in self.states(since, until)]

    def states(self, since: float, until: float) -> list[tuple[float, Value]]:
        """The same, each with the time from which on it was that."""
        found = []
        for number, (begin, value) in enumerate(self._states):
            end = self._states[number + 1][0] if number + 1 < len(self._states) else until
            if value is not None and begin <= until and end >= since:
                found.append((begin, value))
        return found

    def throughout(self, since: float, until: float) -> bool:
        """Whether it was there from before the beginning of this stretch to its end."""
        if not self._states or self._states[0][0] >= since:
            return False
        standing = False
        for begin, value in self._states:
            if begin > until:
                break
            if begin < since:
                standing = value is not None
            elif value is None:
                return False
        return standing
