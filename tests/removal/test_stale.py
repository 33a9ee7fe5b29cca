"""What is removed, and every case in which it is not: pure."""

from typing import Any

import pytest
from datahub.ingestion.source.state.entity_removal_state import GenericCheckpointState
from hypothesis import given
from hypothesis import strategies as st

from crawler.removal.stale import Evidence, Why, compare, decide, is_in_checkpoint, is_removable, type_of
from crawler.removal.stale_removal import StaleRemoval

ENV = "PROD"
TAG = "urn:li:tag:mlflow_production"
USER = "urn:li:platformResource:11112222333344445555666677778888"
EXPERIMENT = "urn:li:container:0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
HOSTED = f"urn:li:dataset:(urn:li:dataPlatform:s3,bucket/table,{ENV})"
RUN = "urn:li:dataProcessInstance:1234"


def group(name: str) -> str:
    return f"urn:li:mlModelGroup:(urn:li:dataPlatform:mlflow,{name},{ENV})"


def version(name: str, number: object, separator: str = "_") -> str:
    return f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,{name}{separator}{number},{ENV})"


def dataset(name: str) -> str:
    return f"urn:li:dataset:(urn:li:dataPlatform:mlflow,{name},{ENV})"


def verdicts(
    old: list[str], listed: list[str], *, threshold: float = 100.0, separator: str = "_", **evidence: Any
) -> dict[str, Why]:
    """By URN; those that are kept have a dash in front."""
    found = decide(compare(old, dict.fromkeys(listed), separator), threshold, Evidence(**evidence))
    return {("" if each.is_removed else "-") + each.urn: each.why for each in found}


def test_what_is_not_listed_any_more_is_removed() -> None:
    old = [group("a"), version("a", 1), version("a", 2), EXPERIMENT, dataset("d")]
    assert verdicts(old, [group("a"), version("a", 1)]) == {
        version("a", 2): Why.ABSENT,
        EXPERIMENT: Why.ABSENT,
        dataset("d"): Why.ABSENT,
    }


def test_nothing_is_removed_where_there_was_no_checkpoint() -> None:
    assert verdicts([], [group("a")]) == {}


@pytest.mark.parametrize(
    "urn",
    [
        TAG,
        USER,
        HOSTED,
        RUN,
        "urn:li:mlModel:(urn:li:dataPlatform:sagemaker,a_1,PROD)",
        "urn:li:mlModelGroup:(urn:li:dataPlatform:mlflowish,a,PROD)",
        "urn:li:corpuser:ann",
        "urn:li:document:prompt",
        "no urn",
        group("x" * 600),
    ],
)
def test_what_is_not_mlflows_own_is_never_removed(urn: str) -> None:
    assert verdicts([urn], []) == {}
    assert verdicts([urn], [], is_confirmed=True, deleted={urn}) == {}


OLD = [TAG, group("a"), group("b"), version("a", 1), version("b", 1), EXPERIMENT, dataset("d")]
LEFT = [TAG, group("a"), version("a", 1)]
GONE = [urn for urn in OLD if urn not in LEFT]


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        ({"failures": 1}, Why.FAILURE),
        ({"threshold": 50.0}, Why.THRESHOLD),
    ],
)
@pytest.mark.parametrize("more", [{}, {"is_confirmed": True, "deleted": {EXPERIMENT}}])
def test_nothing_is_removed_after(evidence: dict[str, Any], why: Why, more: dict[str, Any]) -> None:
    assert verdicts(OLD, LEFT, **evidence, **more) == {f"-{urn}": why for urn in GONE}


def test_the_threshold_itself_is_not_past_it() -> None:
    assert verdicts(["urn:li:container:1", "urn:li:container:2"], ["urn:li:container:1"], threshold=50.0)


def test_a_threshold_of_100_is_none() -> None:
    assert verdicts([EXPERIMENT], [], threshold=100.0) == {EXPERIMENT: Why.ABSENT}


def test_a_kind_whose_listing_came_back_empty_is_kept() -> None:
    found = verdicts(OLD, LEFT, empty={"mlModelGroup", "dataset"})
    assert found[f"-{group('b')}"] is found[f"-{dataset('d')}"] is Why.EMPTY_LISTING
    assert found[version("b", 1)] is found[EXPERIMENT] is Why.ABSENT


def test_an_empty_listing_can_be_confirmed() -> None:
    assert verdicts([EXPERIMENT], [], empty={"container"}, is_confirmed=True) == {EXPERIMENT: Why.ABSENT}


def test_an_experiment_that_is_listed_as_deleted_is_no_guess() -> None:
    found = verdicts([EXPERIMENT], [], deleted={EXPERIMENT}, may_hide=True, empty={"container"})
    assert found == {EXPERIMENT: Why.DELETED}


def test_datasets_are_kept_where_a_part_of_the_runs_was_read_before() -> None:
    assert verdicts([dataset("d"), group("b")], [], is_partial=True, is_confirmed=True) == {
        f"-{dataset('d')}": Why.PARTIAL,
        group("b"): Why.ABSENT,
    }


def test_what_is_known_from_runs_does_not_count_where_a_part_of_them_was_read() -> None:
    old = [group("a"), group("b"), *(dataset(name) for name in "abcdef"), USER]
    stale = StaleRemoval(75.0, "_")
    stale.old = old
    stale.record.see(group("a"))
    assert stale.absent().percent > 75.0
    stale.record.is_partial = True
    assert (stale.absent().percent, len(stale.absent().urns)) == (50.0, 7)


