"""A token bucket that bounds the retries to one server, as in the standard retry mode of the AWS SDKs."""

CAPACITY = 500
RETRY_COST = 5
TIMEOUT_COST = 10
"""A request that timed out has kept a worker of the server busy for long."""


class RetryBudget:
    """Tokens that all requests to one server share. Pure: what an empty bucket means is up to the caller."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self.tokens = capacity

    def take(self, *, timed_out: bool) -> bool:
        """Pay for one retry; return False, and take nothing, if too little is left."""
        cost = TIMEOUT_COST if timed_out else RETRY_COST
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def succeeded(self) -> None:
        """Return one token for a request that succeeded."""
        self.tokens = min(self.tokens + 1, self._capacity)
