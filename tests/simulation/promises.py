"""What a crawl promises, held against what the servers saw."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import msgspec

from crawler.datahub.proposals import Entity
from crawler.datahub.readback import TIMESERIES
from crawler.mapping.runs import run_urn
from crawler.telemetry.findings.delivery import UNCONFIRMED
from crawler.telemetry.report import Report
from tests.simulation.mapped import OUTPUT, Expected, Key, Mapped, Place
from tests.simulation.metadata_server import MetadataServer
from tests.simulation.tracking_server import TrackingServer

_FIRST, _LAST = (float("-inf"), ""), (float("inf"), "")
_GAP = re.compile(r"a logged model (behind (?P<after>m-\w+))?.*?(before (?P<before>m-\w+)|:)")
_GAP_OF_MODELS = re.compile(r"one between (?P<after>.+) and (?P<before>.+): MLflow ")
_NOT_ASKED_FOR = re.compile(r"experiment \S+ and \d+ others: ")
RUN = "dataProcessInstanceProperties"
MODEL_VERSION = "versionProperties"


class Told(msgspec.Struct, frozen=True):
    """What the crawl said it could not do: samples of the report's failures and of what it could not confirm, and the
    proposals that it kept as the one or the other. `gaps` are places between which a logged model was left out.
    `unread` are entity types whose listing was given up, where all attempts for a page met a fault.
    """

    failures: list[str]
    letters: set[Key]
    gaps: list[tuple[Place, Place]] = []
    unread: tuple[str, ...] = ()

    def names(self, expected: Expected) -> bool:
        """Whether the row that the entity is made of was named as unreadable."""
        if expected.place is not None and any(first < expected.place < last for first, last in self.gaps):
            return True
        if expected.alternatives[0][0].startswith(tuple(f"urn:li:{each}:" for each in self.unread)):
            return True
        begins = tuple(f"{name}{end}" for name in expected.names for end in (":", " "))
        return any(failure.startswith(begins) for failure in self.failures) or self._is_in_gap(expected)

    def _is_in_gap(self, expected: Expected) -> bool:
        """Whether a row that could not be read, between two registered models, may be this one."""
        gaps = [*filter(None, map(_GAP_OF_MODELS.match, self.failures))]
        is_model = bool(gaps) and expected.alternatives[0][0].startswith("urn:li:mlModelGroup:")
        return is_model and any(gap["after"] < name < gap["before"] for gap in gaps for name in expected.names)

    def keeps(self, urn: str, aspects: Iterable[str]) -> bool:
        """Whether the report names the entity and the files hold these of its aspects."""
        named = any(failure == urn or failure.startswith(f"{urn}: ") for failure in self.failures)
        return named and all((urn, aspect) in self.letters for aspect in aspects if aspect not in TIMESERIES)


def failures_of(report: Report) -> list[str]:
    """The samples of all failures, and of what could not be confirmed."""
    unconfirmed = [warning for warning in report.warnings if warning.code == UNCONFIRMED.code]
    return [sample for finding in (*report.failures, *unconfirmed) for sample in finding.samples]


def gaps_of(failures: Iterable[str], server: TrackingServer) -> list[tuple[Place, Place]]:
    """Between which logged models others were left out. Where others failed, some experiments were not asked for."""
    found = []
    for failure in failures:
        if (gap := _GAP.match(failure)) is not None:
            found.append((_place(gap["after"], _FIRST, server), _place(gap["before"], _LAST, server)))
        elif _NOT_ASKED_FOR.match(failure):
            found.append((_FIRST, _LAST))
    return found


def _place(model_id: str | None, otherwise: Place, server: TrackingServer) -> Place:
    if model_id is None:
        return otherwise
    row = server.logged_models[model_id].within(*map(float, ("-inf", "inf")))[0]
    return row.fields["info"]["creation_timestamp_ms"], model_id


def missing(mapped: Mapped, gms: MetadataServer, told: Told) -> Iterator[str]:
    """What was in MLflow throughout, and neither is in DataHub nor named."""
    for expected in mapped.must:
        lacking = [_lacking(gms, urn, aspects) for urn, aspects in expected.alternatives]
        if all(lack is None or lack for lack in lacking) and not told.names(expected):
            for (urn, aspects), lack in zip(expected.alternatives, lacking, strict=True):
                if told.keeps(urn, aspects if lack is None else lack):
                    break
            else:
                urn, aspects = expected.alternatives[0]
                what = "all" if lacking[0] is None else ", ".join(sorted(lacking[0]))
                yield f"missing and not named: {what} of {urn} ({' '.join(expected.names)})"


def _lacking(gms: MetadataServer, urn: str, aspects: frozenset[str]) -> set[str] | None:
    """Which aspects are not stored, but for those whose loss cannot be seen; None for an entity that has none."""
    found = {aspect for aspect in aspects if (urn, aspect) in gms.aspects}
    return (
        None if not found else set(aspects) - found - {aspect for lost, aspect in gms.lost if lost == urn} & TIMESERIES
    )


def wrong(mapped: Mapped, gms: MetadataServer) -> Iterator[str]:
    """What DataHub holds and no state of an MLflow row comes to."""
    for (urn, aspect), value in gms.aspects.items():
        if aspect != OUTPUT and value not in mapped.values.get((urn, aspect), ()):
            yield f"wrong: {aspect} of {urn} is {value}, not one of {mapped.values.get((urn, aspect))}"


def stale(last: Mapped, gms: MetadataServer, told: Told) -> Iterator[str]:
    """What DataHub holds of a row that was there throughout the last crawl, as it was before."""
    for expected in last.must:
        for urn, aspects in expected.alternatives:
            for aspect in aspects - {OUTPUT}:
                value = gms.aspects.get((urn, aspect))
                if value is None or value in last.values[urn, aspect] or told.names(expected):
                    continue
                if not told.keeps(urn, [aspect]):
                    yield f"stale: {aspect} of {urn} is {value}, not one of {last.values[urn, aspect]}"


def wrong_outputs(
    server: TrackingServer, gms: MetadataServer, whole: Mapped, last: Mapped, told: Told
) -> Iterator[str]:
    """Runs whose edges to versions and logged models are not those that MLflow had: of the `whole` time at most, and of
    the last crawl at least.
    """
    named = {urn for each in last.must if told.names(each) for urn, _ in each.alternatives}
    for run_id in server.runs:
        urn = run_urn(run_id)
        stored = gms.aspects.get((urn, OUTPUT), {"outputEdges": []})
        edges = {edge["destinationUrn"] for edge in stored["outputEdges"]}
        if foreign := edges - whole.outputs_may(run_id):
            yield f"wrong: {urn} has outputs {foreign}"
        lost = last.outputs_must(run_id) - edges
        if lost and (urn, RUN) in gms.aspects and urn not in named and not told.keeps(urn, [OUTPUT]):
            yield f"wrong: {urn} lacks outputs {lost}"


def unaccounted(mapped: dict[str, Entity], gms: MetadataServer, told: Told) -> Iterator[str]:
    """What a crawl that ended, in whatever way, had `mapped` by URN, and what neither is in DataHub nor was kept."""
    for urn, entity in mapped.items():
        lost = {aspect.NAME for aspect in entity.aspects if not _is_there(gms, urn, aspect.NAME)}
        if lost and not told.keeps(urn, lost):
            yield f"mapped and lost: {', '.join(sorted(lost))} of {urn}"


def claimed(mapped: dict[str, Entity], gms: MetadataServer, report: Report) -> Iterator[str]:
    """Entity types of which the report counts more as delivered than DataHub has whole."""
    whole = Counter(
        entity.type
        for urn, entity in mapped.items()
        if all(_is_there(gms, urn, aspect.NAME) for aspect in entity.aspects)
    )
    for entity_type, count in report.delivered.items():
        if count > whole[entity_type]:
            yield f"claimed: {count} {entity_type} are delivered, DataHub has {whole[entity_type]}"


def counted_twice(entities: dict[str, str], report: Report) -> Iterator[str]:
    """Entity types of which the report counts more than a crawl has handed on: the types of these by URN."""
    there = Counter(entities.values())
    for entity_type, count in (report.delivered + report.unchanged).items():
        if count > there[entity_type]:
            yield f"counted twice: {count} {entity_type}, there are {there[entity_type]}"


def unseen(mapped: dict[str, Entity], gms: MetadataServer, report: Report) -> Iterator[str]:
    """Entity types of which more is said to have been read back than can be read."""
    shown = Counter(
        entity.type for urn, entity in mapped.items() if any(gms.shelf.get((urn, each.NAME)) for each in entity.aspects)
    )
    for entity_type, ways in report.confirmed.items():
        count = sum(ways[way] for way in ("read back", "stored", "present"))
        if count > shown[entity_type]:
            yield f"claimed: {count} {entity_type} were read back, DataHub shows {shown[entity_type]}"


def never_taken(unconfirmed: Collection[Key], gms: MetadataServer) -> Iterator[str]:
    """What is said to have been taken, and never was."""
    for urn, aspect in unconfirmed:
        if (urn, aspect) not in gms.aspects and (urn, aspect) not in gms.lost:
            yield f"unconfirmed and never taken: {aspect} of {urn}"


def not_waited_for(unconfirmed: Collection[Key], gms: MetadataServer) -> Iterator[str]:
    """What is said to be unconfirmed of a queue that moves, and is not lost."""
    lost = {urn for urn, _ in gms.lost}
    for urn in {urn for urn, _ in unconfirmed} - lost:
        yield f"unconfirmed and there: {urn}"


def _is_there(gms: MetadataServer, urn: str, aspect: str) -> bool:
    """Whether it is stored, or was lost where nobody can see it."""
    return (urn, aspect) in gms.aspects or (aspect in TIMESERIES and (urn, aspect) in gms.lost)


def two_values(history: list[tuple[str, str, Any]]) -> Iterator[str]:
    """Aspects that one crawl wrote with two values."""
    first: dict[Key, Any] = {}
    for urn, aspect, value in history:
        if first.setdefault((urn, aspect), value) != value:
            yield f"two values in one crawl: {aspect} of {urn}: {first[urn, aspect]} and {value}"


def out_of_order(history: list[tuple[str, str, Any]], lost: Collection[Key]) -> Iterator[str]:
    """Version sets that one crawl did not write in ascending order: each version counts where it came first, but for
    those that DataHub `lost` then.
    """
    seen: set[str] = set()
    highest: dict[str, str] = defaultdict(str)
    for urn, aspect, value in history:
        if aspect == MODEL_VERSION and urn not in seen and (urn, aspect) not in lost:
            seen.add(urn)
            if value["sortId"] < highest[value["versionSet"]]:
                yield f"out of order: {urn} came after version {highest[value['versionSet']]}"
            highest[value["versionSet"]] = max(highest[value["versionSet"]], value["sortId"])
