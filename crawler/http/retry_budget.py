"""How many retries a server is given: a token bucket, as in the standard retry mode of the AWS SDKs."""

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
        """Pays for one retry; False, and nothing taken, where too little is left."""
        cost = TIMEOUT_COST if timed_out else RETRY_COST
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def succeeded(self) -> None:
        """A request went well: one token comes back."""
        self.tokens = min(self.tokens + 1, self._capacity)
