"""Kinds that the official connector does not know: what of them is removed, what is not, and in which checkpoint."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.mapping.logged_models import logged_model_urn
from crawler.removal.checkpoint_state import OFFICIAL_JOB, OWN_JOB
from crawler.removal.checkpoint_store import FileCheckpoints
from crawler.removal.own_kinds import LOGGED_MODEL, compare_own, decide_own, kind_of, kinds_left_out
from crawler.removal.stale import Evidence, Why
from crawler.settings.selection import Include
from tests.removal.crawls import (
    CHECKPOINT,
    JOB,
    MAPPING,
    OWN,
    World,
    delete_experiment,
    group,
    kept_checkpoint,
    model,
    removed,
    world,
)
from tests.servers.dialect import logged_model, prompt, version


def logged(number: int) -> str:
    return logged_model_urn(f"m-{number:032x}", MAPPING)


PROMPT, PROMPT_VERSION = group("prompt"), model("prompt", 1)
EVALUATION = "urn:li:dataset:(urn:li:dataPlatform:mlflow,questions,PROD)"
OTHER_PROMPTS = [group("other"), model("other", 1)]
OLD = [logged(1), logged(2), PROMPT, PROMPT_VERSION, *OTHER_PROMPTS, EVALUATION]


def verdicts(
    old: list[str],
    listed: list[str],
    *,
    left_out: frozenset[str] = frozenset(),
    threshold: float = 100.0,
    hides_experiments: bool = False,
    **evidence: Any,
) -> dict[str, Why]:
    """By URN; those that are kept have a dash in front."""
    absent = compare_own(old, dict.fromkeys(listed), left_out, is_partial=evidence.get("is_partial", False))
    found = decide_own(absent, listed, threshold, Evidence(**evidence), hides_experiments=hides_experiments)
    return {("" if each.is_removed else "-") + each.urn: each.why for each in found}


def test_kinds_are_told_by_urn() -> None:
    assert [kind_of(each) for each in (logged(1), PROMPT, PROMPT_VERSION, EVALUATION)] == [
        *(LOGGED_MODEL, "mlModelGroup", "mlModel", "dataset")
    ]


def test_what_is_gone_is_removed_and_a_kind_that_came_back_empty_is_kept() -> None:
    assert verdicts(OLD, [logged(1), *OTHER_PROMPTS]) == {
        logged(2): Why.ABSENT,
        PROMPT: Why.ABSENT,
        PROMPT_VERSION: Why.ABSENT,
        f"-{EVALUATION}": Why.EMPTY_LISTING,
    }
    assert verdicts([logged(1)], []) == {f"-{logged(1)}": Why.EMPTY_LISTING}
    assert verdicts([logged(1)], [], is_confirmed=True) == {logged(1): Why.ABSENT}


def test_a_kind_that_is_left_out_by_choice_does_not_vanish() -> None:
    left_out = kinds_left_out(Include(logged_models=False, evaluation_datasets=False))
    assert verdicts(OLD, OTHER_PROMPTS, left_out=left_out) == {PROMPT: Why.ABSENT, PROMPT_VERSION: Why.ABSENT}
    assert compare_own([logged(1)], {}, left_out).percent == 0
    assert kinds_left_out(Include()) == frozenset()
    assert kinds_left_out(Include(experiments=False)) == {LOGGED_MODEL}
    assert kinds_left_out(Include(prompts=False)) == {"mlModelGroup", "mlModel"}


def test_logged_models_of_a_partial_crawl_are_kept_and_do_not_count() -> None:
    found = verdicts(OLD, [logged(1), *OTHER_PROMPTS, EVALUATION], is_partial=True, threshold=40.0)
    assert found == {f"-{logged(2)}": Why.PARTIAL, PROMPT: Why.ABSENT, PROMPT_VERSION: Why.ABSENT}


def test_where_rights_may_be_lost_only_logged_models_of_experiments_that_are_all_seen_are_removed() -> None:
    listed = [logged(1), *OTHER_PROMPTS, EVALUATION]
    kept = {f"-{PROMPT}": Why.RIGHTS, f"-{PROMPT_VERSION}": Why.RIGHTS}
    assert verdicts(OLD, listed, may_hide=True) == kept | {logged(2): Why.ABSENT}
    assert verdicts(OLD, listed, may_hide=True, hides_experiments=True) == kept | {f"-{logged(2)}": Why.RIGHTS}
    assert set(verdicts(OLD, listed, may_hide=True, is_confirmed=True).values()) == {Why.ABSENT}


own_urns = st.lists(st.sampled_from([*OLD, "urn:li:container:1", "no urn"]), unique=True)


@given(own_urns, own_urns, st.floats(0, 100), st.integers(0, 1), st.booleans())
def test_nothing_is_removed_that_is_listed_or_after_a_failure_or_past_the_threshold(
    old: list[str], listed: list[str], threshold: float, failures: int, may_hide: bool
) -> None:
    found = verdicts(old, listed, threshold=threshold, failures=failures, may_hide=may_hide)
    gone = {urn for urn in found if not urn.startswith("-")}
    assert gone <= set(old) - set(listed)
    assert not gone or not failures


@pytest.fixture
async def crawled(tmp_path: Path) -> AsyncIterator[World]:
    """A world of MLflow 3 with three logged models, two of them in the second experiment, that was crawled once."""
    async with world(tmp_path) as whole:
        whole.dialect.logged_models = [logged_model(1, 10), logged_model(2, 20, "2"), logged_model(3, 30, "2")]
        report = await whole.crawl()
        assert (report.status, removed(whole.gms), report.read["logged_models"]) == ("success", set(), 3)
        yield whole


def delete(whole: World, number: int) -> None:
    """As MLflow does: it is listed no more."""
    assert whole.dialect.logged_models is not None
    whole.dialect.logged_models = [
        each for each in whole.dialect.logged_models if each["info"]["model_id"] != f"m-{number:032x}"
    ]


class TestCrawls:
    async def test_the_official_checkpoint_has_none_of_them(self, crawled: World) -> None:
        assert kept_checkpoint(crawled.gms, OWN) == [logged(1), logged(2), logged(3)]
        assert not {logged(1), logged(2), logged(3)} & set(kept_checkpoint(crawled.gms, JOB))
        assert crawled.gms.aspects[OWN, "status"]["removed"], "no search shows the job itself"
        assert crawled.gms.violations == []

    async def test_one_that_is_gone_is_removed_once_and_comes_back(self, crawled: World) -> None:
        delete(crawled, 2)
        report = await crawled.crawl()
        assert (report.status, report.removed, removed(crawled.gms)) == ("success", {"mlModel": 1}, {logged(2)})
        assert kept_checkpoint(crawled.gms, OWN) == [logged(1), logged(3)]
        assert not (await crawled.crawl()).removed
        crawled.dialect.logged_models = [logged_model(2, 20, "2")]
        assert removed(crawled.gms) == {logged(2)}
        await crawled.crawl()
        assert logged(2) not in removed(crawled.gms)

    async def test_those_of_a_deleted_experiment_go_with_it(self, crawled: World) -> None:
        delete_experiment(crawled.dialect, "second")
        await crawled.crawl()
        assert {logged(2), logged(3)} <= removed(crawled.gms)
        assert kept_checkpoint(crawled.gms, OWN) == [logged(1)]

    async def test_an_empty_listing_removes_nothing(self, crawled: World) -> None:
        crawled.dialect.logged_models = []
        report = await crawled.crawl()
        assert ([each.code for each in report.failures], removed(crawled.gms)) == (["removal_empty_listing"], set())
        assert set(kept_checkpoint(crawled.gms, OWN)) == {logged(1), logged(2), logged(3)}
        crawled.stateful["removal"] = "confirm"
        assert (await crawled.crawl()).status == "success"
        assert removed(crawled.gms) == {logged(1), logged(2), logged(3)}
        assert kept_checkpoint(crawled.gms, OWN) == []
        assert not (await crawled.crawl()).removed, "they are removed once"

    async def test_a_listing_that_fails_removes_nothing(self, crawled: World) -> None:
        delete(crawled, 2)
        crawled.dialect.refusals = {"logged-models": (403, {"error_code": "PERMISSION_DENIED", "message": "no"})}
        report = await crawled.crawl()
        assert ([each.code for each in report.failures], removed(crawled.gms)) == (["unread_logged_models"], set())
        crawled.dialect.refusals = {}
        await crawled.crawl()
        assert removed(crawled.gms) == {logged(2)}

    async def test_left_out_by_choice_they_stay(self, crawled: World) -> None:
        crawled.source["include"] = {"logged_models": False}
        report = await crawled.crawl()
        assert (report.status, removed(crawled.gms), report.read["logged_models"]) == ("success", set(), 0)
        assert kept_checkpoint(crawled.gms, OWN) == [logged(1), logged(2), logged(3)]
        del crawled.source["include"]
        delete(crawled, 3)
        await crawled.crawl()
        assert removed(crawled.gms) == {logged(3)}

    async def test_a_server_without_any_leaves_no_checkpoint_of_them(self, tmp_path: Path) -> None:
        async with world(tmp_path) as whole:
            assert (await whole.crawl()).status == "success"
            assert (OWN, CHECKPOINT) not in whole.gms.aspects

    async def test_a_name_that_goes_from_a_prompt_to_a_model_and_back_is_not_removed(self, crawled: World) -> None:
        """They have one URN, and stand in one checkpoint and then in the other."""
        dialect = crawled.dialect
        as_prompt = ([prompt("greet"), prompt("other")], [prompt("greet", "1"), prompt("other", "1")])
        as_model = ([*dialect.models, {"name": "greet"}], [*dialect.versions, version("greet", "1", "")])
        urns = {group("greet"), model("greet", 1)}
        dialect.prompts, dialect.prompt_versions = as_prompt
        await crawled.crawl()
        assert urns <= set(kept_checkpoint(crawled.gms, OWN))
        only_other = ([prompt("other")], [prompt("other", "1")])
        for prompts, models in ((only_other, as_model), (as_prompt, (dialect.models, dialect.versions))):
            dialect.prompts, dialect.prompt_versions = prompts
            dialect.models, dialect.versions = models
            report = await crawled.crawl()
            assert (report.status, report.removed, removed(crawled.gms)) == ("success", {}, set())
            official, own = set(kept_checkpoint(crawled.gms, JOB)), set(kept_checkpoint(crawled.gms, OWN))
            assert (urns <= official, urns & own) == ((True, set()) if models is as_model else (False, urns))
        dialect.prompts, dialect.prompt_versions = only_other
        await crawled.crawl()
        assert removed(crawled.gms) == urns

    async def test_in_a_file_both_are_kept_beside_each_other(self, crawled: World, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.json"
        crawled.stateful["state_provider"] = {"type": "file", "config": {"filename": str(path)}}
        await crawled.crawl()
        delete(crawled, 1)
        assert (await crawled.crawl()).removed == {"mlModel": 1}
        store = FileCheckpoints(path, "tests")
        assert await store.read(OWN_JOB) == [logged(2), logged(3)]
        official = await store.read(OFFICIAL_JOB)
        assert official is not None
        assert logged(2) not in official
        assert len(json.loads(path.read_bytes())) == 2
