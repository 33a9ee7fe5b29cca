"""Which entities of the last checkpoint are to be marked as removed, and which are not, and why: pure.

Absence is a guess. It counts after a crawl that read everything, within the threshold of the recipe, where the listing
is not empty, and where the account cannot have lost the right to see what is missing.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum

import msgspec

from crawler.datahub import urns
from crawler.mapping.platform import PLATFORM_URN

RUN = "dataProcessInstance"
_BY_PLATFORM = frozenset({"mlModelGroup", "mlModel", "dataset"})
_NOT_COUNTED = frozenset({RUN, "query"})
"""Entity types that acryl-datahub leaves out of checkpoints and percentages."""
_LISTED_WHOLE = frozenset({"tag", "mlModelGroup", "mlModel", "container"})
"""By any crawl. What else a checkpoint has is known from runs, of which one may read only a part."""
_MODEL = re.compile(rf"urn:li:(?:mlModelGroup|mlModel):\({PLATFORM_URN},(.*),([^,]*)\)", re.DOTALL)


class Why(StrEnum):
    """Why an entity is removed, or kept although MLflow does not list it."""

    DELETED = "deleted"
    """MLflow lists it as deleted."""
    ABSENT = "absent"
    """MLflow does not list it any more."""
    FAILURE = "failure"
    THRESHOLD = "threshold"
    EMPTY_LISTING = "empty_listing"
    PARTIAL = "partial"
    """Only a part of the runs, which name it, was read by this crawl: it is resumed, or not all are chosen."""
    RIGHTS = "rights"
    """The account may have lost the right to see it."""
    STILL_THERE = "still_there"
    """MLflow does not list it, but has it where it is asked for it."""
    RUNS_UNREAD = "runs_unread"
    """Not all runs of a deleted experiment could be read."""
    LEFT_OUT = "left_out"
    """The recipe does not choose it, so whether MLflow has it counts for nothing."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a crawl that came to its end, and decides whether absence means anything.

    Attributes:
        failures: how many failures there were.
        is_partial: True if this crawl read only a part of the runs, as one that is resumed.
        leaves_out: True if there are runs that are not chosen, which may name the datasets that others do not.
        empty: entity types whose listing came back empty.
        deleted: URNs that MLflow lists as deleted.
        may_hide: True if the account may have lost rights.
        missing_models: URNs of model groups that MLflow says it does not have.
        existing_models: URNs of model groups that MLflow has, but does not list.
        is_confirmed: True if the user says that what is missing was deleted.
    """

    failures: int = 0
    is_partial: bool = False
    leaves_out: bool = False
    empty: Collection[str] = frozenset()
    deleted: Collection[str] = frozenset()
    may_hide: bool = False
    missing_models: Collection[str] = frozenset()
    existing_models: Collection[str] = frozenset()
    is_confirmed: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one entity that was listed before and is not any more."""

    urn: str
    is_removed: bool
    why: Why

    def kept_for(self, why: Why) -> "Verdict":
        """Return the verdict that it is kept."""
        return Verdict(self.urn, is_removed=False, why=why)


class Absent(msgspec.Struct, frozen=True):
    """What of the last checkpoint this crawl did not list.

    Attributes:
        urns: those that may be removed at all, in the order of the checkpoint.
        percent: how much of the checkpoint is not listed, as acryl-datahub counts it.
        groups: the model group of each of them that is a group or a version, whether it is listed or not.
        unlisted_groups: those of these groups that are not listed.
        left_out: those that the recipe does not choose, and that stay.
    """

    urns: list[str]
    percent: float
    groups: dict[str, str]
    unlisted_groups: frozenset[str]
    left_out: Sequence[str] = ()


def compare(
    old: Sequence[str],
    listed: Collection[str],
    separator: str,
    *,
    is_partial: bool = False,
    left_out: Collection[str] = frozenset(),
    unread: Collection[str] = frozenset(),
) -> Absent:
    """Compare the last checkpoint with what was listed; `separator` stands between name and version in URNs.

    Where the crawl `is_partial`, the percentage is that of what it listed whole. Entities that were `left_out`,
    versions of models that were, and those of `unread` entity types are not compared.
    """

    def is_left_out(urn: str) -> bool:
        return urn in left_out or type_of(urn) in unread or group_of(urn, separator) in left_out

    missing = [urn for urn in old if urn not in listed and is_removable(urn)]
    kept = {urn: None for urn in missing if is_left_out(urn)}
    absent = [urn for urn in missing if urn not in kept]
    groups = {urn: group for urn in absent if (group := group_of(urn, separator)) is not None}
    unlisted = frozenset(group for group in groups.values() if group not in listed)
    counted = [urn for urn in old if (not is_partial or type_of(urn) in _LISTED_WHOLE) and urn not in kept]
    return Absent(absent, percent_changed(counted, listed), groups, unlisted, [*kept])


def decide(absent: Absent, threshold: float, evidence: Evidence) -> list[Verdict]:
    """Decide on each entity that is absent, or left out.

    `threshold` is the percentage of the checkpoint that may vanish at once; 100 means no limit.
    """
    left_out = [Verdict(urn, is_removed=False, why=Why.LEFT_OUT) for urn in absent.left_out]
    if (why := refused(absent.percent, threshold, evidence)) is not None:
        return [*(Verdict(urn, is_removed=False, why=why) for urn in absent.urns), *left_out]
    hides = hides_experiments(absent, evidence)
    return [*(_verdict(urn, absent, evidence, hides_experiments=hides) for urn in absent.urns), *left_out]


