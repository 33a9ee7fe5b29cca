"""The time of a crawl, told apart by who used it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.telemetry.timing import Party, Timing, slowest


class Clocks:
    """Wall and CPU time that pass as the test says."""

    def __init__(self) -> None:
        self.wall = 100.0
        self.cpu = 7.0

    def timing(self) -> Timing:
        return Timing(lambda: self.wall, lambda: self.cpu)

    def work(self, seconds: float) -> None:
        self.wall += seconds
        self.cpu += seconds

    def wait(self, seconds: float) -> None:
        self.wall += seconds


def test_time_goes_to_who_used_it() -> None:
    clocks = Clocks()
    timing = clocks.timing()
    clocks.work(1)
    timing.wait_for("mlflow")
    clocks.wait(5)
    with timing.stage("decode"):
        clocks.work(2)
    timing.wait_for("datahub")
    clocks.wait(3)
    with timing.stage("send"):
        clocks.work(4)
    timing.wait_for("other")
    clocks.wait(6)
    assert timing.to_dict() == {
        "cpu_s": {"total": 7, "decode": 2, "map": 0, "transform": 0, "encode": 0, "send": 4, "other": 1},
        "waiting_s": {"mlflow": 5, "datahub": 3, "queue": 0, "rate": 0, "disk": 0, "other": 6},
    }


def test_the_disk_is_waited_for_only_in_between() -> None:
    clocks = Clocks()
    timing = clocks.timing()
    timing.wait_for("queue")
    clocks.wait(1)
    with timing.on_disk():
        clocks.wait(2)
    clocks.wait(4)
    shares = timing.shares()
    assert (shares["queue"], shares["disk"]) == (5, 2)


steps = st.tuples(st.sampled_from(["mlflow", "datahub", "other"]), st.floats(0, 100), st.floats(0, 100))


@given(st.lists(steps))
def test_shares_add_up_to_the_time_that_passed(steps: list[tuple[Party, float, float]]) -> None:
    clocks = Clocks()
    timing = clocks.timing()
    for party, worked, waited in steps:
        timing.wait_for(party)
        clocks.work(worked)
        clocks.wait(waited)
    assert sum(timing.shares().values()) == pytest.approx(clocks.wall - 100)


def test_what_limits_the_crawl_is_told_of_the_last_while_only() -> None:
    clocks = Clocks()
    timing = clocks.timing()
    timing.wait_for("mlflow")
    clocks.wait(100)
    before = timing.shares()
    timing.wait_for("datahub")
    clocks.wait(5)
    clocks.work(2)
    assert slowest(before, timing.shares()) == "DataHub answers slowest"
    before = timing.shares()
    clocks.work(2)
    assert slowest(before, timing.shares()) == "this crawler's CPU is the limit"
