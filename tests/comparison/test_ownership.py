"""Which entities of DataHub belong to one MLflow server, and of which types all was read."""

from typing import Any

import pytest
from msgspec import structs

from crawler.comparison.ownership import (
    KEY_ASPECTS,
    belongs,
    instances_read,
    kinds_not_read,
    may_belong,
    types_read_whole,
    types_told_apart,
)
from crawler.settings.mapping import MappingSettings
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Include, Selection
from crawler.telemetry.events import WorkspacesChosen
from crawler.telemetry.findings.kind import Finding
from crawler.telemetry.findings.mapping import DATASETS_DIFFER
from crawler.telemetry.findings.reading import (
    EXPERIMENT_UNREAD,
    HIDDEN_MODEL_VERSIONS,
    LISTING_MISSING,
    LISTING_UNREAD,
    NOTHING_LISTED,
    REGISTRY_MISSING,
    UNREADABLE,
    WORKSPACE_UNREAD,
    WORKSPACES_UNLISTED,
)

MLFLOW = "urn:li:dataPlatform:mlflow"
TEAM_A = f"urn:li:dataPlatformInstance:({MLFLOW},team-a)"
PLAIN = MappingSettings(ui_url="http://mlflow")
OF_TEAM_A = MappingSettings(ui_url="http://mlflow", platform_instance="team-a", env="DEV")


@pytest.mark.parametrize(
    ("urn", "plain", "of_team_a"),
    [
        (f"urn:li:mlModel:({MLFLOW},a_1,PROD)", True, False),
        (f"urn:li:mlModel:({MLFLOW},a_1,DEV)", False, True),
        (f"urn:li:mlModelGroup:({MLFLOW},a,DEV)", False, True),
        # Datasets are always PROD.
        (f"urn:li:dataset:({MLFLOW},a,PROD)", True, True),
        ("urn:li:dataset:(urn:li:dataPlatform:s3,a,PROD)", False, False),
        ("urn:li:dataProcessInstance:a", True, True),
        ("urn:li:container:a", True, True),
    ],
)
def test_platform_and_environment_of_a_urn(urn: str, plain: bool, of_team_a: bool) -> None:
    entity_type = urn.split(":")[2]
    assert (may_belong(urn, entity_type, PLAIN), may_belong(urn, entity_type, OF_TEAM_A)) == (plain, of_team_a)


@pytest.mark.parametrize(
    ("entity_type", "place", "plain", "of_team_a"),
    [
        # The official connector writes none for models.
        ("mlModel", None, True, False),
        ("mlModel", {"platform": MLFLOW}, True, False),
        ("mlModel", {"platform": MLFLOW, "instance": TEAM_A}, False, True),
        ("container", None, False, False),
        ("container", {"platform": MLFLOW}, True, False),
        ("container", {"platform": MLFLOW, "instance": TEAM_A}, False, True),
        ("dataProcessInstance", {"platform": "urn:li:dataPlatform:airflow"}, False, False),
    ],
)
def test_what_is_stored_tells_platform_and_instance(
    entity_type: str, place: dict[str, Any] | None, plain: bool, of_team_a: bool
) -> None:
    stored: dict[str, Any] = {KEY_ASPECTS[entity_type]: {}} | ({"dataPlatformInstance": place} if place else {})
    assert belongs(entity_type, stored, {None}) is plain
    assert belongs(entity_type, stored, {TEAM_A}) is of_team_a
    assert belongs(entity_type, stored, {None, TEAM_A}) is (plain or of_team_a)
    assert not belongs(entity_type, stored | {"status": {"removed": True}}, {None})
    assert belongs(entity_type, stored | {"status": {"removed": False}}, {None}) is plain


def test_the_instances_of_workspaces_that_were_read() -> None:
    chosen = WorkspacesChosen(["default", "team-a"], ["team-b"])
    east = structs.replace(PLAIN, platform_instance="east")
    by_prefix = structs.replace(east, workspace_identity="prefix")

    def instance(name: str) -> str:
        return f"urn:li:dataPlatformInstance:({MLFLOW},{name})"

    assert instances_read(None, PLAIN, is_only=False) == {None}
    assert instances_read(chosen, PLAIN, is_only=False) == {None, TEAM_A}
    assert instances_read(chosen, east, is_only=False) == {instance("east"), instance("east.team-a")}
    assert instances_read(chosen, by_prefix, is_only=False) == {instance("east")}
    assert instances_read(WorkspacesChosen(["team-a"]), east, is_only=True) == {instance("east")}
    assert types_told_apart(WorkspacesChosen(["default"]), by_prefix) == [*KEY_ASPECTS]
    assert set(types_told_apart(chosen, east)) == set(KEY_ASPECTS) - {"dataset"}
    assert types_told_apart(chosen, by_prefix) == []


@pytest.mark.parametrize(
    ("finding", "unknown"),
    [
        (UNREADABLE["runs"].found(), {"dataProcessInstance", "dataset"}),
        (EXPERIMENT_UNREAD.found(), {"dataProcessInstance", "dataset"}),
        (LISTING_UNREAD["experiments"].found(), {"container", "dataProcessInstance", "dataset"}),
        (LISTING_MISSING["model_versions"].found(), {"mlModel"}),
        (HIDDEN_MODEL_VERSIONS.found(), {"mlModel"}),
        (REGISTRY_MISSING.found(), {"mlModel", "mlModelGroup"}),
        (NOTHING_LISTED.found(), set(KEY_ASPECTS)),
        (WORKSPACE_UNREAD.found(), set(KEY_ASPECTS)),
        (WORKSPACES_UNLISTED.found(), set(KEY_ASPECTS)),
        (DATASETS_DIFFER.found(), set()),
    ],
)
def test_types_of_which_not_all_was_read(finding: Finding, unknown: set[str]) -> None:
    assert set(KEY_ASPECTS) - set(types_read_whole({finding.code, "another"}, Selection())) == unknown


@pytest.mark.parametrize(
    ("found", "selection", "unread"),
    [
        ([DATASETS_DIFFER.code, LISTING_UNREAD["runs"].code], Selection(), set()),
        ([], Selection(include=Include(prompts=False)), {"Prompt", "Prompt Version"}),
        ([], Selection(include=Include(evaluation_datasets=False)), {"Evaluation Dataset"}),
        ([], Selection(include=Include(logged_models=False)), {"Logged Model"}),
        ([], Selection(experiment_pattern=AllowDenyPattern(deny=("tmp",))), {"Logged Model"}),
        ([LISTING_UNREAD["logged_models"].code], Selection(), {"Logged Model"}),
        ([LISTING_UNREAD["experiments"].code], Selection(), {"Logged Model"}),
        ([LISTING_UNREAD["prompts"].code], Selection(), {"Prompt", "Prompt Version"}),
        ([UNREADABLE["prompt_versions"].code], Selection(), {"Prompt Version"}),
        ([LISTING_UNREAD["evaluation_datasets"].code], Selection(), {"Evaluation Dataset"}),
    ],
)
def test_kinds_of_which_not_all_was_read_are_told_by_their_subtype(
    found: list[str], selection: Selection, unread: set[str]
) -> None:
    assert kinds_not_read(found, selection) == unread
    for subtype in ("Prompt", "Prompt Version", "Evaluation Dataset", "Logged Model"):
        stored = {"mlModelKey": {}, "subTypes": {"typeNames": [subtype]}}
        assert belongs("mlModel", stored, {None}, unread) is (subtype not in unread)
    assert belongs("mlModel", {"mlModelKey": {}}, {None}, unread)
