"""`stateful_ingestion`: the official defaults and meanings, where the checkpoint is kept, and what is refused."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from datahub.ingestion.source.state.stale_entity_removal_handler import StatefulStaleMetadataRemovalConfig
from datahub.ingestion.source.state_provider.file_ingestion_checkpointing_provider import (
    FileIngestionStateProviderConfig,
)

from crawler.config.sections.source import FileStateProvider, StatefulIngestion
from crawler.secrets.secret import Secret
from crawler.settings.crawl import RemovalSettings, Settings
from crawler.settings.servers import ServerSettings
from tests.config.recipes import CANARY, loaded, recipe, refused, rest

FILE = {"type": "file", "config": {"filename": "state.json"}}


def stateful(sink: Any = None, pipeline_name: str | None = "nightly", **options: Any) -> dict[str, Any]:
    source = {"stateful_ingestion": {"enabled": True, **options}}
    return recipe(source, rest() if sink is None else sink, pipeline_name=pipeline_name)


def removal(found: Settings) -> RemovalSettings:
    assert found.removal is not None
    return found.removal


def test_the_defaults_are_the_official_ones() -> None:
    ours = msgspec.to_builtins(StatefulIngestion())
    assert ours.pop("removal") == "auto"
    assert ours == StatefulStaleMetadataRemovalConfig().model_dump()


def test_by_default_the_checkpoint_is_in_the_sinks_datahub(tmp_path: Path) -> None:
    found = loaded(tmp_path, stateful(rest(token="t")))
    assert found.removal == RemovalSettings(checkpoint=found.sink.server)  # type: ignore[arg-type]
    assert loaded(tmp_path, stateful(state_provider={"type": "datahub"})).removal is not None


@pytest.mark.parametrize("section", [None, {}, {"enabled": False}, {"remove_stale_metadata": True}])
def test_nothing_is_removed_unless_it_is_asked_for(section: Any, tmp_path: Path) -> None:
    assert loaded(tmp_path, recipe({"stateful_ingestion": section}, pipeline_name="p")).removal is None


def test_without_remove_stale_metadata_nothing_is_removed(tmp_path: Path) -> None:
    found = loaded(tmp_path, stateful(remove_stale_metadata=False))
    assert found.removal is None
    assert [note for note in found.notes if "remove_stale_metadata: false" in note]


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("fail_safe_threshold", 20, "fail_safe_threshold"),
        ("max_checkpoint_state_size", 1_000, "max_state_bytes"),
        ("ignore_old_state", "true", "ignore_old_state"),
        ("ignore_new_state", True, "ignore_new_state"),
    ],
)
def test_an_option_lands(option: str, value: Any, field: str, tmp_path: Path) -> None:
    before = getattr(removal(loaded(tmp_path, stateful())), field)
    after = getattr(removal(loaded(tmp_path, stateful(**{option: value}))), field)
    assert after != before
    assert after in (value, True)


@pytest.mark.parametrize(
    ("flag", "key", "confirmed"),
    [(None, "auto", False), (None, "confirm", True), ("confirm", "auto", True), ("auto", "confirm", False)],
)
def test_removal_is_confirmed_by_flag_or_recipe(flag: Any, key: str, confirmed: bool, tmp_path: Path) -> None:
    assert removal(loaded(tmp_path, stateful(removal=key), removal=flag)).is_confirmed is confirmed


@pytest.mark.parametrize(
    "sink", [rest(), {"type": "file"}, {"type": "datahub-lite", "config": {"config": {"file": "x"}}}]
)
def test_the_checkpoint_in_a_file(sink: Any, tmp_path: Path) -> None:
    assert removal(loaded(tmp_path, stateful(sink, state_provider=FILE))).checkpoint == Path("state.json")


def test_the_files_options_are_the_official_ones() -> None:
    assert set(FileIngestionStateProviderConfig.model_fields) == set(FileStateProvider.__struct_fields__)


def test_the_checkpoint_in_another_datahub(tmp_path: Path) -> None:
    api = {"server": "http://other:8080/", "token": CANARY, "timeout_sec": 3}
    provider = {"type": "datahub", "config": {"datahub_api": api}}
    found = removal(loaded(tmp_path, stateful({"type": "file"}, state_provider=provider))).checkpoint
    assert isinstance(found, ServerSettings)
    assert (found.url, found.token, found.timeout) == ("http://other:8080", Secret(CANARY), 3.0)
    assert CANARY not in repr(found)


PLACE = "source.config.stateful_ingestion"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (stateful(pipeline_name=None), f"{PLACE}.enabled: there is no pipeline_name"),
        (stateful(pipeline_name=""), f"{PLACE}.enabled: there is no pipeline_name"),
        (stateful(fail_safe_threshold=101), f"{PLACE}.fail_safe_threshold: expected float <= 100"),
        (stateful(fail_safe_threshold=-1), f"{PLACE}.fail_safe_threshold: expected float >= 0"),
        (stateful(max_checkpoint_state_size=0), f"{PLACE}.max_checkpoint_state_size: expected int >= 1."),
        (stateful(removal="yes"), f"{PLACE}.removal: expected one of auto, confirm."),
        (
            stateful(state_provider={"type": "s3"}),
            f"{PLACE}.state_provider.type: unknown type 's3'. Known are: datahub, file.",
        ),
        (stateful(state_provider={"config": {}}), f"{PLACE}.state_provider: there must be a key type."),
        (stateful(state_provider={"type": "file"}), f"{PLACE}.state_provider.config: "),
        (stateful(state_provider={"type": "datahub", "config": {"datahub_app": {}}}), f"{PLACE}.state_provider.config"),
        (
            stateful(state_provider={"type": "datahub", "config": {"datahub_api": {"token": CANARY}}}),
            "No DataHub server is given.",
        ),
        (stateful({"type": "file"}), f"{PLACE}.state_provider: there is no DataHub to keep the checkpoint in."),
    ],
)
def test_what_cannot_be_used_is_said_with_its_path(document: Any, message: str, tmp_path: Path) -> None:
    told = refused(tmp_path, document)
    assert told.startswith(message)
    assert CANARY not in told


def test_the_flag_alone_has_nothing_to_confirm(tmp_path: Path) -> None:
    told = refused(tmp_path, recipe(sink=rest()), removal="confirm")
    assert told.startswith("--removal: nothing is removed without stateful_ingestion.")
