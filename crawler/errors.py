"""Every way in which a crawl can fail, as one tree of exceptions.

Each error says what failed, where, and what to do next. Catch `CrawlerError` for all of them.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of the process; scripts rely on these numbers."""

    OK = 0
    FAILURES = 1
    USAGE = 2
    SERVER = 3
    UNCONFIRMED = 4
    INTERRUPTED = 130
    TERMINATED = 143


class CrawlerError(Exception):
    """The base of all errors, written for the person who runs the crawl.

    Attributes:
        message: what failed, and where.
        hint: what to do next; may be empty.
        code: a short name of the kind of error, which the report and logs use.
        exit_code: the exit code of a command that ends with this error.

    Example:
        try:
            report = await crawl(load("recipe.yml"))
        except CrawlerError as error:
            print(error.code, error.message, error.hint)
    """

    exit_code = ExitCode.FAILURES
    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        """Create the error; its text is the message and the hint."""
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and the hint."""
        return f"{self.message} {self.hint}".rstrip()


def cause_of(error: BaseException) -> BaseException:
    """Return the first error of a group, however deep: it is the one that ended the others."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class SettingsError(CrawlerError):
    """A recipe, flag or environment variable cannot be used as it is.

    Example:
        try:
            settings = load({"source": {"type": "mlflw"}})
        except SettingsError as error:
            assert "mlflow" in error.hint
    """

    exit_code = ExitCode.USAGE
    code = "settings"


class OutputError(CrawlerError):
    """A file could not be written: no permission, no space, a closed pipe."""

    code = "output"


class InputError(CrawlerError):
    """A file could not be read to its end."""

    code = "input"


class DecodeError(CrawlerError):
    """A response is JSON of another shape than its endpoint promises; the message names the path of the wrong value."""

    code = "unexpected_answer"


class AnswerTooLarge(CrawlerError):
    """A response is larger than the limit, compressed or not: a smaller page may help."""

    code = "answer_too_large"


class ServerError(CrawlerError):
    """A server cannot be reached, is another kind of server, or refuses the credentials: the crawl cannot continue.

    Example:
        try:
            report = await crawl(load("recipe.yml"))
        except ServerError as error:
            print("try again later:", error)
    """

    exit_code = ExitCode.SERVER
    code = "server"


class Unreachable(ServerError):
    """No response after all retries: connection refused, unknown host, time-out, broken connection, TLS failure.

    Both attributes are False if the server stayed down for longer than its `patience`.

    Attributes:
        timed_out: the server was reached, but its response was not complete in time.
        broken_off: the server was reached, but closed the connection before its response was complete.
    """

    code = "unreachable"

    def __init__(self, message: str, hint: str = "", *, timed_out: bool = False, broken_off: bool = False) -> None:
        """Create the error; see the attributes."""
        super().__init__(message, hint)
        self.timed_out = timed_out
        self.broken_off = broken_off


class CredentialsRefused(ServerError):
    """The server does not accept the credentials (401), or they lack every privilege that a crawl needs (403)."""

    code = "credentials"


class WrongServer(ServerError):
    """Another server answers: an HTML page, a redirect, a wrong base path, a frontend."""

    code = "wrong_server"


class Stalled(ServerError):
    """Nothing happened for longer than any request may take."""

    code = "stalled"


class RequestRefused(CrawlerError):
    """The server refused one request for good: a 4xx, or a 5xx after all retries.

    Attributes:
        status: the HTTP status.
        answer: the server's error text, shortened and without secrets.
        body: a longer excerpt of the response, without secrets.
    """

    code = "refused"

    def __init__(self, message: str, hint: str = "", *, status: int, answer: str = "", body: str = "") -> None:
        """Create the error; see the attributes."""
        super().__init__(message, hint)
        self.status = status
        self.answer = answer
        self.body = body


class Interrupted(CrawlerError):
    """The crawl was stopped; everything that was mapped by then is delivered.

    Example:
        stop = asyncio.Event()
        stop.set()
        try:
            await crawl(load("recipe.yml"), stop=stop)
        except Interrupted:
            print("stopped")
    """

    code = "interrupted"
