"""A key with one wrong letter is refused, and the message names the right one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from crawler.config import unsupported
from crawler.config.flags import Flags
from crawler.config.sections.recipe import NoOptions, Pipeline, Typed
from crawler.config.sections.sink import FileSink, LiteFile, LiteSink, RestSink
from crawler.config.sections.source import FileStateProvider, MlflowSource, StatefulIngestion, StateProvider
from crawler.config.strict import section
from crawler.config.unsupported import Unsupported
from crawler.errors import SettingsError
from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.selection import Include
from tests.config.recipes import recipe, refused, rest

SECTIONS: dict[str, tuple[type, dict[str, Unsupported]]] = {
    "": (Pipeline, unsupported.UNSUPPORTED_IN_PIPELINE),
    "flags": (NoOptions, unsupported.UNSUPPORTED_IN_FLAGS),
    "source": (Typed, unsupported.UNSUPPORTED_IN_SOURCE),
    "source.config": (MlflowSource, {}),
    "source.config.include": (Include, {}),
    "source.config.experiment_pattern": (AllowDenyPattern, {}),
    "source.config.stateful_ingestion": (StatefulIngestion, {}),
    "source.config.stateful_ingestion.state_provider": (StateProvider, {}),
    "source.config.stateful_ingestion.state_provider.config": (FileStateProvider, {}),
    "sink": (Typed, {}),
    "rest: sink.config": (RestSink, unsupported.UNSUPPORTED_IN_REST_SINK),
    "file: sink.config": (FileSink, {}),
    "lite: sink.config": (LiteSink, unsupported.UNSUPPORTED_IN_LITE_SINK),
    "sink.config.config": (LiteFile, unsupported.UNSUPPORTED_IN_LITE_FILE),
}
CASES = [
    pytest.param(key, path, id=f"{path}.{key}")
    for path, (struct, unsupported_there) in SECTIONS.items()
    for key in [*struct.__struct_fields__, *unsupported_there]  # type: ignore[attr-defined]
    if len(key) >= 4
]


def one_edit_away(key: str) -> Iterator[str]:
    """One letter left out, put in, changed, two swapped, or in another case."""
    for place in range(len(key)):
        rest_of_it = key[place + 1 :]
        yield key[:place] + rest_of_it
        yield key[:place] + key[place].upper() + rest_of_it
        yield key[:place] + key[place : place + 2][::-1] + key[place + 2 :]
        yield key[:place].replace("_", "-") + key[place:]
        for letter in "aeqs_ -":
            yield key[:place] + letter + rest_of_it
            yield key[:place] + letter + key[place:]
            yield key + letter


@pytest.mark.slow
@pytest.mark.parametrize(("key", "path"), CASES)
def test_every_misspelling_names_the_right_key(key: str, path: str) -> None:
    struct, unsupported_there = SECTIONS[path]
    known = {*struct.__struct_fields__, *unsupported_there}  # type: ignore[attr-defined]
    for wrong in set(one_edit_away(key)) - known:
        with pytest.raises(SettingsError) as caught:
            section({wrong: "x"}, path, struct, unsupported_there)
        assert str(caught.value) == f"{path}: unknown key {wrong!r}. Did you mean {key!r}?".removeprefix(": ")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (recipe(sinc={}), "unknown key 'sinc'. Did you mean 'sink'?"),
        (recipe(flags={"set_sistem_metadata": True}), "flags: unknown key 'set_sistem_metadata'. Did you mean"),
        (recipe({"trackin_uri": "x"}), "source.config: unknown key 'trackin_uri'. Did you mean 'tracking_uri'?"),
        (recipe({"stateful_ingestion": {"enable": False}}), "source.config.stateful_ingestion: unknown key 'enable'."),
        (recipe(sink=rest(tokens="x")), "sink.config: unknown key 'tokens'. Did you mean 'token'?"),
        (recipe(sink={"type": "file", "config": {"file_name": "x"}}), "sink.config: unknown key 'file_name'."),
        (recipe(sink={"type": "file", "conf": 1}), "sink: unknown key 'conf'. Did you mean 'config'?"),
        (recipe(sink={"type": "datahub-lite", "config": {"config": {"fil": 1}}}), "sink.config.config: unknown key"),
        (recipe({"zzz": 1}), "source.config: unknown key 'zzz'. Known are: base_external_url, "),
        (recipe({None: 1}), "source.config: unknown key None."),  # type: ignore[dict-item]
        ({"source": {"type": "mlflo"}}, "source.type: unknown type 'mlflo'. Did you mean 'mlflow'?"),
        (recipe(sink={"type": "datahub_rest"}), "sink.type: unknown type 'datahub_rest'. Did you mean 'datahub-rest'?"),
        (
            recipe(sink={"type": "kafka"}),
            "sink.type: unknown type 'kafka'. Known are: console, datahub-lite, datahub-rest, file.",
        ),
    ],
)
def test_a_recipe_with_a_wrong_word(document: object, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, document)


def test_flags_are_named_as_they_are_typed() -> None:
    with pytest.raises(SettingsError, match=r"^--page-size: expected int >= 1"):
        section({"page_size": "0"}, "flags", Flags)
