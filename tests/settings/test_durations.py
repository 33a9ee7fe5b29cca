"""Durations in flags: what rclone takes, and one clear sentence for the rest."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.settings.durations import LONGEST, duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("90", 90),
        ("1.5", 1.5),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("500ms", 0.5),
        ("1m500ms", 60.5),
        ("1d1h1m1s1ms", 90061.001),
        ("366d", LONGEST),
        (" 5m ", 300),
    ],
)
def test_what_is_taken(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "m", "5 m", "5M", "-5m", "+5", "5m1h", "5m5m", "5m30", "1e3", "nan", "inf", "1_000", ".5s", "5.s", "٣s"],
)
def test_what_is_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a duration such as 90s, 5m or 1h30m, got "):
        duration(text)


@pytest.mark.parametrize("text", ["367d", "999999999999", "366d1ms"])
def test_a_slip_of_years(text: str) -> None:
    with pytest.raises(ValueError, match="at most 366d"):
        duration(text)


@given(st.text("0123456789.hmsd -", max_size=12))
def test_nothing_else_is_raised(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= duration(text) <= LONGEST


@given(st.integers(0, 200), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_the_units_add_up(days: int, hours: int, minutes: int, seconds: int, thousandths: int) -> None:
    expected = ((days * 24 + hours) * 60 + minutes) * 60 + seconds + thousandths / 1000
    assert duration(f"{days}d{hours}h{minutes}m{seconds}s{thousandths}ms") == pytest.approx(expected)
