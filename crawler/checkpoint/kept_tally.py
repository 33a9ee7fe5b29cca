"""The tally of a crawl as its checkpoint keeps it, for the crawl that goes on."""

from collections import Counter
from pathlib import Path

import msgspec

from crawler.telemetry.findings.catalogue import FOUND_AGAIN
from crawler.telemetry.logs import encodable
from crawler.telemetry.tally import FindingSummary, Tally


class KeptTally(msgspec.Struct, frozen=True):
    """The part of a tally that is kept: not the findings about what is read or delivered once more.

    `proposals` and `delivered` count what was written, so what is written once more counts once more.
    """

    warnings: list[FindingSummary]
    failures: list[FindingSummary]
    delivered: dict[str, int]
    confirmed: dict[str, dict[str, int]]
    proposals: int
    rejected: int
    dead_letters: int
    dead_letters_path: str | None
    unconfirmed: int = 0
    unconfirmed_proposals: int = 0
    unconfirmed_path: str | None = None
    removed: dict[str, int] = {}
    unchanged: dict[str, int] = {}


def encode_tally(tally: Tally) -> bytes:
    """Encode what is kept of a tally as JSON."""
    kept = KeptTally(
        warnings=_kept(tally.warnings),
        failures=_kept(tally.failures),
        delivered=tally.delivered,
        confirmed={entity_type: dict(methods) for entity_type, methods in tally.confirmed.items()},
        proposals=tally.proposals,
        rejected=tally.rejected,
        dead_letters=tally.dead_letters,
        dead_letters_path=_text(tally.dead_letters_path),
        unconfirmed=tally.unconfirmed,
        unconfirmed_proposals=tally.unconfirmed_proposals,
        unconfirmed_path=_text(tally.unconfirmed_path),
        removed=tally.removed,
        unchanged=tally.unchanged,
    )
    return msgspec.json.encode(kept)


def decode_tally(data: bytes) -> Tally:
    """Decode a kept tally. Raises msgspec.MsgspecError where it is none."""
    kept = msgspec.json.decode(data, type=KeptTally)
    tally = Tally(
        warnings={each.code: each for each in kept.warnings},
        failures={each.code: each for each in kept.failures},
        delivered=Counter(kept.delivered),
        proposals=kept.proposals,
        rejected=kept.rejected,
        dead_letters=kept.dead_letters,
        dead_letters_path=_path(kept.dead_letters_path),
        unconfirmed=kept.unconfirmed,
        unconfirmed_proposals=kept.unconfirmed_proposals,
        unconfirmed_path=_path(kept.unconfirmed_path),
        removed=Counter(kept.removed),
        unchanged=Counter(kept.unchanged),
    )
    for entity_type, methods in kept.confirmed.items():
        tally.confirmed[entity_type].update(methods)
    return tally


def _kept(summaries: dict[str, FindingSummary]) -> list[FindingSummary]:
    return [summary for code, summary in summaries.items() if code not in FOUND_AGAIN]


def _text(path: Path | None) -> str | None:
    # The crawl that goes on may do so in another folder.
    return None if path is None else encodable(str(path.absolute()))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
