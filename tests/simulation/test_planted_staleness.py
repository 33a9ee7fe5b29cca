"""The weeks of edits themselves: with a bug planted in what keeps DataHub current, one of the first seeds must fail."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any
from unittest import mock

import msgspec
import pytest

from crawler.checkpoint import scope
from crawler.checkpoint.acks import WindowAck
from crawler.checkpoint.known_experiments import KnownExperiments
from crawler.checkpoint.memory import Memory
from crawler.checkpoint.sent_entities import SentEntities
from crawler.delivery.delivery import Delivery
from crawler.mapping.reducers.versions import VersionIndex
from crawler.mlflow.entities import Experiment, ModelVersion
from crawler.mlflow.paging.by_creation import LoggedModelCursor
from crawler.mlflow.paging.keyset import DELETED
from crawler.pipeline import reader
from crawler.pipeline.changed_runs import NOT_ENDED, changed_runs
from crawler.pipeline.logged_model_stage import LoggedModelStage
from crawler.pipeline.plan import Stretch
from crawler.removal.crawl_record import CrawlRecord
from crawler.removal.own_kinds import LOGGED_MODEL, decide_own
from crawler.removal.stale import Absent, Evidence
from crawler.telemetry import counting
from crawler.telemetry.tally import Tally
from tests.simulation.freshness import run_seed

pytestmark = pytest.mark.slow

FIRST_SEEDS = 40

Patch = Any


def never_asks_what_ended() -> Patch:
    return _asking(lambda stretch: "end_time" not in stretch.condition)


def never_asks_what_has_not_ended() -> Patch:
    return _asking(lambda stretch: stretch.condition != NOT_ENDED)


def never_asks_for_the_trash() -> Patch:
    return _asking(lambda stretch: stretch.condition != DELETED)


def _asking(wanted: Callable[[Stretch], bool]) -> Patch:
    def some(each: scope.Scope, *, deleted: bool) -> list[Stretch]:
        return [stretch for stretch in changed_runs(each, deleted=deleted) if wanted(stretch)]

    return mock.patch.object(reader, "changed_runs", some)


def begins_a_little_late() -> Patch:
    """The last crawl's end counts, or thereabouts, and not its begin."""
    return mock.patch.object(scope, "OVERLAP", -120_000)


def does_not_see_that_experiments_changed() -> Patch:
    listed = KnownExperiments.listed

    def careless(known: KnownExperiments, looks: Mapping[str, str], deleted: Iterable[str]) -> None:
        listed(known, dict.fromkeys(looks, "the same"), deleted)

    return mock.patch.object(KnownExperiments, "listed", careless)


def forgets_what_it_owes() -> Patch:
    return mock.patch.object(WindowAck, "owe")


def keeps_former_values() -> Patch:
    def careless(_sent: SentEntities, _left: Mapping[str, bytes], *, known: bool) -> None:
        assert isinstance(known, bool)

    return mock.patch.object(SentEntities, "begin", careless)


def notes_no_aliases() -> Patch:
    note = VersionIndex._note

    def blind(index: VersionIndex, packed: bytes, version: ModelVersion) -> bytes:
        with mock.patch.object(VersionIndex, "_aliases_of", return_value=[]):
            return note(index, packed, version)

    return mock.patch.object(VersionIndex, "_note", blind)


def goes_on_whatever_is_asked_for() -> Patch:
    return mock.patch("crawler.checkpoint.checkpoint.Checkpoint._is_abandoned", return_value=False)


def thinks_that_all_runs_are_old() -> Patch:
    return mock.patch.object(Memory, "read_before", return_value=[(None, None)])


def delivers_removals_without_a_state() -> Patch:
    following = Delivery.following

    def blind(delivery: Delivery) -> Delivery:
        with mock.patch.object(delivery, "_sent", None):
            return following(delivery)

    return mock.patch.object(Delivery, "following", blind)


def remembers_what_was_removed() -> Patch:
    return mock.patch.object(SentEntities, "remove")


def thinks_that_all_runs_were_read() -> Patch:
    return mock.patch.object(CrawlRecord, "is_partial", property(lambda _: False, lambda *_: None), create=True)


def asks_late_for_logged_models() -> Patch:
    """An hour after the last crawl began."""

    def late(*, changed_since: int | None) -> LoggedModelCursor:
        return LoggedModelCursor(changed_since=changed_since and changed_since + 2 * scope.OVERLAP)

    return mock.patch("crawler.pipeline.logged_model_stage.LoggedModelCursor", late)


def thinks_that_all_logged_models_are_old() -> Patch:
    """Also those of experiments that are renamed or restored."""
    add = LoggedModelStage.add

    def careless(stage: LoggedModelStage, experiments: Sequence[Experiment]) -> None:
        add(stage, experiments)
        memory = stage._context.progress.memory
        if memory is not None and not memory.scope.is_full:
            stage._known.update(stage._containers)

    return mock.patch.object(LoggedModelStage, "add", careless)


def thinks_that_all_logged_models_were_read() -> Patch:
    """Those that an incremental crawl does not read are gone."""

    def rash(absent: Absent, listed: Collection[str], threshold: float, evidence: Evidence, **more: bool) -> object:
        return decide_own(absent, listed, threshold, msgspec.structs.replace(evidence, is_partial=False), **more)

    return mock.patch("crawler.removal.stale_removal.decide_own", rash)


def removes_no_logged_models() -> Patch:
    return mock.patch("crawler.pipeline.crawl.kinds_left_out", return_value=frozenset({LOGGED_MODEL}))


def counts_a_run_again_that_it_reads_again() -> Patch:
    return mock.patch.object(counting, "_is_news", return_value=True)


def counts_runs_of_which_the_window_was_cut_off() -> Patch:
    return mock.patch.object(Tally, "count_at_most")


@pytest.mark.parametrize(
    ("plant", "seed"),
    [
        (never_asks_what_ended, 1),
        (never_asks_what_has_not_ended, 7),
        (never_asks_for_the_trash, 0),
        (begins_a_little_late, 0),
        (does_not_see_that_experiments_changed, 0),
        (forgets_what_it_owes, 8),
        (keeps_former_values, 3),
        (notes_no_aliases, 2),
        (goes_on_whatever_is_asked_for, 0),
        (thinks_that_all_runs_are_old, 0),
        (delivers_removals_without_a_state, 0),
        (remembers_what_was_removed, 0),
        (thinks_that_all_runs_were_read, 0),
        (asks_late_for_logged_models, 1),
        (thinks_that_all_logged_models_are_old, 8),
        (thinks_that_all_logged_models_were_read, 4),
        (removes_no_logged_models, 12),
        (counts_a_run_again_that_it_reads_again, 4),
        (counts_runs_of_which_the_window_was_cut_off, 3),
    ],
)
def test_a_planted_bug_is_found(plant: Callable[[], Patch], seed: int) -> None:
    """The first to try is one that found it once; a change of the simulation may leave it to another."""
    seeds = dict.fromkeys((seed, *range(FIRST_SEEDS)))
    with plant():
        assert any(run_seed(each).findings for each in seeds), f"none of {FIRST_SEEDS} seeds found it"
