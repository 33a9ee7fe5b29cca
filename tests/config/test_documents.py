"""What is no recipe: not YAML, not a mapping, not to be read. The message has the place and no words of the file."""

import os
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from crawler.config.document import read_document
from crawler.config.flags import Flags
from crawler.config.load import load
from crawler.errors import SettingsError
from tests.config.recipes import CANARY, loaded, refused
from tests.support.examples import examples

NOT_YAML: list[tuple[str | bytes, str]] = [
    ("source: [", "(line 1, column 10)"),
    (f"a: 1\npassword: {CANARY}: {CANARY}\n", "mapping values are not allowed here (line 2, column"),
    (f"password: '{CANARY}", "found unexpected end of stream (line 1"),
    (f"password: *{CANARY}", "found undefined alias (line 1, column 11). A text that begins with"),
    (f"password: !{CANARY}", "could not determine a constructor for the tag (line 1, column 11). A text that"),
    (f"password: @{CANARY}", "found character (line 1, column 11). A text that begins with"),
    (f"password: %{CANARY}", "found character (line 1, column 11). A text that begins with"),
    (f"password: !x!{CANARY} y", "found undefined tag handle (line 1, column 11)"),
    (f"password: !!int {CANARY}", "a value is not what it looks like (line 1, column 11)"),
    (f"password: !!bool {CANARY}", "a value is not what it looks like (line 1, column 11)"),
    (f"password: !!timestamp {CANARY}", "a value is not what it looks like (line 1, column 11)"),
    (f"password: !!binary '{CANARY}é'", "(line 1, column 11)"),
    ("a: 2024-02-31", "a value is not what it looks like (line 1, column 4)"),
    ("a: !!python/object:os.system {}", "could not determine a constructor for the tag (line 1, column 4)"),
    ("a: !!python/object/apply:os.system ['id']", "could not determine a constructor for the tag"),
    ("source: {type: mlflow}\nsource: {}\n", "the key source is given twice (line 2, column 1)"),
    ("a:\n  b: {c: 1, d: 2, c: 3}\n", "the key c is given twice (line 2, column 19)"),
    (f"{{password:{CANARY}, password:{CANARY}}}", "the key password is given twice (line 1"),
    ("? [a]\n: 1\n", "found unhashable key (line 1"),
    ("a: &x {b: *x}", "found unconstructable recursive node (line 1"),
    ("a: &x [*x]", "found unconstructable recursive node (line 1"),
    ("a: \x00", "it holds a character that no text has (position 3)"),
    (b"\xff\xfe\x00\xd8", "it holds a character that no text has"),
    (b"a: \xe9", "it holds a character that no text has (position 3)"),
    ("[" * 10_000, "it is nested too deeply"),
    ("a: 1\n---\nb: 2\n", "but found another document (line 2"),
]


@pytest.mark.parametrize(("content", "message"), NOT_YAML, ids=[case[1][:50] for case in NOT_YAML])
def test_what_is_not_yaml(content: str | bytes, message: str, tmp_path: Path) -> None:
    told = refused(tmp_path, content)
    assert told.startswith(f"The recipe {tmp_path}/recipe.yml is not YAML: ")
    assert message in told
    assert CANARY not in told


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(("- 1", "is no mapping"), ("just text", "is no mapping"), ("1", "is no mapping")),
        *(("", "is empty"), ("# only words\n", "is empty"), ("---\n", "is empty")),
    ],
)
def test_what_is_yaml_but_no_recipe(content: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, content)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^Cannot read the recipe .*: Is a directory\. Check its path"):
        load(tmp_path, {}, Flags())
    with pytest.raises(SettingsError, match=r"^Cannot read the recipe .*none\.yml: No such file or directory\."):
        load(tmp_path / "none.yml", {}, Flags())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_must_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yml"
    path.touch(mode=0)
    with pytest.raises(SettingsError, match="Permission denied"):
        load(path, {}, Flags())


ANCHORS = """
source:
  type: mlflow
  config: &common
    tracking_uri: http://mlflow
    timeout_sec: 7
sink:
  type: datahub-rest
  config:
    <<: {server: http://gms, timeout_sec: 8}
    timeout_sec: 9
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_anchors_and_merge_keys_are_fine(encoding: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, ANCHORS.encode(encoding))
    assert (found.mlflow.tracking.timeout, found.sink.server.timeout) == (7, 9)  # type: ignore[union-attr]


def test_a_merged_key_may_be_given_again_wherever_it_is_merged(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("c: &c {x: 1}\nl: [{<<: &b {<<: *c, x: 2}, y: 3}, *b]\n")
    assert read_document(path) == {"c": {"x": 1}, "l": [{"x": 2, "y": 3}, {"x": 2}]}


def test_json_is_a_recipe_too(tmp_path: Path) -> None:
    found = loaded(tmp_path, '{"source": {"type": "mlflow", "config": {"tracking_uri": "http:\\/\\/m"}}}')
    assert found.mlflow.tracking.url == "http://m"


NOT_JSON = [
    (f'{{"password": {CANARY}}}', "not JSON: unexpected character"),
    (f'{{"password": "{CANARY}', "not JSON: "),
    (f'{{"password": "{CANARY}\\x"}}', "not JSON: "),
    (f'{{"password": "{CANARY}"}} {CANARY}', "not JSON: "),
    (f"password: {CANARY}", "not JSON: "),
    ("[" * 10_000, "not JSON: "),
    ("", "not JSON: "),
    ("[1]", "no mapping."),
    ("null", "empty."),
]


@pytest.mark.parametrize(("content", "message"), NOT_JSON)
def test_what_is_not_json(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load(path, {}, home=tmp_path)
    assert str(caught.value).startswith(f"The recipe {path} is {message}")
    assert CANARY not in "".join(traceback.format_exception(caught.value))


def test_a_json_file_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"source": {"type": "mlflow", "config": {"tracking_uri": "http:\\/\\/${HOST}"}}}')
    assert load(path, {"HOST": "m"}, home=tmp_path).mlflow.tracking.url == "http://m"


@pytest.mark.parametrize("kind", ["yml", "json"])
@examples(400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.text("aé:{}[]&*!|>-'\"%@`#<,? \n\t0", max_size=40).map(lambda text: text.encode()))
def test_any_file_is_read_or_refused(kind: str, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / f"recipe.{kind}"
    path.write_bytes(content)
    try:
        document = read_document(path)
    except SettingsError:
        return
    assert isinstance(document, dict)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("crawler.config", {"yaml", "datahub", "pydantic", "aiohttp"}),
        ("crawler.config.load", {"yaml", "datahub", "pydantic", "aiohttp"}),
        (
            "crawler.cli.crawl",
            {"yaml", "datahub", "pydantic", "crawler.checkpoint.sqlite", "crawler.sinks.lite", "zipfile"},
        ),
        ("crawler.settings.crawl", {"yaml", "orjson", "expandvars", "crawler.config.load", "crawler.config.document"}),
    ],
)
def test_importing_the_package_stays_quick_and_light(module: str, heavy: set[str]) -> None:
    command = f"import sys, {module}; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", command], check=True)
