"""Looks up in DataHub what was sent, and learns what cannot be looked up."""

from collections import Counter

from crawler.datahub.readback import Expected
from crawler.datahub.wire.protocol import Wire
from crawler.delivery.verification.queue import PendingVerification
from crawler.errors import AnswerTooLarge, CrawlerError, DecodeError, RequestRefused, Unreachable, WrongServer
from crawler.http.status_policy import BAD_REQUEST, FORBIDDEN, LOOK_UP_AGAIN, TOO_LARGE
from crawler.sinks.protocol import StoreLookup
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.delivery import UNVERIFIABLE

FAILURES = 3
"""Lookups of an entity type that may fail before any is answered: then it cannot be looked up at all."""
FAILURES_IN_A_ROW = 20
"""The same of a type that was answered before: a few odd entities among many are found with fewer."""

Found = set[tuple[str, str]]
"""(URN, aspect)."""


class Lookup:
    """Bisects a lookup that fails, so that an entity that cannot be looked up costs itself only.

    Where all lookups of an entity type fail, it is not looked up again.
    """

    def __init__(self, store: StoreLookup, wire: Wire, listener: Listener) -> None:
        """Look up in `store`; `listener` is told once what cannot be verified."""
        self._store = store
        self._wire = wire
        self._listener = listener
        self._answered: set[str] = set()
        self._failed: Counter[str] = Counter()
        """Lookups that failed since the last answer, by entity type."""
        self._switched_off: set[str] = set()

    def is_switched_off(self, entity_type: str) -> bool:
        """Whether entities of the type cannot be looked up."""
        return entity_type in self._switched_off

    async def find(self, pieces: list[PendingVerification]) -> Found:
        """Return what DataHub has of pieces of one entity type; those it cannot tell of become `unverifiable`.

        Raises what ends a crawl, such as CredentialsRefused.
        """
        found: Found = set()
        if self._failed[pieces[0].entity.entity_type] >= FAILURES_IN_A_ROW:
            del self._failed[pieces[0].entity.entity_type]
        together = [each for each in pieces if not each.ask_separately]
        for group in ([together] if together else []) + [[each] for each in pieces if each.ask_separately]:
            if error := await self._ask(group, found):
                await self._bisect(group, error, found)
        return found

    async def _ask(self, pieces: list[PendingVerification], found: Found) -> CrawlerError | None:
        """Add what is there to `found`. Returns the error if these cannot be looked up together."""
        entity_type = pieces[0].entity.entity_type
        if entity_type in self._switched_off:
            _give_up(pieces)
            return None
        try:
            found.update(
                await self._store.read_back(
                    entity_type, _wanted(pieces), since=pieces[0].since, expected=self._expected(pieces)
                )
            )
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            if _status(error) in LOOK_UP_AGAIN:
                return None
            self._failed[entity_type] += self._counts_against_type(pieces, error)
            return error
        self._answered.add(entity_type)
        del self._failed[entity_type]
        return None

    async def _bisect(self, pieces: list[PendingVerification], error: CrawlerError, found: Found) -> None:
        """Look up both halves of what failed, then the halves of those that fail as well."""
        if self._is_hopeless(pieces, error):
            return
        if len(pieces) == 1:
            self._fails_alone(pieces[0], error)
            return
        middle = len(pieces) // 2
        # The other half first: an answer to it says that the type can be looked up.
        halves = [(half, await self._ask(half, found)) for half in (pieces[:middle], pieces[middle:])]
        for half, reason in halves:
            if reason is not None:
                await self._bisect(half, reason, found)

    def _is_hopeless(self, pieces: list[PendingVerification], error: CrawlerError) -> bool:
        """Whether verification of this entity type is switched off, or these are trusted without it."""
        entity_type = pieces[0].entity.entity_type
        if entity_type in self._switched_off:
            _give_up(pieces)
            return True
        is_known = entity_type in self._answered
        if self._failed[entity_type] < (FAILURES_IN_A_ROW if is_known else FAILURES):
            return False
        if is_known and _status(error) == FORBIDDEN:
            # Not the whole type, of which some were shown before: perhaps all of one experiment.
            self._trust(pieces, error)
        else:
            self._switched_off.add(entity_type)
            _give_up(pieces)
            self._listener(UNVERIFIABLE.found(f"{entity_type}: {error.message}"))
        return True

    def _fails_alone(self, piece: PendingVerification, error: CrawlerError) -> None:
        """Trust what is forbidden, which may well be there; what is refused for itself is not verified yet."""
        piece.ask_separately = True
        is_known = piece.entity.entity_type in self._answered
        if _status(error) == FORBIDDEN or (_status(error) == BAD_REQUEST and not is_known):
            self._trust([piece], error)

    def _trust(self, pieces: list[PendingVerification], error: CrawlerError) -> None:
        _give_up(pieces)
        for each in pieces:
            self._listener(UNVERIFIABLE.found(f"{each.entity.urn}: {error.message}"))

    def _expected(self, pieces: list[PendingVerification]) -> Expected | None:
        """Return what was sent, of pieces of which it is compared with what is stored."""
        expected: dict[tuple[str, str], bytes] = {}
        for each in pieces:
            for encoded in each.entity.proposals if each.by_value else ():
                sent = self._wire.proposal(each.entity, encoded)
                expected[sent.urn, sent.aspect_name] = sent.aspect
        return expected or None

    def _counts_against_type(self, pieces: list[PendingVerification], error: CrawlerError) -> bool:
        """Whether a failure speaks against looking up the type at all."""
        if len(pieces) > 1:
            return not isinstance(error, AnswerTooLarge) and _status(error) != TOO_LARGE
        # One that is known to fail alone says nothing new, but where it takes a time-out each time.
        is_known = pieces[0].entity.entity_type in self._answered
        return not (is_known and pieces[0].ask_separately) or isinstance(error, Unreachable)


def is_of_one_request(error: CrawlerError) -> bool:
    """Return whether other requests may be answered."""
    if isinstance(error, Unreachable):
        return error.timed_out
    return isinstance(error, (RequestRefused, WrongServer, DecodeError, AnswerTooLarge))


def _status(error: CrawlerError) -> int | None:
    return error.status if isinstance(error, RequestRefused) else None


def _give_up(pieces: list[PendingVerification]) -> None:
    for each in pieces:
        each.unverifiable = True


def _wanted(pieces: list[PendingVerification]) -> dict[str, list[str]]:
    wanted: dict[str, list[str]] = {}
    for each in pieces:
        urn, names = each.entity.urn, each.wanted
        # An entity may be there in several pieces.
        wanted[urn] = list(dict.fromkeys(wanted[urn] + names)) if urn in wanted else names
    return wanted
