"""Every way in which a crawl can fail, as one tree: each error says what, where and what to do next."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process ends with; scripts rely on these numbers."""

    OK = 0
    FAILURES = 1
    USAGE = 2
    SERVER = 3
    INTERRUPTED = 130
    TERMINATED = 143


class CrawlerError(Exception):
    """An error for a person: `message` says what and where, `hint` what to do next."""

    exit_code = ExitCode.FAILURES
    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class SettingsError(CrawlerError):
    """A recipe, flag or environment variable that cannot be used as it stands."""

    exit_code = ExitCode.USAGE
    code = "settings"


class OutputError(CrawlerError):
    """A file that could not be written: no permission, no space, a closed pipe."""

    code = "output"


class InputError(CrawlerError):
    """A file that could not be read to its end."""

    code = "input"


class DecodeError(CrawlerError):
    """An answer that is JSON of another shape than its endpoint promises; names the path of the wrong value."""

    code = "unexpected_answer"


class AnswerTooLarge(CrawlerError):
    """An answer with more bytes than are read, packed or unpacked: asking for less at once may help."""

    code = "answer_too_large"


class ServerError(CrawlerError):
    """A server that is not reached, is not what it should be, or refuses the credentials: the crawl cannot go on."""

    exit_code = ExitCode.SERVER
    code = "server"


class Unreachable(ServerError):
    """No answer after all retries: refused, unknown host, time-out, broken connection, TLS failure.

    `timed_out`: the server was reached, but no whole answer came in time. `broken_off`: it was reached, but closed the
    connection before its answer was whole. Neither, where an outage outlasted all patience.
    """

    code = "unreachable"

    def __init__(self, message: str, hint: str = "", *, timed_out: bool = False, broken_off: bool = False) -> None:
        super().__init__(message, hint)
        self.timed_out = timed_out
        self.broken_off = broken_off


class CredentialsRefused(ServerError):
    """The server knows no such credentials (401), or they may not even begin a crawl (403)."""

    code = "credentials"


class WrongServer(ServerError):
    """Something answers, but not the server that was meant: an HTML page, a redirect, a wrong base path, a frontend."""

    code = "wrong_server"


class Stalled(ServerError):
    """Nothing happened for longer than any server may take."""

    code = "stalled"


class RequestRefused(CrawlerError):
    """One request that the server refused for good: a 4xx, or a 5xx that outlasted all retries.

    `status` is the HTTP status, `answer` the server's own words, shortened and free of secrets, `body` more of them.
    """

    code = "refused"

    def __init__(self, message: str, hint: str = "", *, status: int, answer: str = "", body: str = "") -> None:
        super().__init__(message, hint)
        self.status = status
        self.answer = answer
        self.body = body


class Interrupted(CrawlerError):
    """The crawl was told to stop; what was mapped by then is delivered."""

    code = "interrupted"
