"""Asks DataHub for what was sent, and learns where it cannot be asked."""

from collections import Counter

from crawler.delivery.verification.pending import Sent
from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, RequestRefused, Unreachable, WrongServer
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.report import CrawlReport

UNCONFIRMED_BY_SERVER = (
    "DataHub cannot be asked whether it has what it took, so that rests on the status of its answers. Let the token's "
    "user read entities, and /openapi/v3/entity be reached; --confirm none does without and says nothing."
)
_PASSING = {408, 425, 429, 502, 503}
"""These may be asked for later just as they are; a 504 says that this was too much for the time there is."""
_BAD_REQUEST, _FORBIDDEN, _TOO_LARGE = 400, 403, 413
FAILURES = 3
"""Requests for entities of a type that may fail before any is answered: then it cannot be asked for at all."""
FAILURES_IN_A_ROW = 20
"""The same of a type that was answered before: some odd ones among many are found with fewer."""

Found = set[tuple[str, str]]
"""(URN, aspect)."""


class Lookup:
    """A request that fails is taken apart, so that an entity that cannot be asked for costs itself only. Where all of a
    type fail, it is not asked for again.
    """

    def __init__(self, store: StoreLookup, report: CrawlReport) -> None:
        self._store = store
        self._report = report
        self._answered: set[str] = set()
        self._failed: Counter[str] = Counter()
        """Requests that failed since the last answer."""
        self._refused: set[str] = set()

    def is_refused(self, entity_type: str) -> bool:
        """Whether entities of the type cannot be asked for."""
        return entity_type in self._refused

    async def find(self, sent: list[Sent]) -> Found:
        """What DataHub has of these, which are of one type. Those that it cannot be asked for are `untold` from now on.
        Raises what ends a crawl.
        """
        found: Found = set()
        if self._failed[sent[0].parcel.entity_type] >= FAILURES_IN_A_ROW:
            del self._failed[sent[0].parcel.entity_type]
        together = [each for each in sent if not each.alone]
        for group in ([together] if together else []) + [[each] for each in sent if each.alone]:
            if error := await self._ask(group, found):
                await self._take_apart(group, error, found)
        return found

    async def _ask(self, sent: list[Sent], found: Found) -> CrawlerError | None:
        """Adds what is there to `found`; gives the error where nothing is told of these as they were asked for."""
        entity_type = sent[0].parcel.entity_type
        if entity_type in self._refused:
            _leave_untold(sent)
            return None
        try:
            found.update(await self._store.read_back(entity_type, _wanted(sent)))
        except CrawlerError as error:
            if not _is_of_these(error):
                raise
            if _status(error) in _PASSING:
                return None
            self._failed[entity_type] += self._tells_of_type(sent, error)
            return error
        self._answered.add(entity_type)
        del self._failed[entity_type]
        return None

    async def _take_apart(self, sent: list[Sent], error: CrawlerError, found: Found) -> None:
        """Asks for both halves of what has failed, then for halves of those that fail as well."""
        if self._is_over(sent, error):
            return
        if len(sent) == 1:
            self._stands_alone(sent[0], error)
            return
        middle = len(sent) // 2
        # The other half first: an answer to it says that the type can be asked for.
        halves = [(half, await self._ask(half, found)) for half in (sent[:middle], sent[middle:])]
        for half, reason in halves:
            if reason is not None:
                await self._take_apart(half, reason, found)

    def _is_over(self, sent: list[Sent], error: CrawlerError) -> bool:
        """Whether so much has failed that nothing will be told of these."""
        entity_type = sent[0].parcel.entity_type
        if entity_type in self._refused:
            _leave_untold(sent)
            return True
        is_known = entity_type in self._answered
        if self._failed[entity_type] < (FAILURES_IN_A_ROW if is_known else FAILURES):
            return False
        if is_known and _status(error) == _FORBIDDEN:
            # Not all of the type, of which some were shown before: perhaps all of one experiment.
            self._trust(sent, error)
        else:
            self._refuse(sent, error)
        return True

    def _stands_alone(self, sent: Sent, error: CrawlerError) -> None:
        """What is forbidden may well be there. What is refused for itself is not proven, and so not there yet."""
        sent.alone = True
        is_known = sent.parcel.entity_type in self._answered
        if _status(error) == _FORBIDDEN or (_status(error) == _BAD_REQUEST and not is_known):
            self._trust([sent], error)

    def _trust(self, sent: list[Sent], error: CrawlerError) -> None:
        _leave_untold(sent)
        for each in sent:
            self._report.warn("unconfirmed_by_server", UNCONFIRMED_BY_SERVER, f"{each.parcel.urn}: {error.message}")

    def _refuse(self, sent: list[Sent], error: CrawlerError) -> None:
        entity_type = sent[0].parcel.entity_type
        self._refused.add(entity_type)
        _leave_untold(sent)
        self._report.warn("unconfirmed_by_server", UNCONFIRMED_BY_SERVER, f"{entity_type}: {error.message}")

    def _tells_of_type(self, sent: list[Sent], error: CrawlerError) -> bool:
        """Whether a failure counts against asking for the type at all."""
        if len(sent) > 1:
            return not isinstance(error, AnswerTooLarge) and _status(error) != _TOO_LARGE
        # One that is known to fail alone says nothing new, but where it takes a time-out each time.
        is_known = sent[0].parcel.entity_type in self._answered
        return not (is_known and sent[0].alone) or isinstance(error, Unreachable)


def _is_of_these(error: CrawlerError) -> bool:
    """Whether others may be answered."""
    if isinstance(error, Unreachable):
        return error.timed_out
    return isinstance(error, (RequestRefused, WrongServer, DecodeError, AnswerTooLarge))


def _status(error: CrawlerError) -> int | None:
    return error.status if isinstance(error, RequestRefused) else None


def _leave_untold(sent: list[Sent]) -> None:
    for each in sent:
        each.untold = True


def _wanted(sent: list[Sent]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for each in sent:
        urn, names = each.parcel.urn, each.wanted
        # An entity may be there in several pieces.
        wanted[urn] = list(dict.fromkeys(wanted[urn] + names)) if urn in wanted else names
    return wanted
