"""Start times of one experiment that are done, as merged intervals of whole numbers. Pure."""

import msgspec

Bounds = tuple[int | None, int | None]
"""From the first on and before the second (ms since epoch); None is an open end."""

EVERYTHING: Bounds = (None, None)


class Intervals(msgspec.Struct, frozen=True):
    """Intervals in ascending order, none of which is empty or touches another one."""

    parts: tuple[Bounds, ...] = ()

    def add(self, since: int | None, until: int | None) -> "Intervals":
        """Return these with another one, which may overlap them."""
        if _is_empty(since, until):
            return self
        before = tuple(part for part in self.parts if _ends_before(part, since))
        behind = tuple(part for part in self.parts if _begins_behind(part, until))
        for other_since, other_until in self.parts[len(before) : len(self.parts) - len(behind)]:
            since = None if since is None or other_since is None else min(since, other_since)
            until = None if until is None or other_until is None else max(until, other_until)
        return Intervals((*before, (since, until), *behind))

    def __contains__(self, time: int) -> bool:
        """Return whether a start time is in one of them."""
        return any((since is None or since <= time) and (until is None or time < until) for since, until in self.parts)

    def gaps(self) -> list[Bounds]:
        """Return what is not in them, ascending."""
        gaps: list[Bounds] = []
        begin: int | None = None
        for since, until in self.parts:
            if since is not None:
                gaps.append((begin, since))
            if until is None:
                return gaps
            begin = until
        return [*gaps, (begin, None)]


def _is_empty(since: int | None, until: int | None) -> bool:
    return since is not None and until is not None and since >= until


def _ends_before(part: Bounds, since: int | None) -> bool:
    return since is not None and part[1] is not None and part[1] < since


def _begins_behind(part: Bounds, until: int | None) -> bool:
    return until is not None and part[0] is not None and until < part[0]
