"""Classifies a response: data, or an error that says what is wrong and what to do. Pure."""

import re
from collections.abc import Mapping

import msgspec
from yarl import URL

from crawler.errors import AnswerTooLarge, CrawlerError, CredentialsRefused, RequestRefused, WrongServer
from crawler.http.error_text import error_excerpt, error_text
from crawler.http.redaction import Redactor
from crawler.http.status_policy import (
    FORBIDDEN,
    PROXY_UNAUTHORIZED,
    UNAUTHORIZED,
    is_redirect,
    is_server_error,
    is_success,
)

_LOGIN = re.compile(r"(log|sign)[-_]?in\b|\boauth2?\b|\bopenid|\bsso\b|\bsaml|\bauthorize\b|\bauth\b", re.IGNORECASE)
_LOGIN_PAGE = re.compile(r"\b(log|sign)[- ]?in\b|\bpassword\b|\bsso\b|\bsingle sign", re.IGNORECASE)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_HINTS = {
    403: "Perhaps the account lacks the privilege for this request.",
    404: "Is the URL right, including its path?",
    407: "The proxy wants credentials: give them in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY.",
    413: "The request is too large for the server or a proxy: send smaller batches.",
    429: "Ask for less at once: lower the concurrency or the requests per second.",
    503: "The server is overloaded or starting: try again later, or lower the concurrency.",
}
_SERVER_ERROR_HINT = "Its log says more."


class Response(msgspec.Struct, frozen=True):
    """A whole answer. `headers` is case-insensitive; `packed` names an encoding in which the body could not be read."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    packed: str = ""


class ResponseClassifier:
    """Tells data of one server from errors, and from what stands before it. `sent` is how messages name credentials."""

    def __init__(self, name: str, url: str, sent: str, redact: Redactor) -> None:
        self._name = name
        self._url = url
        self._sent = sent
        self._redact = redact

    def check(self, response: Response, path: str) -> Response:
        """Return the response if it is a success that can be data; raise CrawlerError otherwise."""
        if not is_success(response.status) or stands_in_front(response):
            raise self.error(response, path)
        return response

    def too_large(self, status: int, limit: int, path: str) -> AnswerTooLarge:
        """Return the error for an answer of more than `limit` bytes."""
        return AnswerTooLarge(
            f"{self._name} at {self._url}{_bare(path)} answered {status} with more than {limit:,} bytes, "
            "unpacked; the rest was not read.",
            "Ask for less at once (page size), or look at what makes the answer so large.",
        )

    def error(self, response: Response, path: str) -> CrawlerError:
        """Return the error that a response which is no data stands for."""
        if is_redirect(response.status):
            return self._redirect(response, path)
        if response.packed:
            return WrongServer(
                f"{self._name} at {self._url}{_bare(path)} answered in the content encoding {response.packed}, "
                "which nobody asked for.",
                "Perhaps a proxy or a CDN before it compresses whatever is accepted: switch that off for this address.",
            )
        if is_success(response.status):
            return self._page(response, path)
        if response.status == UNAUTHORIZED:
            return self._unauthorized(response)
        return self._refusal(response, path)

    def _page(self, response: Response, path: str) -> WrongServer:
        text = error_excerpt(response.body, self._redact)
        looks = f"{self._login_hint()} " if _LOGIN_PAGE.search(text) else ""
        return WrongServer(
            f"{self._name} at {self._url}{_bare(path)} answered with a web page, not JSON{_quoted(text)}.",
            f"{looks}Is {self._url} the address of {self._name}, or of a proxy's login page?",
        )

    def _refusal(self, response: Response, path: str) -> RequestRefused:
        answer = error_excerpt(response.body, self._redact)
        kind, hint = "", _HINTS.get(response.status, _SERVER_ERROR_HINT if is_server_error(response.status) else "")
        if response.status == FORBIDDEN and is_page(response):
            kind, hint = " with a web page", "Perhaps a firewall or a proxy before it refuses the request."
        return RequestRefused(
            f"{self._name} at {self._url}{_bare(path)} answered {response.status}{kind}{_quoted(answer)}.",
            hint,
            status=response.status,
            answer=answer,
            body=error_text(response.body, self._redact),
        )

    def _unauthorized(self, response: Response) -> CredentialsRefused:
        answer = error_excerpt(response.body, self._redact)
        said = f' It says: "{answer}".' if answer else ""
        return CredentialsRefused(
            f"{self._name} at {self._url} refuses the credentials (401); it was sent {self._sent}.{said}",
            "Check user name and password or token.",
        )

    def _redirect(self, response: Response, path: str) -> WrongServer:
        target = _target(f"{self._url}{path}", response.headers.get("Location", ""))
        shown = "nowhere readable" if target is None else self._redact(str(target))
        return WrongServer(
            f"{self._name} at {self._url} redirects ({response.status}) to {shown}. "
            "Redirects are not followed: they would carry the credentials along.",
            self._redirect_hint(target, path),
        )

    def _redirect_hint(self, target: URL | None, path: str) -> str:
        if target is None:
            return f"Is {self._url} the address of {self._name}?"
        if _LOGIN.search(f"{target.host} {target.path}"):
            return self._login_hint()
        base = str(target).rstrip("/").removesuffix(_bare(path).rstrip("/"))
        return f"Set the URL of {self._name} to {self._redact(base)} if that is the server you mean."

    def _login_hint(self) -> str:
        return (
            "That looks like a login page: a proxy wants a login. "
            f"Use an address of {self._name} for programs, or give the credentials that the proxy wants."
        )


def stands_in_front(response: Response) -> bool:
    """Return True if most likely a proxy, a login or a firewall before the server answered in its place."""
    if is_redirect(response.status) or response.status == PROXY_UNAUTHORIZED or bool(response.packed):
        return True
    return (is_success(response.status) or response.status == FORBIDDEN) and is_page(response)


def is_json(response: Response) -> bool:
    """Return True for a success whose body begins as a JSON object or array does."""
    return is_success(response.status) and response.body.lstrip()[:1] in (b"{", b"[")


def is_page(response: Response) -> bool:
    """Return True for a body that is meant for a browser.

    Markup decides, not the content type alone: MLflow's /version answers a bare number as text/html.
    """
    body = response.body.removeprefix(_BYTE_ORDER_MARK).lstrip()
    return body.startswith(b"<") or ("html" in response.headers.get("Content-Type", "").lower() and b"<" in body)


def _target(requested: str, location: str) -> URL | None:
    """Return where a redirect leads, without what may hold a secret: user info, query, fragment."""
    if not location:
        return None
    try:
        target = URL(requested).join(URL(location))
        return target.with_user(None).with_query(None).with_fragment(None)
    except ValueError:
        return None


def _quoted(text: str) -> str:
    return f': "{text}"' if text else ""


def _bare(path: str) -> str:
    return path.partition("?")[0]
