"""What two crawls of one server delivered, by kind and aspect: pure."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from scripts.comparison.field_differences import Difference, differences

Proposals = Sequence[Mapping[str, Any]]
"""Proposals as DataHub's file sink writes them."""
Values = dict[tuple[str, str], list[Any]]
"""The values that were written, without repetitions, by URN and aspect."""


class AspectRow(NamedTuple):
    """One aspect of one kind of entity.

    Attributes:
        kind: the entity type, with the subtype if it has one.
        official: how many entities have the aspect from the official connector.
        ours: how many have it from this crawler.
        both: how many have it from both.
        equal: how many have the same value from both.
        differences: where values differ, with the number of entities.
    """

    kind: str
    aspect: str
    official: int
    ours: int
    both: int
    equal: int
    differences: Mapping[Difference, int]


class Mark(NamedTuple):
    """How many of the things of one kind, of which a text is known, are in what a crawl delivered."""

    kind: str
    there: int
    official: int
    ours: int


def values(proposals: Proposals, mlflow_url: str) -> Values:
    """Return the values by URN and aspect, with a placeholder for the server's URL."""
    found: Values = defaultdict(list)
    for proposal in proposals:
        text = json.dumps(proposal["aspect"]["json"]).replace(mlflow_url, "{tracking_uri}")
        written = found[proposal["entityUrn"], proposal["aspectName"]]
        value = json.loads(text)
        if not any(_nearest([each], value) == [] for each in written):
            written.append(value)
    return dict(found)


def changing(written: Values) -> int:
    """Return how many aspects were written with several values, of which DataHub keeps the last."""
    return sum(len(each) > 1 for each in written.values())


def aspect_rows(official: Values, ours: Values) -> list[AspectRow]:
    """Return a row for each kind and aspect that either delivers, sorted."""
    kinds = _kinds(official) | _kinds(ours)
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    for urn, aspect in official.keys() | ours.keys():
        keys[kinds[urn], aspect].add(urn)
    return [_row(kind, aspect, sorted(keys[kind, aspect]), official, ours) for kind, aspect in sorted(keys)]


def marks(texts: Mapping[str, Iterable[str]], official: Proposals, ours: Proposals) -> list[Mark]:
    """Return how many texts of each kind are in what was delivered, in URNs or values."""
    found = []
    delivered = [_text(official), _text(ours)]
    for kind, each in texts.items():
        wanted = set(each)
        theirs, own = (sum(text in whole for text in wanted) for whole in delivered)
        found.append(Mark(kind, len(wanted), theirs, own))
    return found


def _row(kind: str, aspect: str, urns: list[str], official: Values, ours: Values) -> AspectRow:
    counts: dict[Difference, int] = defaultdict(int)
    equal = 0
    both = [(urn, aspect) for urn in urns if (urn, aspect) in official and (urn, aspect) in ours]
    for key in both:
        nearest = _nearest(official[key], ours[key][-1])
        equal += not nearest
        for difference in set(nearest):
            counts[difference] += 1
    theirs, own = (sum((urn, aspect) in side for urn in urns) for side in (official, ours))
    return AspectRow(kind, aspect, theirs, own, len(both), equal, counts)


def _nearest(candidates: list[Any], value: Any) -> list[Difference]:
    return min((list(differences(each, value)) for each in candidates), key=len)


def _kinds(written: Values) -> dict[str, str]:
    """Return the kind of each entity."""
    kinds = {}
    for urn, _ in written:
        entity_type = urn.split(":")[2]
        subtypes = written.get((urn, "subTypes"), [{}])[-1].get("typeNames")
        kinds[urn] = f"{entity_type}: {subtypes[0]}" if subtypes else entity_type
    return kinds


def _text(proposals: Proposals) -> str:
    return "\n".join(
        f"{proposal['entityUrn']} {json.dumps(proposal['aspect']['json'], ensure_ascii=False)}"
        for proposal in proposals
    )
