"""What a diff found, for people and for programs: pure."""

from collections.abc import Iterator, Sequence

import msgspec

from crawler.comparison.difference import AspectDifference
from crawler.comparison.differences import Differences, KindDifferences
from crawler.settings.durations import human_seconds
from crawler.telemetry.logs import encodable
from crawler.telemetry.report import Report
from crawler.telemetry.summary import KINDS
from crawler.telemetry.tally import FindingSummary

_NAMES = {entity_type: name for name, _, entity_type in KINDS}
_COLUMNS = ("compared", "missing", "different", "orphaned")


def as_json(differences: Differences, report: Report, *, fix: bool) -> str:
    """Return all of it as one line of JSON: counts in numbers, times in seconds."""
    shown = report.to_dict()
    page = {
        "status": _status(differences, report),
        "kinds": differences.kinds,
        "sent": _sent(shown) if fix else None,
        **{name: shown[name] for name in ("read", "mlflow", "datahub", "duration_s", "peak_rss_bytes")},
        "warnings": report.warnings,
        "failures": report.failures,
    }
    return msgspec.json.encode(page).decode()


def lines(differences: Differences, report: Report, *, fix: bool) -> Iterator[str]:
    """Yield all of it as lines: a table by kind, the first few of each, what was sent, the verdict."""
    if differences.kinds:
        yield from _table(differences)
    for entity_type, kind in _in_order(differences):
        yield from _kind(_NAMES.get(entity_type, entity_type), kind)
    for title, found in (("warning", report.warnings), ("wrong", report.failures)):
        yield from (f"{title}: {each.message}{_samples(each)}" for each in found)
    yield _verdict(differences, report)
    if fix:
        yield from _sent_lines(report)


def _status(differences: Differences, report: Report) -> str:
    """Return "equal" or "different", of what there was before anything was sent; else that not all was compared."""
    if report.status in {"failed", "interrupted"}:
        return report.status
    if differences.are_any:
        return "different"
    return "equal" if differences.complete and not report.failures else "incomplete"


def _sent(report: dict[str, object]) -> dict[str, object]:
    return {name: report[name] for name in ("written", "confirmed", "rejected", "unconfirmed", "dead_letters")}


def _in_order(differences: Differences) -> Iterator[tuple[str, KindDifferences]]:
    kinds = differences.kinds
    known = [each for each in _NAMES if each in kinds]
    yield from ((each, kinds[each]) for each in [*known, *(each for each in kinds if each not in _NAMES)])


def _table(differences: Differences) -> Iterator[str]:
    yield f"{'':20}" + "".join(f"{column:>12}" for column in _COLUMNS)
    for entity_type, kind in _in_order(differences):
        name = _NAMES.get(entity_type, entity_type)
        yield f"{name:20}" + "".join(f"{getattr(kind, column):>12,}" for column in _COLUMNS)


def _kind(name: str, kind: KindDifferences) -> Iterator[str]:
    yield from _first(f"{name}, missing in DataHub", kind.first_missing, kind.missing)
    different = [f"{each.urn}: {', '.join(map(_aspect, each.aspects))}" for each in kind.first_different]
    yield from _first(f"{name}, different in DataHub", different, kind.different)
    for field, count in kind.aspects.most_common():
        yield f"  {count:,} × {field}"
    yield from _first(f"{name}, in DataHub only", kind.first_orphaned, kind.orphaned)


def _first(title: str, shown: Sequence[str], count: int) -> Iterator[str]:
    if not count:
        return
    yield f"{title}:"
    yield from (f"  {each}" for each in shown)
    if count > len(shown):
        yield f"  … and {count - len(shown):,} more"


def _aspect(difference: AspectDifference) -> str:
    return f"{difference.aspect} ({', '.join(difference.fields) or 'not there'})"


def _samples(finding: FindingSummary) -> str:
    return f" ({finding.count:,}: {', '.join(finding.samples)})" if finding.samples else ""


def _sent_lines(report: Report) -> Iterator[str]:
    yield (
        f"Sent: {sum(report.delivered.values()):,} entities in {report.proposals:,} proposals; "
        f"{report.rejected:,} proposals were rejected, {report.unconfirmed:,} entities are not confirmed."
    )
    if report.dead_letters:
        yield f"Dead letters: {report.dead_letters:,} proposals in {encodable(str(report.dead_letters_path))}"
    if report.unconfirmed:
        yield f"Not confirmed: {report.unconfirmed:,} entities in {encodable(str(report.unconfirmed_path))}"


def _verdict(differences: Differences, report: Report) -> str:
    compared = sum(kind.compared for kind in differences.kinds.values())
    counts = (
        f"{differences.missing:,} missing, {differences.different:,} different, {differences.orphaned:,} in DataHub "
        f"only; {compared:,} entities compared in {human_seconds(report.duration)}"
    )
    return {
        "equal": f"Equal: {counts}.",
        "different": f"Different: {counts}.",
        "incomplete": f"Not all could be compared, see above: {counts}.",
        "interrupted": f"Stopped before the end: {counts}.",
    }.get(_status(differences, report), f"Failed, see above: {counts}.")
