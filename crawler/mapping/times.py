"""Times that MLflow was told by clients and imports, which write whatever they like."""

_YEAR_10000 = 253_402_300_800_000
"""In ms since epoch. DataHub's search index takes no later time."""


def known_time(time: int | None) -> int | None:
    """Return a time in ms since epoch as it is; None for one before 1970 or after the year 9999, as for none at all.

    Seconds in place of ms are kept: nothing tells them from a time in January 1970.
    """
    return None if time is None or not 0 <= time < _YEAR_10000 else time
