"""What asks for less than everything: options of the recipe and flags, which all need a state."""

from pathlib import Path
from typing import Any

import pytest

from crawler.errors import SettingsError
from crawler.pipeline.crawl import crawl
from crawler.settings.crawl import IncrementalSettings, KeepingCurrent
from tests.config.recipes import loaded, recipe, rest

DAY = 86_400.0
INCREMENTAL = IncrementalSettings()


def keeping_current(folder: Path, options: dict[str, Any], **flags: Any) -> KeepingCurrent | None:
    return loaded(folder, recipe(options, rest()), state=folder / "state", **flags).changed_only


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, None),
        ({"changed_only": False}, None),
        ({"incremental": {"enabled": False, "full_every": "1d"}}, None),
        ({"changed_only": True}, KeepingCurrent()),
        ({"verify_every": "30d"}, KeepingCurrent(verify_every=30 * DAY)),
        ({"incremental": {"enabled": True}}, KeepingCurrent(incremental=INCREMENTAL)),
        (
            {"incremental": {"enabled": "true", "full_every": "24h", "not_ended_for": 3600}, "verify_every": "7d"},
            KeepingCurrent(incremental=IncrementalSettings(full_every=DAY, not_ended_for=3600.0), verify_every=7 * DAY),
        ),
    ],
)
def test_options_of_the_recipe(tmp_path: Path, options: dict[str, Any], expected: KeepingCurrent | None) -> None:
    assert keeping_current(tmp_path, options) == expected


@pytest.mark.parametrize(
    ("flags", "options", "expected"),
    [
        ({"changed_only": True}, {}, KeepingCurrent()),
        ({"incremental": True}, {}, KeepingCurrent(incremental=INCREMENTAL)),
        ({"verify_every": 60.0}, {"verify_every": "7d"}, KeepingCurrent(verify_every=60.0)),
        (
            {"incremental": True},
            {"incremental": {"full_every": "1d"}},
            KeepingCurrent(incremental=IncrementalSettings(full_every=DAY)),
        ),
        ({}, {"changed_only": True}, KeepingCurrent()),
    ],
)
def test_flags(tmp_path: Path, flags: dict[str, Any], options: dict[str, Any], expected: KeepingCurrent | None) -> None:
    assert keeping_current(tmp_path, options, **flags) == expected


def test_a_week_and_two_are_the_defaults() -> None:
    assert (INCREMENTAL.full_every, INCREMENTAL.not_ended_for) == (7 * DAY, 14 * DAY)


@pytest.mark.parametrize(
    "options", [{"changed_only": True}, {"incremental": {"enabled": True}}, {"verify_every": "1d"}]
)
async def test_without_a_state_nothing_is_known(tmp_path: Path, options: dict[str, Any]) -> None:
    settings = loaded(tmp_path, recipe(options, rest()))
    with pytest.raises(SettingsError, match=r"told by its state, and there is none .*Add --state PATH\.$"):
        await crawl(settings)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"incremental": {"enable": True}}, r"source\.config\.incremental: unknown key 'enable'.*'enabled'"),
        (
            {"incremental": {"enabled": True, "full_every": "soon"}},
            r"source\.config\.incremental\.full_every: expected",
        ),
        ({"incremental": True}, r"source\.config\.incremental: expected a mapping"),
        ({"verify_every": "soon"}, r"source\.config\.verify_every: expected a duration"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        keeping_current(tmp_path, options)
