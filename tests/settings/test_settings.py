"""Settings: they do not change, know no other fields, and never show a secret."""

import copy
import pickle
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import msgspec
import pytest

from crawler import settings
from crawler.secrets import secret
from crawler.secrets.secret import Secret
from crawler.settings.crawl import MlflowSettings, Settings
from crawler.settings.mapping import MappingSettings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import RestSettings

CANARY = "c4n4ry-s3cr3t"
SERVER = ServerSettings(
    url="http://m", username="u", password=Secret(CANARY), token=Secret(CANARY), headers={"X-Key": Secret(CANARY)}
)
CRAWL = Settings(
    run_id="r",
    mlflow=MlflowSettings(tracking=SERVER, registry=SERVER),
    mapping=MappingSettings(ui_url="http://m"),
    sink=RestSettings(server=SERVER),
)
MODULES = [import_module(f"{settings.__name__}.{each.name}") for each in iter_modules(settings.__path__)]
PARTS = [
    each
    for module in [secret, *MODULES]
    for each in vars(module).values()
    if isinstance(each, type) and issubclass(each, msgspec.Struct) and each.__module__ == module.__name__
]


@pytest.mark.parametrize("value", [Secret(CANARY), SERVER, CRAWL, [Secret(CANARY)], msgspec.structs.asdict(SERVER)])
def test_a_secret_is_never_shown(value: Any) -> None:
    for text in (str(value), repr(value), f"{value}", f"{value!r}", "%s %r" % (value, value)):  # noqa: UP031
        assert CANARY not in text
        assert "***" in text


def test_a_secret_cannot_be_written_by_accident() -> None:
    for encoder in (msgspec.json, msgspec.msgpack):
        with pytest.raises(TypeError, match="Secret") as caught:
            encoder.encode(CRAWL)
        assert CANARY not in str(caught.value)


def test_only_reveal_gives_a_secret_away() -> None:
    secret = Secret(CANARY)
    assert secret.reveal() == CANARY
    assert not hasattr(secret, "__dict__")


def test_secrets_compare_by_what_they_hold() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert copy.deepcopy(SERVER) == SERVER
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_settings_are_frozen_and_know_no_other_fields(part: type[msgspec.Struct]) -> None:
    assert part.__struct_config__.frozen
    assert part.__struct_config__.forbid_unknown_fields
    with pytest.raises(TypeError, match="argument"):
        part(colour="red")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_what_is_named_like_a_secret_is_one(part: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(part):
        if field.name in ("password", "token", "headers"):
            assert "Secret" in str(field.type), field.name


def test_changing_a_setting_makes_new_settings() -> None:
    with pytest.raises(AttributeError):
        CRAWL.dry_run = True  # type: ignore[misc]
    changed = msgspec.structs.replace(CRAWL, dead_letters=Path("d.jsonl"))
    assert (CRAWL.dead_letters, changed.dead_letters) == (None, Path("d.jsonl"))