def decide_on_runs(unseen: int, known: int, absent: Absent, threshold: float, evidence: Evidence) -> Why:
    """Decide on `unseen` runs of `known` ones that MLflow lists neither as active nor as deleted.

    Returns why they are removed, which is ABSENT, or why they are kept.
    """
    if evidence.is_partial and not evidence.failures:
        return Why.PARTIAL
    percent = 100.0 * unseen / known if known else 0.0
    if (why := refused(percent, threshold, evidence)) is not None:
        return why
    if not evidence.is_confirmed:
        if "dataset" in evidence.empty:
            return Why.EMPTY_LISTING
        if evidence.may_hide and hides_experiments(absent, evidence):
            return Why.RIGHTS
    return Why.ABSENT


def is_removable(urn: str) -> bool:
    """Return whether the entity is MLflow's own.

    Users and stages are not: others may use them. Nor are datasets of other platforms: others write them.
    """
    entity_type = type_of(urn)
    own = _is_on_mlflow(urn) if entity_type in _BY_PLATFORM else entity_type == "container"
    return own and not urns.problem(urn)


def is_in_checkpoint(urn: str) -> bool:
    """Return whether a checkpoint of ours may have such an entity: no run, and no dataset of another platform."""
    entity_type = type_of(urn)
    return _is_on_mlflow(urn) if entity_type == "dataset" else entity_type not in _NOT_COUNTED


def type_of(urn: str) -> str:
    """Return the entity type of a URN; empty where it is none."""
    parts = urn.split(":", 3)
    return parts[2] if len(parts) > 3 else ""


def possible_names(group: str) -> list[str]:
    """Return the names that the model of a group may have: URNs encode brackets and commas, names may look encoded."""
    match = _MODEL.fullmatch(group)
    return [] if match is None else list(dict.fromkeys((match[1], urns.decoded(match[1]))))


def _is_on_mlflow(urn: str) -> bool:
    return urn.startswith(f"urn:li:{type_of(urn)}:({PLATFORM_URN},")


def percent_changed(old: Iterable[str], listed: Collection[str]) -> float:
    """Return how much of a checkpoint is not listed, as acryl-datahub counts it."""
    # Datasets of other platforms are in checkpoints of the official connector only.
    counted = {urn for urn in old if is_in_checkpoint(urn)}
    present = sum(urn in listed for urn in counted)
    return (1 - present / len(counted)) * 100.0 if counted else 0.0


def group_of(urn: str, separator: str) -> str | None:
    """Return the model group of a version, or of itself; None for another entity."""
    match = _MODEL.fullmatch(urn)
    if match is None:
        return None
    if type_of(urn) == "mlModelGroup":
        return urn
    # Without a separator nobody can tell where the name ends.
    name, _, version = match[1].rpartition(urns.encoded(separator)) if separator else ("", "", "")
    return f"urn:li:mlModelGroup:({PLATFORM_URN},{name},{match[2]})" if name and version else None


def refused(percent: float, threshold: float, evidence: Evidence) -> Why | None:
    """Return why nothing may be removed at all, if so."""
    if evidence.failures:
        return Why.FAILURE
    return Why.THRESHOLD if percent > threshold and threshold < 100.0 else None


def hides_experiments(absent: Absent, evidence: Evidence) -> bool:
    """Return whether an experiment is missing, and not because it was deleted as far as MLflow tells."""
    return any(type_of(urn) == "container" and urn not in evidence.deleted for urn in absent.urns)


def _verdict(urn: str, absent: Absent, evidence: Evidence, *, hides_experiments: bool) -> Verdict:
    entity_type = type_of(urn)
    if urn in evidence.deleted:
        return Verdict(urn, is_removed=True, why=Why.DELETED)
    if entity_type == "dataset" and (evidence.is_partial or evidence.leaves_out):
        return Verdict(urn, is_removed=False, why=Why.PARTIAL)
    if absent.groups.get(urn) in evidence.existing_models:
        return Verdict(urn, is_removed=False, why=Why.STILL_THERE)
    if not evidence.is_confirmed:
        if entity_type in evidence.empty:
            return Verdict(urn, is_removed=False, why=Why.EMPTY_LISTING)
        if evidence.may_hide and not _is_proven(urn, absent, evidence, hides_experiments=hides_experiments):
            return Verdict(urn, is_removed=False, why=Why.RIGHTS)
    return Verdict(urn, is_removed=True, why=Why.ABSENT)


def _is_proven(urn: str, absent: Absent, evidence: Evidence, *, hides_experiments: bool) -> bool:
    """Return whether it is missing for another reason than rights that the account has lost.

    A version whose model is listed, a model that MLflow says it does not have, a dataset where no experiment is hidden.
    """
    group = absent.groups.get(urn)
    if group is not None:
        return group not in absent.unlisted_groups or group in evidence.missing_models
    return type_of(urn) == "dataset" and not hides_experiments
