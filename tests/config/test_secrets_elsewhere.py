"""Secrets from files and commands: what is taken, which of two wins, and errors that never show them."""

import os
import selectors
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from crawler.errors import SettingsError
from crawler.secrets.secret import Secret
from crawler.secrets.sources import secret_in_file, secret_of_command
from tests.config.recipes import CANARY, datahub, loaded, recipe, refused, rest

USER = {"username": "ann"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "secret"
    path.write_text(f"  {CANARY} \r\nsecond line\n")
    return str(path)


def test_the_first_line_of_a_file(file: str, tmp_path: Path) -> None:
    found = loaded(tmp_path, recipe({"token_file": file}, rest(token_file=file)))
    assert (found.mlflow.tracking.token, datahub(found).server.token) == (Secret(CANARY), Secret(CANARY))
    found = loaded(tmp_path, recipe(USER | {"password_file": file, "registry_uri": "http://r"}))
    assert found.mlflow.registry is not None
    assert (found.mlflow.tracking.password, found.mlflow.registry.password) == (Secret(CANARY), Secret(CANARY))


def test_the_first_line_that_a_command_prints(file: str, tmp_path: Path) -> None:
    command = f"cat '{file}'"
    found = loaded(tmp_path, recipe({"token_command": command}, rest(token_command=command)))
    assert (found.mlflow.tracking.token, datahub(found).server.token) == (Secret(CANARY), Secret(CANARY))
    found = loaded(tmp_path, recipe(USER | {"password_command": command}))
    assert found.mlflow.tracking.password == Secret(CANARY)


@pytest.mark.parametrize("name", ["token", "password"])
@pytest.mark.parametrize("ways", [("", "_file"), ("", "_command"), ("_file", "_command")])
def test_two_ways_for_one_secret(name: str, ways: tuple[str, str], file: str, tmp_path: Path) -> None:
    options = {f"{name}{way}": file for way in ways}
    told = refused(tmp_path, recipe(USER | options if name == "password" else options))
    first, second = (f"source.config.{name}{way}" for way in ways)
    assert told == f"{first} and {second} give the same secret twice. Leave one of them out."
    if name == "token":
        assert refused(tmp_path, recipe(sink=rest(**options))).startswith(f"sink.config.{name}{ways[0]} and")


def test_a_user_wants_a_password_from_somewhere(file: str, tmp_path: Path) -> None:
    for options in (USER, {"password_file": file}, {"password_command": "true"}):
        assert "username and password must be set together" in refused(tmp_path, recipe(options))


VARIABLES = [
    ("MLFLOW_TRACKING_TOKEN", lambda found: found.mlflow.tracking.token),
    ("MLFLOW_TRACKING_PASSWORD", lambda found: found.mlflow.tracking.password),
    ("DATAHUB_GMS_TOKEN", lambda found: datahub(found).server.token),
]
GMS = {"DATAHUB_GMS_URL": "http://gms"}


@pytest.mark.parametrize(("name", "secret"), VARIABLES)
def test_a_variable_names_a_file(name: str, secret: Any, file: str, tmp_path: Path) -> None:
    env = GMS | {f"{name}_FILE": file} | ({"MLFLOW_TRACKING_USERNAME": "u"} if "PASSWORD" in name else {})
    assert secret(loaded(tmp_path, recipe(), env)) == Secret(CANARY)
    told = refused(tmp_path, recipe(), env | {name: "x"})
    assert told == f"{name} and {name}_FILE give the same secret twice. Leave one of them out."
    told = refused(tmp_path, recipe(), env | {f"{name}_FILE": "/nowhere"})
    assert told == f"{name}_FILE: the file cannot be read: No such file or directory. Check its path."


def test_the_recipe_wins_and_what_it_replaces_is_not_read(tmp_path: Path) -> None:
    env = {"MLFLOW_TRACKING_TOKEN_FILE": "/nowhere", "DATAHUB_GMS_TOKEN_FILE": "/nowhere"}
    found = loaded(tmp_path, recipe({"token": "m"}, rest(token="d")), env)
    assert (found.mlflow.tracking.token, datahub(found).server.token) == (Secret("m"), Secret("d"))


def test_a_command_of_a_server_that_is_not_asked_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    command = f"touch {ran}"
    source = {"token_command": command} | USER | {"password_command": command}
    document = recipe(source, rest(token_command=command))
    found = loaded(tmp_path, document, mlflow_uri="http://other", datahub_url="http://other")
    assert (found.mlflow.tracking.token, datahub(found).server.token) == (None, None)
    assert not ran.exists()


def test_a_recipes_way_replaces_the_stored_token(file: str, tmp_path: Path) -> None:
    (tmp_path / ".datahubenv").write_text("gms: {server: 'http://stored', token: stored}")
    sink = {"type": "datahub-rest", "config": {"token_file": file}}
    assert datahub(loaded(tmp_path, recipe(sink=sink))).server.token == Secret(CANARY)


def told_by(command: str, seconds: float = 30.0) -> str:
    with pytest.raises(SettingsError) as caught:
        secret_of_command(command, "option", seconds)
    return str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file has nothing in its first line"),
        (b"  \n" + CANARY.encode(), "the file has nothing in its first line"),
        (b"\xff" + CANARY.encode(), "the file is not text in UTF-8"),
        (CANARY.encode() * 9000, "the file has a first line of more than 65,536 bytes"),
    ],
)
def test_a_file_without_a_secret(content: bytes, told: str, tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        secret_in_file(path, "option")
    assert str(caught.value) == f"option: {told}."


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("print()", "what the command prints has nothing in its first line"),
        (f"print('{CANARY}'); raise SystemExit(3)", "the command ended with exit code 3"),
        (f"print('{CANARY}', flush=True); import os; os.kill(os.getpid(), 15)", "the command ended with signal 15"),
        (f"import sys; sys.exit('{CANARY}')", "the command ended with exit code 1"),
        (f"while True: print('{CANARY}' * 100)", "the command prints more than 65,536 bytes"),
        ("import sys; sys.exit(7 if sys.stdin.read() == '' else 8)", "the command ended with exit code 7"),
    ],
)
def test_a_command_without_a_secret(script: str, told: str, capfd: pytest.CaptureFixture[str]) -> None:
    text = told_by(f'{sys.executable} -c "{script}"')
    assert text.startswith(f"option: {told}.")
    assert CANARY not in text
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (f"cat '{CANARY}", "a quote or a backslash is left open"),
        ("  ", "the command is empty"),
        (f"no-such-program {CANARY}", "the command cannot be started: No such file or directory"),
        ("/", "the command cannot be started: Permission denied"),
        (f"cat {CANARY}\0", "the command cannot be started: embedded null byte"),
    ],
)
def test_a_command_that_is_none(command: str, told: str) -> None:
    text = told_by(command)
    assert text.startswith(f"option: {told}.")
    assert CANARY not in text


