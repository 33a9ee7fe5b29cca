"""Whether rows are the reason why a page cannot be read."""

from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, RequestRefused, Unreachable, WrongServer
from crawler.http.status_policy import GATEWAY_TIMEOUT, ROW_FAULT
from crawler.mlflow.refusals import is_disabled


def row_error_text(error: CrawlerError) -> str | None:
    """Return the error as text where one row may be why a whole page fails, else None.

    That is a lasting 500, 502 or 504, no JSON, an answer that is too large, or none from a server that answers others.
    """
    if isinstance(error, RequestRefused):
        known = error.status in ROW_FAULT and not is_disabled(error)
        return f"MLflow answers {error.status}: {error.answer or 'no words'}" if known else None
    if is_unanswered(error):
        return error.message
    return str(error) if isinstance(error, DecodeError | AnswerTooLarge) else None


def is_unanswered(error: CrawlerError) -> bool:
    """Return whether one request was not answered by a server that is up: it stalls, or a worker dies of it."""
    return isinstance(error, Unreachable) and (error.timed_out or error.broken_off)


def is_of_one_request(error: CrawlerError) -> bool:
    """Return whether a request failed, but not the server."""
    return isinstance(error, RequestRefused | DecodeError | AnswerTooLarge | WrongServer) or is_unanswered(error)


def is_slow(error: CrawlerError) -> bool:
    """Return whether a page timed out, so that a smaller one may be in time."""
    if isinstance(error, RequestRefused):
        return error.status == GATEWAY_TIMEOUT
    return isinstance(error, Unreachable) and error.timed_out
