"""Kinds of entities that the official connector does not know: they have a checkpoint of their own. Pure.

In its checkpoint they would be removed as soon as somebody switches back to it, since it lists none of them.
"""

from collections.abc import Collection, Sequence

from crawler.mapping.logged_models import is_logged_model
from crawler.removal.stale import Absent, Evidence, Verdict, Why, is_removable, percent_changed, refused, type_of
from crawler.settings.selection import Include

LOGGED_MODEL = "logged model"
_PROMPT, _PROMPT_VERSION, _EVALUATION_DATASET = "mlModelGroup", "mlModel", "dataset"
"""What else has these types in this checkpoint."""


def kind_of(urn: str) -> str:
    """Return the kind of an entity: by its type, but for logged models, which share theirs with versions."""
    return LOGGED_MODEL if is_logged_model(urn) else type_of(urn)


def kinds_left_out(include: Include) -> frozenset[str]:
    """Return the kinds that are not read by choice: of these, nothing vanishes."""
    wanted = {
        LOGGED_MODEL: include.has_logged_models,
        _PROMPT: include.prompts,
        _PROMPT_VERSION: include.prompts,
        _EVALUATION_DATASET: include.evaluation_datasets,
    }
    return frozenset(kind for kind, is_wanted in wanted.items() if not is_wanted)


def compare_own(
    old: Sequence[str], listed: Collection[str], left_out: Collection[str], *, is_partial: bool = False
) -> Absent:
    """Compare the last checkpoint of these kinds with what was listed, but for kinds that are `left_out`.

    Where the crawl `is_partial`, the percentage is that of what it listed whole: not the logged models.
    """
    wanted = [urn for urn in old if kind_of(urn) not in left_out and is_removable(urn)]
    counted = [urn for urn in wanted if not (is_partial and kind_of(urn) == LOGGED_MODEL)]
    absent = [urn for urn in wanted if urn not in listed]
    return Absent(absent, percent_changed(counted, listed), groups={}, unlisted_groups=frozenset())


def decide_own(
    absent: Absent, listed: Collection[str], threshold: float, evidence: Evidence, *, hides_experiments: bool
) -> list[Verdict]:
    """Decide on each entity of these kinds that is absent.

    `hides_experiments` is True if an experiment may be hidden from the account; its logged models are then, too.
    """
    if (why := refused(absent.percent, threshold, evidence)) is not None:
        return [Verdict(urn, is_removed=False, why=why) for urn in absent.urns]
    kinds_listed = {kind_of(urn) for urn in listed}
    verdicts: list[Verdict] = []
    for urn in absent.urns:
        kind, why = kind_of(urn), Why.ABSENT
        is_proven = kind == LOGGED_MODEL and not hides_experiments
        if kind == LOGGED_MODEL and evidence.is_partial:
            why = Why.PARTIAL
        elif not evidence.is_confirmed and kind not in kinds_listed:
            why = Why.EMPTY_LISTING
        elif not evidence.is_confirmed and evidence.may_hide and not is_proven:
            why = Why.RIGHTS
        verdicts.append(Verdict(urn, is_removed=why is Why.ABSENT, why=why))
    return verdicts