@pytest.mark.slow
def test_a_command_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    held = tmp_path / "held"
    os.mkfifo(held)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)
    begun = time.monotonic()
    text = told_by(f"sh -c '(echo started; sleep 60) > {held} & wait'", seconds=2)
    assert text.startswith("option: the command did not end within 2 s.")
    with os.fdopen(reader, "rb") as file:
        # Its end comes when nobody is left to write.
        assert file.read() == b"started\n"
    assert time.monotonic() - begun < 50, "it was waited for to its end"


@pytest.mark.parametrize("expression", ["$(touch ran)", "`touch ran`", "a; touch ran", "a && touch ran", "a > ran"])
def test_no_shell_reads_a_command(expression: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert secret_of_command(f"echo {expression}", "option") == Secret(expression)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("text", ["$(touch ran)", "`touch ran`", "${X:-$(touch ran)}", "${X:-`touch ran`}"])
def test_expanding_a_recipe_runs_nothing(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("token", "platform_instance"):
        try:
            loaded(tmp_path, recipe({name: text}))
        except SettingsError as error:
            assert str(error).startswith(f"source.config.{name}: the expression with $ cannot be read")  # noqa: PT017
    assert not (tmp_path / "ran").exists()


def test_a_signal_that_ends_us_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    ended: list[int] = []
    killpg = os.killpg
    monkeypatch.setattr(selectors.DefaultSelector, "select", interrupt)
    monkeypatch.setattr(os, "killpg", lambda group, number: (ended.append(number), killpg(group, number)))  # type: ignore[func-returns-value]
    with pytest.raises(KeyboardInterrupt):
        secret_of_command("sh -c 'echo x; sleep 60'", "option")
    assert ended == [signal.SIGKILL]
