"""Every set of HTTP statuses that decides something, in one place. Pure."""

BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
PROXY_UNAUTHORIZED = 407
TOO_LARGE = 413
UNPROCESSABLE = 422
INTERNAL_ERROR = 500
BAD_GATEWAY = 502
GATEWAY_TIMEOUT = 504

_SUCCESS = range(200, 300)
_REDIRECT = range(300, 400)
_SERVER_ERROR = range(500, 600)

_TRANSIENT_4XX = frozenset({408, 425, 429})
_LASTING_5XX = frozenset({501, 505})
_THROTTLING = frozenset({429, 503})
_OVERLOAD = frozenset({408, 502, 504})

NO_ENDPOINT = frozenset({404, 405, 501})
"""The endpoint is missing, so a smaller batch would be refused alike."""

SEND_AGAIN = _TRANSIENT_4XX | {503}
"""DataHub may take the same batch later: it says nothing about the proposals."""

LOOK_UP_AGAIN = _TRANSIENT_4XX | {502, 503}
"""DataHub may answer the same lookup later. Not so 504: the lookup takes longer than a gateway allows."""

ROW_FAULT = frozenset({500, 502, 504})
"""One row may fail its whole page: a proxy answers 502 if it kills the worker and 504 if it takes too long."""


def is_success(status: int) -> bool:
    """Return True if the server did what the request asked for."""
    return status in _SUCCESS


def is_redirect(status: int) -> bool:
    """Return True if the server answers with another address."""
    return status in _REDIRECT


def is_server_error(status: int) -> bool:
    """Return True if the server says that the fault is its own."""
    return status in _SERVER_ERROR


def is_retryable(status: int) -> bool:
    """Return True if the same request may succeed later: time-outs, throttling, failures of the server."""
    return status in _TRANSIENT_4XX or (status in _SERVER_ERROR and status not in _LASTING_5XX)


def is_silence(status: int) -> bool:
    """Return True if the status is as good as no answer: time-outs, and gateways without a server, but not 500."""
    return status != INTERNAL_ERROR and is_retryable(status)


def is_throttling(status: int) -> bool:
    """Return True if the server refuses the number of requests."""
    return status in _THROTTLING


def is_overload(status: int) -> bool:
    """Return True if the server, or a proxy's backend, did not answer in time or at all."""
    return status in _OVERLOAD
