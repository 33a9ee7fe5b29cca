"""Sizes in flags and recipes: what rclone takes, and one clear sentence for the rest."""

import pytest

from crawler.settings.sizes import size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1000000", 1_000_000),
        ("500MB", 500_000_000),
        ("1GB", 1_000_000_000),
        ("1 GiB", 2**30),
        ("500M", 500 * 2**20),
        ("1.5k", 1536),
        ("2t", 2 * 2**40),
        ("17B", 17),
    ],
)
def test_a_size(text: str, expected: int) -> None:
    assert size(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "many", "5 M B", "1e9", "5PB", "1,000", "5GB5", "\u0663"])
def test_what_is_no_size_is_said_in_one_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a size such as 500MB or 1GiB, got "):
        size(text)
