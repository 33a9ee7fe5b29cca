"""Pages that cannot be had: whether their rows are the reason, and what is told of those that are left out."""

from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, RequestRefused, Unreachable
from crawler.http.status_policy import GATEWAY_TIMEOUT, ROW_FAULT
from crawler.mlflow.decoding import Row
from crawler.mlflow.entities import Run
from crawler.mlflow.paging.keyset import RunQuery
from crawler.mlflow.paging.page_bisection import Skipped


def fault_of_row(error: CrawlerError) -> str | None:
    """The server's words, where one row may be why a whole page cannot be had: a lasting 500, no JSON, too large, or
    no answer from a server that answers others.
    """
    if isinstance(error, RequestRefused):
        known = error.status in ROW_FAULT
        return f"MLflow answers {error.status}: {error.answer or 'no words'}" if known else None
    if is_unanswered(error):
        return error.message
    return str(error) if isinstance(error, DecodeError | AnswerTooLarge) else None


def is_unanswered(error: CrawlerError) -> bool:
    """Whether one request was not answered, by a server that is not out: it stalls it, or a worker dies of it."""
    return isinstance(error, Unreachable) and (error.timed_out or error.broken_off)


def is_of_one_request(error: CrawlerError) -> bool:
    """Whether a request failed, but not the server."""
    return isinstance(error, RequestRefused | DecodeError | AnswerTooLarge) or is_unanswered(error)


def is_slow(error: CrawlerError) -> bool:
    """Whether a page took too long, so that a smaller one may come in time."""
    if isinstance(error, RequestRefused):
        return error.status == GATEWAY_TIMEOUT
    return isinstance(error, Unreachable) and error.timed_out


def run_left_out(experiment_id: str, query: RunQuery, skipped: Skipped[Run]) -> str:
    """What is known of a run that cannot be read and that a query asked for."""
    after = _run(skipped.after) or ("" if query.since is None else f"start_time {query.since}")
    before = _run(skipped.before) or ("" if query.until is None else f"start_time {query.until}")
    return f"experiment {experiment_id}: a run {_between(after, before)}: {skipped.words}"


def row_left_out(skipped: Skipped[Row]) -> str:
    """What is known of another row that cannot be read; its neighbours are named by their key."""
    return f"one {_between(_name(skipped.after), _name(skipped.before))}: {skipped.words}"


def _between(after: str, before: str) -> str:
    if after and before:
        return f"between {after} and {before}"
    if after:
        return f"behind {after}, at the end"
    return f"before {before}, at the beginning" if before else "that is the only one"


def _run(run: Run | None) -> str:
    return f"{run.info.run_id} (start_time {run.info.start_time})" if run else ""


def _name(row: Row | None) -> str:
    """The row's name and version, or its id."""
    known = (str(getattr(row, field, "")) for field in ("experiment_id", "name", "version"))
    return " ".join(part for part in known if part)
