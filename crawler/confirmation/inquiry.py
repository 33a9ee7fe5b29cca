"""Asks DataHub for what was sent, and learns where it cannot be asked."""

from collections import Counter

from crawler.confirmation.unconfirmed import Sent
from crawler.errors import CrawlerError, DecodeError, RequestRefused, WrongServer
from crawler.report import CrawlReport
from crawler.sinks.sink import Store

UNCONFIRMED_BY_SERVER = (
    "DataHub cannot be asked whether it has what it took, so that rests on the status of its answers. Let the token's "
    "user read entities, and /openapi/v3/entity be reached; --confirm none does without and says nothing."
)
_PASSING = {408, 425, 429, 502, 503, 504}
_TOO_LARGE, _SERVER_ERROR = 413, 500
FAILURES = 3
"""Times that DataHub may fail at a type before it answers anything of it: then it cannot do it at all."""

Found = set[tuple[str, str]]
"""(URN, aspect)."""


class Inquiry:
    """What is refused for one entity type is refused for all of it: it is not asked for again."""

    def __init__(self, store: Store, report: CrawlReport) -> None:
        self._store = store
        self._report = report
        self._answered: set[str] = set()
        self._failed: Counter[str] = Counter()
        self._refused: set[str] = set()

    def is_refused(self, entity_type: str) -> bool:
        """Whether entities of the type cannot be asked for."""
        return entity_type in self._refused

    async def find(self, sent: list[Sent]) -> Found | None:
        """What DataHub has of these, which are of one type; None where it cannot be asked. Raises what ends a crawl."""
        entity_type = sent[0].parcel.entity_type
        if entity_type in self._refused:
            return None
        try:
            found = await self._store.read_back(entity_type, _wanted(sent))
        except RequestRefused as refused:
            return await self._otherwise(sent, refused)
        except (WrongServer, DecodeError) as error:
            if entity_type in self._answered or self._may_yet_answer(entity_type):
                # Perhaps it can tell, and one answer was spoilt on its way.
                return set()
            self._refuse(entity_type, error)
            return None
        self._answered.add(entity_type)
        return found

    async def _otherwise(self, sent: list[Sent], refused: RequestRefused) -> Found | None:
        """What a refusal leaves to be known."""
        entity_type = sent[0].parcel.entity_type
        if refused.status in _PASSING:
            return set()
        if refused.status == _TOO_LARGE or (refused.status == _SERVER_ERROR and entity_type in self._answered):
            return await self._find_apart(sent)
        if refused.status == _SERVER_ERROR and self._may_yet_answer(entity_type):
            return set()
        self._refuse(entity_type, refused)
        return None

    def _may_yet_answer(self, entity_type: str) -> bool:
        """Whether what has failed at a type so far, and was never answered of it, may go well later."""
        self._failed[entity_type] += 1
        return self._failed[entity_type] < FAILURES

    async def _find_apart(self, sent: list[Sent]) -> Found:
        """Halves what is asked for, so that one that cannot be read costs itself only: it counts as not there."""
        found: Found = set()
        if len(sent) > 1:
            middle = len(sent) // 2
            for half in (sent[:middle], sent[middle:]):
                found |= await self.find(half) or set()
        return found

    def _refuse(self, entity_type: str, error: CrawlerError) -> None:
        self._refused.add(entity_type)
        self._report.warn("unconfirmed_by_server", UNCONFIRMED_BY_SERVER, f"{entity_type}: {error.message}")


def _wanted(sent: list[Sent]) -> dict[str, dict[str, None]]:
    wanted: dict[str, dict[str, None]] = {}
    for each in sent:
        wanted.setdefault(each.parcel.urn, {}).update(dict.fromkeys(each.wanted))
    return wanted
