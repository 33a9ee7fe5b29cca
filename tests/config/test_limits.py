"""Flags on time, state, dead letters and confirmation: what they set, and where they have no meaning."""

from pathlib import Path
from typing import Any

import pytest

from crawler.cli.parser import command_parser
from crawler.cli.settings import delivery_settings_of, settings_of
from crawler.errors import SettingsError
from crawler.settings.crawl import Settings
from crawler.settings.sinks import Confirm
from tests.config.recipes import datahub, loaded, recipe, refused, rest


@pytest.fixture(autouse=True)
def no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "DATAHUB_GMS_URL", "DATAHUB_GMS_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def typed(*words: str) -> Settings:
    """The settings of a crawl as it is typed."""
    return settings_of(command_parser().parse_args(["crawl", "--mlflow-uri", "http://m", *words]))


def test_the_defaults(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe(sink=rest()))
    assert (found.state, found.dead_letters, found.max_duration, found.grace) == (None, None, None, 25.0)
    assert datahub(found).confirm is Confirm.ENTITIES
    assert (found.mlflow.tracking.patience, datahub(found).server.patience) == (300.0, 300.0)


def test_the_flags_as_they_are_typed() -> None:
    words = "--datahub-url http://g --state s.db --dead-letters d.jsonl --confirm stored"
    found = typed(*words.split(), "--patience", "90s", "--max-duration", "1h30m", "--grace", "500ms")
    assert (found.state, found.dead_letters) == (Path("s.db"), Path("d.jsonl"))
    assert (found.max_duration, found.grace) == (5400.0, 0.5)
    assert datahub(found).confirm is Confirm.STORED
    assert (found.mlflow.tracking.patience, datahub(found).server.patience) == (90.0, 90.0)


def test_patience_is_the_recipes_of_each_server_and_the_flags_of_both(tmp_path: Path) -> None:
    document = recipe({"patience_sec": 1, "registry_uri": "http://r"}, rest(patience_sec=2))
    found = loaded(tmp_path, document)
    assert found.mlflow.registry is not None
    assert [found.mlflow.tracking.patience, found.mlflow.registry.patience, datahub(found).server.patience] == [1, 1, 2]
    found = loaded(tmp_path, document, patience=0.0)
    assert [found.mlflow.tracking.patience, datahub(found).server.patience] == [0, 0]


def test_the_flag_wins_over_the_recipes_confirmation(tmp_path: Path) -> None:
    document = recipe(sink=rest(confirm="none"))
    assert datahub(loaded(tmp_path, document)).confirm is Confirm.NONE
    assert datahub(loaded(tmp_path, document, confirm=Confirm.STORED)).confirm is Confirm.STORED
    told = refused(tmp_path, recipe(sink=rest(confirm="maybe")))
    assert told == "sink.config.confirm: expected one of entities, stored, none."


@pytest.mark.parametrize("flag", ["patience", "max-duration", "grace"])
def test_a_wrong_duration_is_named_with_its_flag(flag: str) -> None:
    with pytest.raises(SettingsError) as caught:
        typed(f"--{flag}", "soon")
    assert str(caught.value) == f"--{flag}: expected a duration such as 90s, 5m or 1h30m, got 'soon'."


def test_a_crawl_of_no_time_is_refused_but_no_grace_is_not() -> None:
    with pytest.raises(SettingsError, match=r"^--max-duration: in no time nothing is done"):
        typed("--max-duration", "0s")
    assert typed("--grace", "0").grace == 0


@pytest.mark.parametrize(
    ("sink", "flags", "told"),
    [
        (None, {"output": Path("o.json")}, "--state: the file o.json is written anew each time"),
        ({"type": "file", "config": {"filename": "f.json"}}, {}, "--state: the file f.json is written anew each time"),
        (None, {}, "--state: the file mlflow-datahub.json is written anew each time"),
        (rest(), {"dry_run": True}, "--state keeps what was delivered, and --dry-run delivers nothing"),
    ],
)
def test_a_state_wants_an_output_that_lasts(
    sink: dict[str, Any] | None, flags: dict[str, Any], told: str, tmp_path: Path
) -> None:
    assert refused(tmp_path, recipe(sink=sink), state=Path("s"), **flags).startswith(told)


def test_a_state_with_datahub_lite_is_taken(tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe(), sink="lite", output=Path("c.db"), state=Path("s"))
    assert found.state == Path("s")


def test_a_replay_needs_no_mlflow() -> None:
    words = "replay f.jsonl --datahub-url http://g --endpoint openapi --confirm none --batch-size 9 --patience 1m"
    more = "--datahub-concurrency 3 --dead-letters d --report r --max-duration 1h --grace 2s --type mlModel --code a"
    arguments = command_parser().parse_args([*words.split(), *more.split(), "--type", "tag", "--no-progress", "-v"])
    assert (arguments.type, arguments.code, arguments.file) == (["mlModel", "tag"], ["a"], Path("f.jsonl"))
    assert arguments.report == Path("r")
    found = delivery_settings_of(arguments)
    assert (found.dead_letters, found.max_duration, found.grace) == (Path("d"), 3600, 2)
    sink: Any = found.sink
    assert (sink.confirm, sink.batch_size, sink.server.patience, sink.server.concurrency) == (Confirm.NONE, 9, 60, 3)
