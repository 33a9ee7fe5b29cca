"""The file that a replay reads, and where it keeps what fails again."""

import os
from pathlib import Path

import pytest

from crawler.proposal_files.input_file import STDIN, new_dead_letters


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("dead.jsonl", (), "dead.2.jsonl"),
        ("dead.jsonl", ("dead.2.jsonl", "dead.3.jsonl"), "dead.4.jsonl"),
        ("dead.2.jsonl", (), "dead.3.jsonl"),
        ("proposals.json", (), "proposals.2.jsonl"),
        ("a.b", (), "a.2.jsonl"),
        ("x-unconfirmed.jsonl", (), "x-dead-letters.2.jsonl"),
        ("x-unconfirmed.jsonl", ("x-unconfirmed.2.jsonl",), "x-dead-letters.3.jsonl"),
        (".7", (), ".7.2.jsonl"),
        ("7", (), "7.2.jsonl"),
    ],
)
def test_the_next_file_is_one_that_is_not_there(
    tmp_path: Path, name: str, taken: tuple[str, ...], expected: str
) -> None:
    for each in (name, *taken):
        (tmp_path / each).touch()
    assert new_dead_letters(tmp_path / name, "r") == tmp_path / expected


def test_a_pipes_letters_are_named_by_the_run(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for path in (tmp_path / "pipe.jsonl", STDIN):
        assert new_dead_letters(path, "r").name == "mlflow-datahub-dead-letters-r.jsonl"
