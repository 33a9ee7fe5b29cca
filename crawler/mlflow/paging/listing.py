"""Reading one listing to its end, page by page; rows that make a page fail are left out alone."""

from collections.abc import AsyncIterator, Awaitable, Callable

from crawler.errors import CrawlerError
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.deduplicate import deduplicate
from crawler.mlflow.paging.offset import OffsetCursor
from crawler.mlflow.paging.skipped import describe_row
from crawler.mlflow.paging.step import Step
from crawler.mlflow.row_errors import is_slow, row_error_text

Ask = Callable[[str, int], Awaitable[Page[Row]]]
"""Returns the page of a token, with at most this many rows."""


async def read_pages(ask: Ask[Row], page_rows: int, key: Callable[[Row], object]) -> AsyncIterator[Step[Row]]:
    """Yield pages of at most `page_rows` rows, each row once.

    Raises what `ask` raises where asking for less does not help, ServerError where the pages have no end.
    """
    cursor: OffsetCursor[Row] = OffsetCursor(key)
    mended: list[str] = []
    while (token := cursor.token) is not None:
        most = cursor.most or page_rows
        try:
            page = await ask(token, most)
        except CrawlerError as error:
            if not _ask_for_less(cursor, most, error):
                raise
            continue
        step = cursor.take(page)
        rows, lost = deduplicate(step.rows, key)
        unreadable = [
            *step.unreadable,
            *(f"{key(row)} comes twice, with other data: only the first is kept" for row in lost),
            *map(describe_row, step.skipped),
        ]
        # Rows that come once more are mended once more.
        fresh = [text for text in step.mended if text not in mended]
        mended = step.mended
        yield Step(rows, unreadable=unreadable, mended=fresh, is_last=step.is_last)


def _ask_for_less(cursor: OffsetCursor[Row], rows: int, error: CrawlerError) -> bool:
    if is_slow(error) and cursor.slow(rows):
        return True
    error_text = row_error_text(error)
    return error_text is not None and cursor.failed(rows, error_text)
