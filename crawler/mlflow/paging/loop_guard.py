"""Limits that end a listing whose pages would never end."""

from crawler.errors import ServerError

MAX_FRUITLESS_PAGES = 100
MAX_STEPS_BACK = 1_000
MAX_DOUBTS = 3


class LoopGuard:
    """Counts what may happen to a listing only so often, and raises ServerError beyond that."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._fruitless = 0
        self._steps_back = 0
        self._stride = 1
        self._doubts = 0

    @property
    def may_doubt(self) -> bool:
        """Whether rows may be looked for once more where they were expected."""
        return self._doubts < MAX_DOUBTS

    def doubt(self) -> None:
        """Count that rows were not where they were expected."""
        self._doubts += 1

    def follow(self, token: str) -> None:
        """Note a page token. Raise ServerError where the server gave it before."""
        if token in self._tokens:
            raise ServerError(
                "MLflow gave one page token twice, so its pages have no end.",
                "Ask whoever runs the server, or the proxy before it, whether it drops the parameter page_token.",
            )
        self._tokens.add(token)

    def page_read(self, *, is_fruitful: bool, has_next: bool) -> None:
        """Count a page that was read in its place. Raise ServerError after too many without a new row."""
        self._stride = 1
        self._fruitless = 0 if is_fruitful else self._fruitless + 1
        if has_next and self._fruitless > MAX_FRUITLESS_PAGES:
            raise ServerError(
                f"MLflow gave {MAX_FRUITLESS_PAGES} pages in a row with nothing new, each with a token of a next one."
            )

    def step_back(self) -> int:
        """Return how many pages to step back: twice as many each time, since known rows may be gone.

        Raise ServerError where known rows are never found again.
        """
        self._steps_back += 1
        if self._steps_back > MAX_STEPS_BACK:
            raise ServerError("MLflow lists its rows in another order each time, so they cannot be read page by page.")
        self._tokens.clear()
        pages, self._stride = self._stride, 2 * self._stride
        return pages
