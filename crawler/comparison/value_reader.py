"""Reads what DataHub stores, a few requests at a time; what it does not show costs itself only."""

from collections.abc import Sequence

import msgspec

from crawler.datahub import stored_values
from crawler.datahub.client import GmsClient
from crawler.datahub.stored_values import Values, Wanted
from crawler.delivery.verification.lookup import is_of_one_request
from crawler.errors import CrawlerError, RequestRefused, ServerError
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.comparison import NOT_SHOWN

FAILURES_IN_A_ROW = 20
"""Entities that may be refused one by one before any is shown: then DataHub shows none."""


class Stored(msgspec.Struct):
    """The values that DataHub has, and the URNs of the entities that it does not show."""

    values: Values = {}
    not_shown: set[str] = set()


class ValueReader:
    """Reads entities of all types in one request where GMS can do that, else of each type in its own."""

    def __init__(self, client: GmsClient, listener: Listener) -> None:
        """Read through `client`; `listener` is told what is not shown."""
        self._client = client
        self._listener = listener
        self._several_types: bool | None = None
        """Whether GMS reads several types at once; None until that is known."""
        self._failed_in_a_row = 0

    async def read(self, wanted: Sequence[Wanted]) -> Stored:
        """Return what DataHub has of the entities.

        Raises:
            ServerError: It cannot be reached, or shows none at all.
        """
        stored = Stored()
        await self._bisect(wanted, stored)
        return stored

    async def _bisect(self, wanted: Sequence[Wanted], stored: Stored) -> None:
        """Read entities together, and where that fails, both halves of them."""
        if not wanted:
            return
        try:
            stored.values |= await self._ask(wanted)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            if len(wanted) == 1:
                self._fails_alone(wanted[0], error, stored)
                return
        else:
            self._failed_in_a_row = 0
            return
        middle = len(wanted) // 2
        await self._bisect(wanted[:middle], stored)
        await self._bisect(wanted[middle:], stored)

    def _fails_alone(self, wanted: Wanted, error: CrawlerError, stored: Stored) -> None:
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= FAILURES_IN_A_ROW:
            raise ServerError(
                f"DataHub does not show what it has: {error.message}",
                "Give the token's user the privilege to read entities, and let /openapi/v3/entity be reached.",
            ) from error
        stored.not_shown.add(wanted.urn)
        self._listener(NOT_SHOWN.found(f"{wanted.urn}: {error.message}"))

    async def _ask(self, wanted: Sequence[Wanted]) -> Values:
        if self._several_types is not False:
            values = await self._ask_together(wanted)
            if values is not None:
                self._several_types = True
                return values
        values = {}
        for entity_type, group in stored_values.by_type(wanted).items():
            answer = await self._client.ask(stored_values.path_of(entity_type), stored_values.body_of_one_type(group))
            values |= stored_values.decode_one_type(answer)
        self._several_types = bool(self._several_types)
        return values

    async def _ask_together(self, wanted: Sequence[Wanted]) -> Values | None:
        """Return None where GMS seems not to be able to, as long as it was never seen to be."""
        is_known = self._several_types is True
        body = stored_values.body_of_several_types(wanted)
        try:
            answer = await self._client.ask(stored_values.SEVERAL_TYPES, body, attempts=None if is_known else 1)
        except RequestRefused:
            if is_known:
                raise
            return None
        return stored_values.decode_several_types(answer)