def test_where_rights_may_be_lost_only_what_is_proven_is_removed() -> None:
    old = [group("a"), version("a", 1), version("a", 2), group("b"), version("b", 1), group("c"), version("c", 1)]
    found = verdicts(old, [group("a"), version("a", 1)], may_hide=True, missing_models={group("b")})
    assert found == {
        version("a", 2): Why.ABSENT,
        group("b"): Why.ABSENT,
        version("b", 1): Why.ABSENT,
        f"-{group('c')}": Why.RIGHTS,
        f"-{version('c', 1)}": Why.RIGHTS,
    }


def test_rights_can_be_confirmed() -> None:
    assert verdicts([group("c")], [], may_hide=True, is_confirmed=True) == {group("c"): Why.ABSENT}


def test_a_dataset_is_kept_where_an_experiment_may_be_hidden() -> None:
    other = "urn:li:container:1"
    hidden = verdicts([EXPERIMENT, dataset("d")], [other], may_hide=True)
    assert hidden == {f"-{EXPERIMENT}": Why.RIGHTS, f"-{dataset('d')}": Why.RIGHTS}
    deleted = verdicts([EXPERIMENT, dataset("d")], [other], may_hide=True, deleted={EXPERIMENT})
    assert deleted == {EXPERIMENT: Why.DELETED, dataset("d"): Why.ABSENT}


def test_a_model_that_mlflow_has_but_does_not_list_is_kept() -> None:
    found = verdicts([group("a"), version("a", 1)], [], existing_models={group("a")}, is_confirmed=True)
    assert found == {f"-{group('a')}": Why.STILL_THERE, f"-{version('a', 1)}": Why.STILL_THERE}


@pytest.mark.parametrize("separator", ["_", "-v", ",", "("])
def test_a_version_belongs_to_its_model_whatever_stands_between(separator: str) -> None:
    escaped = {",": "%2C", "(": "%28"}.get(separator, separator)
    name = f"a{escaped}b"
    absent = compare([version(name, 3, escaped)], {group(name): None}, separator)
    assert absent.groups == {version(name, 3, escaped): group(name)}
    assert absent.unlisted_groups == frozenset()


def test_without_a_separator_no_version_is_proven() -> None:
    assert verdicts([version("a", 1, "")], [group("a")], separator="", may_hide=True) == {
        f"-{version('a', 1, '')}": Why.RIGHTS
    }


URNS = st.lists(
    st.one_of(
        st.sampled_from([TAG, USER, HOSTED, RUN, EXPERIMENT]),
        st.builds(group, st.sampled_from("abc")),
        st.builds(version, st.sampled_from("abc"), st.integers(1, 3)),
        st.builds(dataset, st.sampled_from("xy")),
        st.builds("urn:li:container:{}".format, st.integers(0, 9)),
    ),
    unique=True,
)
EVIDENCE = st.builds(
    Evidence,
    failures=st.integers(0, 1),
    is_partial=st.booleans(),
    empty=st.sets(st.sampled_from(["mlModel", "mlModelGroup", "container", "dataset"])),
    deleted=st.sets(st.just(EXPERIMENT)),
    may_hide=st.booleans(),
    missing_models=st.sets(st.builds(group, st.sampled_from("ab"))),
    existing_models=st.sets(st.builds(group, st.sampled_from("bc"))),
    is_confirmed=st.booleans(),
)


@given(URNS, URNS, st.floats(0, 100), EVIDENCE)
def test_only_what_is_absent_and_mlflows_own_is_ever_removed(
    old: list[str], listed: list[str], threshold: float, evidence: Evidence
) -> None:
    found = decide(compare(old, dict.fromkeys(listed), "_"), threshold, evidence)
    assert [each.urn for each in found] == [urn for urn in old if urn not in listed and is_removable(urn)]
    removed = [each for each in found if each.is_removed]
    assert not removed or not evidence.failures
    assert {each.why for each in removed} <= {Why.DELETED, Why.ABSENT}
    assert not {each.why for each in found if not each.is_removed} & {Why.DELETED, Why.ABSENT}


@given(URNS, URNS, st.floats(0, 100), EVIDENCE)
def test_less_certainty_removes_no_more(
    old: list[str], listed: list[str], threshold: float, evidence: Evidence
) -> None:
    def removed(of: Evidence, limit: float) -> set[str]:
        return {each.urn for each in decide(compare(old, dict.fromkeys(listed), "_"), limit, of) if each.is_removed}

    sure = Evidence(deleted=evidence.deleted, existing_models=evidence.existing_models)
    assert removed(evidence, threshold) <= removed(sure, 100.0)


@given(URNS, URNS)
def test_the_percentage_is_the_official_one(old: list[str], listed: list[str]) -> None:
    """Without the datasets of other platforms, which our checkpoints leave out."""
    then, now = ([urn for urn in urns if is_in_checkpoint(urn)] for urns in (old, listed))
    official = GenericCheckpointState(urns=now).get_percent_entities_changed(GenericCheckpointState(urns=then))
    assert compare(old, dict.fromkeys(listed), "_").percent == pytest.approx(official)


def test_the_type_is_read_off_a_urn() -> None:
    assert [type_of(urn) for urn in (TAG, HOSTED, "no urn", "a:b:c")] == ["tag", "dataset", "", ""]
