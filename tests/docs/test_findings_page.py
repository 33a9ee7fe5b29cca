"""docs/findings.md is what the catalogue says, and the catalogue is complete."""

import re

from crawler.telemetry.findings.catalogue import CATALOGUE, FOUND_AGAIN
from scripts.findings_page import PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run python -m scripts.findings_page"


def test_each_kind_says_what_to_do_and_its_placeholders_are_filled_in() -> None:
    for kind in CATALOGUE:
        assert kind.advice.endswith(".")
        names = re.findall(r"{(\w+)}", kind.code + kind.message)
        found = kind.found("a sample", 3, **dict.fromkeys(names, "x"))
        assert "{" not in found.code + found.message
        assert (found.sample, found.count, found.severity) == ("a sample", 3, kind.severity)


def test_each_code_means_one_thing() -> None:
    severities = {(kind.code, kind.severity, kind.found_again) for kind in CATALOGUE}
    assert len(severities) == len({kind.code for kind in CATALOGUE})


def test_what_a_resumed_crawl_finds_again() -> None:
    assert {
        "changes_untold",
        "checkpoint_size",
        "checkpoint_unread",
        "checkpoint_unwritten",
        "dataset_experiments",
        "dataset_experiments_hidden",
        "experiment",
        "experiments_missing",
        "hidden_model_versions",
        "logged_models_missing",
        "max_duration",
        "mended_evaluation_datasets",
        "mended_experiments",
        "mended_logged_models",
        "mended_model_versions",
        "mended_prompt_versions",
        "mended_prompts",
        "mended_registered_models",
        "model_versions_missing",
        "no_system_metadata",
        "not_on_ingestion_page",
        "not_reported",
        "nothing_listed",
        "old_datahub",
        "registered_models_missing",
        "registry_missing",
        "registry_workspaces",
        "removal_after_failure",
        "removal_blind",
        "removal_empty_listing",
        "removal_rights",
        "removal_threshold",
        "traces_not_counted",
        "unconfirmed_by_server",
        "unread_evaluation_datasets",
        "unread_experiments",
        "unread_logged_models",
        "unread_model_versions",
        "unread_prompt_versions",
        "unread_prompts",
        "unread_registered_models",
        "unread_runs",
        "unreadable_evaluation_datasets",
        "unreadable_experiments",
        "unreadable_logged_models",
        "unreadable_model_versions",
        "unreadable_prompt_versions",
        "unreadable_prompts",
        "unreadable_registered_models",
        "untimed_unknown",
        "unverified_in_memory",
        "urn_taken",
        "workspace_ignored",
        "workspace_unread",
        "workspaces_unlisted",
        "zeros_unknown",
    } == FOUND_AGAIN
