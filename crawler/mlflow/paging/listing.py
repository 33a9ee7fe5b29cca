"""Reading one listing to its end, page by page: rows that make a page fail cost only themselves, and are told."""

from collections.abc import AsyncIterator, Awaitable, Callable

from crawler.errors import CrawlerError
from crawler.mlflow.decoding import Page, Row
from crawler.mlflow.deduplicate import deduplicate
from crawler.mlflow.paging.offset import OffsetWalk
from crawler.mlflow.row_errors import fault_of_row, is_slow, row_left_out

Ask = Callable[[str, int], Awaitable[Page[Row]]]
"""Gets the page of a token, of at most so many rows."""


async def read_listing(
    ask: Ask[Row], rows: int, key: Callable[[Row], object], unreadable: Callable[[list[str]], None]
) -> AsyncIterator[list[Row]]:
    """Pages of at most `rows` rows, each row once; `unreadable` is told of those that cannot be had.

    Raises what `ask` raises where asking for less does not help, ServerError where the pages have no end.
    """
    walk: OffsetWalk[Row] = OffsetWalk(key)
    while (token := walk.token) is not None:
        most = walk.most or rows
        try:
            page = await ask(token, most)
        except CrawlerError as error:
            if not _helps_to_ask_for_less(walk, most, error):
                raise
            continue
        read, lost = deduplicate(walk.take(page), key)
        told = [f"{key(row)} comes twice, with other data: only the first is kept" for row in lost]
        told += [row_left_out(each) for each in walk.take_skipped()]
        if told:
            unreadable(told)
        yield read


def _helps_to_ask_for_less(walk: OffsetWalk[Row], rows: int, error: CrawlerError) -> bool:
    if is_slow(error) and walk.slow(rows):
        return True
    words = fault_of_row(error)
    return words is not None and walk.failed(rows, words)
