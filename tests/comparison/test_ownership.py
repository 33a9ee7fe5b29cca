"""Which entities of DataHub belong to one MLflow server, and of which types all was read."""

from typing import Any

import pytest

from crawler.comparison.ownership import KEY_ASPECTS, belongs, kinds_not_read, may_belong, types_read_whole
from crawler.config.selection import Include
from crawler.config.settings import MappingSettings
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
    WORKSPACES_UNREAD,
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
    assert belongs(entity_type, stored, PLAIN) is plain
    assert belongs(entity_type, stored, OF_TEAM_A) is of_team_a
    assert not belongs(entity_type, stored | {"status": {"removed": True}}, PLAIN)
    assert belongs(entity_type, stored | {"status": {"removed": False}}, PLAIN) is plain


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
        (WORKSPACES_UNREAD.found(), set(KEY_ASPECTS)),
        (DATASETS_DIFFER.found(), set()),
    ],
)
def test_types_of_which_not_all_was_read(finding: Finding, unknown: set[str]) -> None:
    assert set(KEY_ASPECTS) - set(types_read_whole({finding.code, "another"})) == unknown


@pytest.mark.parametrize(
    ("found", "include", "unread"),
    [
        ([DATASETS_DIFFER.code, LISTING_UNREAD["runs"].code], Include(), set()),
        ([], Include(prompts=False), {"Prompt", "Prompt Version"}),
        ([], Include(evaluation_datasets=False), {"Evaluation Dataset"}),
        ([LISTING_UNREAD["prompts"].code], Include(), {"Prompt", "Prompt Version"}),
        ([UNREADABLE["prompt_versions"].code], Include(), {"Prompt Version"}),
        ([LISTING_UNREAD["evaluation_datasets"].code], Include(), {"Evaluation Dataset"}),
    ],
)
def test_kinds_of_which_not_all_was_read_are_told_by_their_subtype(
    found: list[str], include: Include, unread: set[str]
) -> None:
    assert kinds_not_read(found, include) == unread
    for subtype in ("Prompt", "Prompt Version", "Evaluation Dataset"):
        stored = {"mlModelKey": {}, "subTypes": {"typeNames": [subtype]}}
        assert belongs("mlModel", stored, PLAIN, unread) is (subtype not in unread)
    assert belongs("mlModel", {"mlModelKey": {}}, PLAIN, unread)
