"""Names that are chosen by pattern: as DataHub's AllowDenyPattern chooses them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.config.load_selection import load_pattern
from crawler.config.patterns import ALL, AllowDeny
from crawler.config.remarks import Remarks
from tests.support.examples import examples

PARTS = st.sampled_from(["team-a", "TEAM", "a", ".*", "team-.", "^b", "x$", "[ab]", "(?:a|b)+"])
NAMES = st.text("abtemx-ABT", max_size=8)


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        (ALL, ["default", "team-a", "team-ab", "TEAM-C", ""]),
        (AllowDeny(allow=("team-a",)), ["team-a", "team-ab"]),
        (AllowDeny(allow=("team-a$", "default")), ["default", "team-a"]),
        (AllowDeny(deny=("team",)), ["default", ""]),
        (AllowDeny(deny=("team",), ignore_case=False), ["default", "TEAM-C", ""]),
        (AllowDeny(allow=("team",), deny=("team-a",)), ["TEAM-C"]),
        (AllowDeny(allow=()), []),
    ],
)
def test_which_names_are_chosen(pattern: AllowDeny, chosen: list[str]) -> None:
    names = ["default", "team-a", "team-ab", "TEAM-C", ""]
    assert [name for name in names if pattern.allows(name)] == chosen


@examples(100)
@given(allow=st.lists(PARTS, max_size=3), deny=st.lists(PARTS, max_size=2), ignore_case=st.booleans(), name=NAMES)
def test_datahubs_own_pattern_chooses_the_same(allow: list[str], deny: list[str], ignore_case: bool, name: str) -> None:
    from datahub.configuration.common import AllowDenyPattern  # noqa: PLC0415  takes a second

    options = {"allow": allow, "deny": deny, "ignoreCase": ignore_case}
    remarks = Remarks()
    ours = load_pattern(options, "source.config.workspace_pattern", remarks)
    remarks.raise_errors()
    assert ours.allows(name) == AllowDenyPattern(**options).allowed(name)
