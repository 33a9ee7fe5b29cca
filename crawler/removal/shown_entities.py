"""Which of some entities DataHub shows, so that only these are marked as removed."""

from collections.abc import Sequence

from crawler.datahub.client import GmsClient
from crawler.errors import AnswerTooLarge, DecodeError, RequestRefused, WrongServer
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.removal import REMOVAL_BLIND

URNS_A_LOOKUP = 200


class ShownEntities:
    """Asks DataHub. Without a `client`, or where it does not answer such questions, all count as shown."""

    def __init__(self, client: GmsClient | None, listener: Listener) -> None:
        self._client = client
        self._listener = listener

    @property
    def are_known(self) -> bool:
        """Whether DataHub can be asked."""
        return self._client is not None

    async def of(self, entity_type: str, urns: Sequence[str]) -> list[str]:
        """Return those of these entities that DataHub shows, in their order. Raises Unreachable."""
        shown: list[str] = []
        for start in range(0, len(urns), URNS_A_LOOKUP):
            some = urns[start : start + URNS_A_LOOKUP]
            shown += await self._look_up(entity_type, some)
        return shown

    async def _look_up(self, entity_type: str, urns: Sequence[str]) -> Sequence[str]:
        if self._client is None:
            return urns
        try:
            found = await self._client.shown(entity_type, urns)
        except (RequestRefused, DecodeError, AnswerTooLarge, WrongServer) as error:
            if self._client is not None:
                self._listener(REMOVAL_BLIND.found(str(error)))
            self._client = None
            return urns
        return [urn for urn in urns if urn in found]
