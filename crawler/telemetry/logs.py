"""Log lines for people or for programs, on standard error."""

import logging
import unicodedata
from datetime import UTC, datetime

import msgspec
import orjson


class _JsonFormatter(logging.Formatter):
    """One JSON object per line: time (ISO 8601, UTC), level, logger, message; the last one holds the report."""

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
            line["traceback"] = encodable(self.formatException(record.exc_info))
        return orjson.dumps(line, default=msgspec.to_builtins).decode()


class _TextFormatter(logging.Formatter):
    """Lines for a terminal, without the control characters that names from servers may hold."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the standard library's name
        return printable(super().formatMessage(record))


def configure_logging(log_format: str, level: str = "info") -> None:
    """Send log lines of a level or above to standard error, as `text` or `json`."""
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(_TextFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("asyncio", "aiohttp"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def encodable(text: str) -> str:
    r"""Return the text as UTF-8 can hold it: a byte of a path that is not UTF-8 becomes \udc80 to \udcff, spelt out."""
    return text.encode(errors="backslashreplace").decode()


def printable(text: str) -> str:
    """Replace control characters, with which a name from a server could trick a terminal."""
    return "".join(
        character if character == " " or unicodedata.category(character)[0] != "C" else "\N{REPLACEMENT CHARACTER}"
        for character in encodable(text)
    )
