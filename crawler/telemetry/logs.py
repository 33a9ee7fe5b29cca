"""Log lines for people or for machines, on standard error."""

import logging
import unicodedata
from datetime import UTC, datetime

import msgspec


class _JsonFormatter(logging.Formatter):
    """One JSON object a line: time (ISO 8601, UTC), level, logger, message; the last of a crawl has its report."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": encodable(record.getMessage()),
        }
        if report := getattr(record, "report", None):
            line["report"] = report
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class _TextFormatter(logging.Formatter):
    """Lines for a terminal, on which names from servers must play no tricks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the standard library's name
        return printable(super().formatMessage(record))


def configure_logging(log_format: str, *, verbose: bool) -> None:
    """Sends all log lines to standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def encodable(text: str) -> str:
    """The text as UTF-8 can hold it: bytes of a path that are none are spelt out as Python keeps them."""
    return text.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """The text without control characters, which a name from a server may hold to play tricks on a terminal."""
    return "".join(
        character if character == " " or unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in encodable(text)
    )
