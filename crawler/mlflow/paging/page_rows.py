"""How many rows a page asks for, by the size of the pages before it."""

PAGE_BYTES = 4_000_000
PAGES_BYTES = 12_000_000
"""Upper bound of all pages in flight together: they may all arrive before the first of them is mapped."""
FEWEST_ROWS = 2
"""Beside a new row, a page holds a known one: without it, nothing shows that no row has moved."""


class PageRows:
    """The number of rows to ask for: `limit`, or fewer where rows are heavy, never fewer than FEWEST_ROWS.

    A page stays within PAGE_BYTES, all pages in flight together within PAGES_BYTES.
    """

    def __init__(self, limit: int, first: int | None = None) -> None:
        """Begin with `first` rows, where it is not known how heavy they are, else with the limit."""
        self.limit = max(FEWEST_ROWS, limit)
        self.rows = min(self.limit, first or self.limit)

    def learn(self, rows: int, size: int, in_flight: int = 1) -> None:
        """Adapt to a page of `rows` rows and `size` bytes, with up to `in_flight` pages asked for at once.

        Grows at most twofold, since the next rows may be heavier.
        """
        if rows:
            page_bytes = min(PAGE_BYTES, PAGES_BYTES // in_flight)
            self.rows = max(FEWEST_ROWS, min(self.limit, 2 * self.rows, page_bytes * rows // size))
