"""How much a crawl reads and sends again: everything, or what may have changed since the last one. Pure."""

import msgspec

from crawler.settings.crawl import KeepingCurrent

OVERLAP = 3_600_000
"""In ms: by so much the clocks of whoever starts runs may be behind the crawler's."""


class LastCrawl(msgspec.Struct, frozen=True):
    """What is kept of the last crawl that came to its end. Times are when a crawl began, in ms since epoch."""

    number: int
    fingerprint: dict[str, str]
    program: str
    """The version of this program: another one may map a row in another way."""
    began: int
    full_began: int
    """Of the last one that read everything."""
    verified: int | None = None
    """Of the last one that asked DataHub for all that it should have."""


class Scope(msgspec.Struct, frozen=True):
    """What crawl `number` does, which began at `began` (ms since epoch).

    It reads everything, or what may have changed since `since`; of older runs that have not ended, those that began at
    `not_ended_since` or later. If it `verifies`, DataHub is asked whether it has what the state says. `numbers` were
    given to entities when it began.
    """

    number: int
    began: int
    since: int | None = None
    not_ended_since: int = 0
    verifies: bool = False
    numbers: int = 0

    @property
    def is_full(self) -> bool:
        """Whether it reads everything."""
        return self.since is None


def scope_of(
    last: LastCrawl | None, wanted: KeepingCurrent, fingerprint: dict[str, str], program: str, now: int
) -> Scope:
    """Return what a crawl does that begins now; `last` is None where there was none into the same DataHub."""
    number = 1 if last is None else last.number + 1
    verified = None if last is None else last.verified
    verifies = wanted.verify_every is not None and (verified is None or now - verified >= 1_000 * wanted.verify_every)
    incremental = wanted.incremental
    if (
        incremental is None
        or verifies
        or last is None
        or (last.fingerprint, last.program) != (fingerprint, program)
        # A clock that was put back tells nothing of how long ago that was.
        or now < last.began
        or now - last.full_began >= 1_000 * incremental.full_every
    ):
        return Scope(number, now, verifies=verifies)
    return Scope(number, now, last.began - OVERLAP, now - round(1_000 * incremental.not_ended_for))
