"""Delivered means verified: whatever the queue's lag and whatever is lost, each entity is found or named, once."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from datahub.metadata.schema_classes import ASPECT_NAME_MAP
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from crawler.datahub import readback
from crawler.datahub.aspects.aspect import Aspect
from crawler.datahub.aspects.entities import NOT_REMOVED, SubTypes, TagProperties
from crawler.datahub.aspects.runs import DataProcessInstanceRunEvent, PartitionSpec, RunResult
from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.queue_offsets import QueueOffsets
from crawler.datahub.readback import Expected, Wanted
from crawler.datahub.wire.restli import RestliWire
from crawler.delivery.outcomes import OutcomePublisher
from crawler.delivery.verification.patience import OVERTAKEN_WAIT
from crawler.delivery.verification.queue import AT_ONCE, LONGEST_PAUSE, MOMENT
from crawler.delivery.verification.read_back import BYTES_AT_ONCE, MAX_IN_MEMORY, ReadBack
from crawler.errors import (
    AnswerTooLarge,
    CredentialsRefused,
    DecodeError,
    OutputError,
    RequestRefused,
    Unreachable,
    WrongServer,
)
from crawler.telemetry.events import Event, Outcome, Outcomes, tell_all
from crawler.telemetry.report import Report
from tests.simulation.virtual_clock import run_virtually
from tests.support.examples import examples

Key = tuple[str, str]
WIRE = RestliWire(encode_system_metadata(SystemMetadata(1, "r")))
EVENT = DataProcessInstanceRunEvent(
    timestamp_millis=1,
    status="COMPLETE",
    result=RunResult(type="SUCCESS", native_result_type="mlflow"),
    partition_spec=PartitionSpec(partition="a", type="FULL_TABLE"),
)
SUBTYPES = SubTypes(type_names=["x"])


class Datahub:
    """What a sink offers of its store, on the loop's clock. What is sent can be read `lag` seconds later; `lost` never,
    unless it is written again and not in `refused`.
    """

    queued = True

    def __init__(
        self,
        *,
        each_aspect: bool = False,
        lag: float = 0.0,
        confirm_wait: float = 900.0,
        max_unconfirmed: int = 1_000_000_000,
    ) -> None:
        self.each_aspect = each_aspect
        self.confirm_wait = confirm_wait
        self.max_unconfirmed = max_unconfirmed
        self.verification_method = "stored" if each_aspect else "read back"
        self.offsets: Callable[[], QueueOffsets | None] = lambda: None
        self.equal: set[Key] = set()
        self.lag: Callable[[Key], float] = lambda _: lag
        self.lost: set[Key] = set()
        self.refused: set[Key] = set()
        self.error: Callable[[str, Wanted], Exception | None] = lambda _type, _wanted: None
        self.asked: list[tuple[float, str, int]] = []
        self.written_again: list[Key] = []
        self.in_flight = self.peak = 0
        self._there: dict[Key, float] = {}

    def take(self, entity: EncodedEntity) -> None:
        for key in keys(entity):
            if key not in self.lost:
                self._there[key] = now() + self.lag(key)

    async def queue_offsets(self) -> QueueOffsets | None:
        return self.offsets()

    async def read_back(
        self, entity_type: str, wanted: Wanted, *, since: int | None = None, expected: Expected | None = None
    ) -> set[Key]:
        assert since is None
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(0.05)
        self.in_flight -= 1
        self.asked.append((now(), entity_type, len(wanted)))
        assert all(f":{entity_type}:" in urn for urn in wanted)
        assert not any(name in readback.TIMESERIES for names in wanted.values() for name in names)
        if error := self.error(entity_type, wanted):
            raise error
        asked = {(urn, name) for urn, names in wanted.items() for name in names}
        there = {key for key in asked if self._there.get(key, now() + 1) <= now()}
        equal = asked & self.equal if expected is not None else set()
        return there | equal | {("urn:li:tag:other", "status")}

    async def write_again(self, entities: Sequence[EncodedEntity]) -> None:
        for entity in entities:
            self.written_again += keys(entity)
            self._there |= {key: now() for key in keys(entity) if key not in self.refused}


class Told(OutcomePublisher):
    """What became of each entity."""

    def __init__(self, store: Datahub) -> None:
        self.store = store
        self.report = Report("r")
        super().__init__(WIRE, self.report, None)
        self.confirmed: list[EncodedEntity] = []
        self.how: Counter[str] = Counter()
        self.proofs: dict[str, str] = {}
        self.missing: dict[str, list[str]] = {}
        self.in_doubt: dict[str, list[str]] = {}
        self.reading = ReadBack(store, WIRE, self, self.report)
        self.seconds = 0.0

    async def crawl(self, entities: Sequence[EncodedEntity], *, each: int = 50, pause: float = 0.0) -> None:
        """Sends them in batches, `pause` seconds apart, to the end."""
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(self.reading.run())
            for first in range(0, len(entities), each):
                await self.send(entities[first : first + each])
                await asyncio.sleep(pause)
            closed = now()
            self.reading.close()
            await running
        self.seconds = now() - closed
        self.sync()
        finished = Counter([entity.urn for entity in self.confirmed] + [*self.missing, *self.in_doubt])
        assert finished == Counter(entity.urn for entity in entities), "each entity is finished once"
        assert left(self.reading) == []

    async def send(self, entities: Sequence[EncodedEntity]) -> None:
        for entity in entities:
            self.store.take(entity)
        await self.reading.sent(Batch(list(entities), sum(len(each.proposals) for each in entities), 0))

    def delivered(self, entities: Iterable[EncodedEntity], method: str | None) -> None:
        whole = [entity for entity in entities if entity.urn not in self.missing | self.in_doubt]
        self.confirmed += whole
        self.how[str(method)] += len(whole)
        self.proofs |= {entity.urn: str(method) for entity in whole}
        super().delivered(entities, method)

    def not_stored(self, entity: EncodedEntity, missing: Sequence[bytes], method: str) -> None:
        assert entity.urn not in self.missing
        self.missing[entity.urn] = list(map(WIRE.aspect_name, missing))
        super().not_stored(entity, missing, method)

    def unconfirmed(self, entity: EncodedEntity, missing: Sequence[bytes], method: str | None = None) -> None:
        assert entity.urn not in self.in_doubt
        self.in_doubt[entity.urn] = list(map(WIRE.aspect_name, missing))
        super().unconfirmed(entity, missing, method)


def left(reading: ReadBack) -> list[EncodedEntity]:
    """What is neither verified nor given up."""
    return [entity for part in reading.drain() for entity in part]


def now() -> float:
    return asyncio.get_running_loop().time()


def keys(entity: EncodedEntity) -> list[Key]:
    return [(entity.urn, WIRE.aspect_name(proposal)) for proposal in entity.proposals]


def encoded(number: int, *aspects: Aspect, kind: str = "tag") -> EncodedEntity:
    entity = Entity(kind, f"urn:li:{kind}:{number}", aspects or (SUBTYPES, NOT_REMOVED))
    return Encoder(WIRE).encode(entity)[0]


def entities(count: int, *aspects: Aspect) -> list[EncodedEntity]:
    return [encoded(number, *aspects) for number in range(count)]


def virtually(work: Coroutine[Any, Any, None]) -> None:
    async def main() -> None:
        await work

    run_virtually(main)


def refusal(status: int) -> RequestRefused:
    return RequestRefused(f"It answered {status}.", status=status)


ERRORS = [
    *map(refusal, (400, 404, 413, 500, 504)),
    WrongServer("a page"),
    DecodeError("?"),
    AnswerTooLarge("It is large."),
    Unreachable("It is slow.", timed_out=True),
]
"""What a request fails with for one entity in it."""

many = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from([(NOT_REMOVED,), (SUBTYPES, NOT_REMOVED), (EVENT,), (EVENT, SUBTYPES)])
    ),
    max_size=60,
)


@examples(200)
@given(many, st.data(), st.booleans(), st.floats(0, 2), st.integers(1, 30))
def test_each_entity_is_verified_or_missing_whatever_happens(
    drawn: list[tuple[int, tuple[Aspect, ...]]], data: st.DataObject, each_aspect: bool, pause: float, each: int
) -> None:
    sent = [encoded(n, *aspects, kind=("tag", "mlModel", "dataset")[kind]) for n, (kind, aspects) in enumerate(drawn)]
    store = Datahub(each_aspect=each_aspect, confirm_wait=100)
    readable = [key for one in sent for key in keys(one) if key[1] not in readback.TIMESERIES]
    if readable:
        store.lost = data.draw(st.sets(st.sampled_from(readable)))
        store.refused = data.draw(st.sets(st.sampled_from(readable)))
    lags = data.draw(st.lists(st.floats(0, OVERTAKEN_WAIT / 2), min_size=1, max_size=10))
    store.lag = lambda key: lags[hash(key) % len(lags)]
    told = Told(store)
    virtually(told.crawl(sent, each=each, pause=pause))
    for one in sent:
        names = {name for _, name in keys(one)}
        gone = {name for urn, name in store.lost if urn == one.urn}
        # What nothing was stored after is not written once more: it may still be in the queue.
        if each_aspect and one.urn not in told.in_doubt:
            gone = {name for name in gone if (one.urn, name) in store.refused}
        elif not each_aspect:
            smallest = min(
                (p for p in one.proposals if WIRE.aspect_name(p) not in readback.TIMESERIES), key=len, default=b""
            )
            if not smallest or WIRE.aspect_name(smallest) not in gone:
                gone = set()
        if gone and gone >= names - readback.TIMESERIES:
            gone = names
        assert set(told.missing.get(one.urn, []) + told.in_doubt.get(one.urn, [])) == gone
    assert store.peak <= 2
    assert sum(each.count for each in told.report.failures) == sum(map(len, told.missing.values()))
    assert told.report.unconfirmed == len(told.in_doubt)


@examples(200)
@given(
    st.integers(1, 80),
    st.sets(st.integers(0, 79), max_size=40),
    st.dictionaries(st.integers(0, 79), st.sampled_from([refusal(403), *ERRORS]), max_size=40),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
    st.integers(1, 80),
)
def test_no_loss_is_hidden_and_none_is_made_up_whatever_fails(
    count: int, lost: set[int], odd: dict[int, Exception], each_aspect: bool, pause: float, each: int
) -> None:
    store = Datahub(each_aspect=each_aspect, confirm_wait=100)
    store.lost = store.refused = {(f"urn:li:tag:{number}", "status") for number in lost}
    errors = {f"urn:li:tag:{number}": error for number, error in odd.items()}
    store.error = lambda _, wanted: next((errors[urn] for urn in wanted if urn in errors), None)
    told = Told(store)
    virtually(told.crawl(entities(count, NOT_REMOVED), each=each, pause=pause))
    gone = {f"urn:li:tag:{number}" for number in lost}
    assert set(told.missing) | set(told.in_doubt) <= gone | set(errors)
    for one, how in told.proofs.items():
        assert how == "status" or one not in gone | set(errors)
    warnings = [warning for warning in told.report.warnings if warning.code == "unconfirmed_by_server"]
    samples = [sample for warning in warnings for sample in warning.samples]
    if not any(sample.startswith("tag: ") for sample in samples):
        assert told.how["status"] == sum(warning.count for warning in warnings)


@pytest.mark.parametrize("each_aspect", [False, True])
def test_it_runs_beside_the_crawl_and_its_end_costs_one_round_trip(each_aspect: bool) -> None:
    store = Datahub(each_aspect=each_aspect)
    told = Told(store)
    virtually(told.crawl(entities(5 * AT_ONCE + 10), pause=0.02))
    assert told.how == {"stored" if each_aspect else "read back": 5 * AT_ONCE + 10}
    assert [count for _, _, count in store.asked] == [AT_ONCE] * 5 + [10]
    assert told.seconds < 0.06


def test_what_nothing_follows_is_asked_for_after_a_moment() -> None:
    store = Datahub()
    told = Told(store)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(told.reading.run())
            await told.send(entities(3))
            await asyncio.sleep(MOMENT + 0.06)
            assert len(told.confirmed) == 3
            told.reading.close()

    virtually(work())


def test_a_queue_that_lags_is_waited_for_with_growing_pauses() -> None:
    store = Datahub(lag=50)
    told = Told(store)
    virtually(told.crawl(entities(100)))
    assert told.how == {"read back": 100}
    times = [time for time, _, _ in store.asked]
    gaps = [round(later - earlier, 6) for earlier, later in pairwise(times)]
    assert gaps == sorted(gaps)
    assert gaps[0] < 0.5
    assert gaps[-1] <= LONGEST_PAUSE + 0.1
    assert len(times) < 20


def test_as_long_as_something_comes_the_queue_is_waited_for() -> None:
    store = Datahub()
    store.lag = lambda key: 50.0 * int(key[0].rpartition(":")[2])
    told = Told(store)
    virtually(told.crawl(entities(10)))
    assert told.missing == {}


LARGE = TagProperties(name="a", description="b" * (MAX_IN_MEMORY // 8), color_hex="c")


class TestLaggingQueue:
    """A slow queue is no failure, and holds nothing back."""

    def test_it_holds_nothing_back_and_memory_stays_flat(self) -> None:
        store = Datahub(lag=90)
        told = Told(store)
        kept: list[int] = []
        store.error = lambda *_: kept.append(told.reading._unverified.bytes)
        virtually(told.crawl(entities(100, LARGE), each=1, pause=0.1))
        assert told.how == {"read back": 100}
        assert told.report.failures == []
        assert max(kept) < MAX_IN_MEMORY * 1.3
        assert 80 < told.seconds < 100

    def test_what_waits_on_the_disk_is_bounded_and_then_sending_waits(self) -> None:
        store = Datahub(lag=30, max_unconfirmed=20_000)
        told = Told(store)
        ahead: list[int] = []
        store.error = lambda *_: ahead.append(told.report.unverified.entities)
        virtually(told.crawl(entities(100, LARGE), each=1))
        assert told.how == {"read back": 100}
        assert max(ahead) < 40

    def test_without_a_disk_sending_waits_and_that_is_told_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def full() -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("tempfile.TemporaryFile", full)
        store = Datahub(lag=30)
        told = Told(store)
        ahead: list[int] = []
        store.error = lambda *_: ahead.append(told.report.unverified.entities)
        virtually(told.crawl(entities(60, LARGE), each=1))
        assert told.how == {"read back": 60}
        assert max(ahead) < 15
        (warning,) = told.report.warnings
        assert (warning.code, warning.count) == ("unverified_in_memory", 1)
        assert "No space left on device" in warning.message

    def test_one_that_stands_still_leaves_what_was_taken_in_doubt(self) -> None:
        store = Datahub(lag=1e9)
        told = Told(store)
        virtually(told.crawl(entities(50, LARGE), each=1, pause=1))
        assert len(told.in_doubt) == 50
        assert told.report.failures == []
        assert told.report.unconfirmed == 50
        assert 850 < told.seconds < 1_000

    def test_what_was_sent_first_may_be_lost_and_hides_nothing(self) -> None:
        store = Datahub(lag=0, confirm_wait=10_000)
        store.lost = {(f"urn:li:tag:{number}", "tagProperties") for number in range(20)}
        told = Told(store)
        virtually(told.crawl(entities(60, LARGE), each=60))
        assert len(told.confirmed) == 40
        assert len(told.missing) == 20

    def test_it_is_waited_for_while_it_is_seen_to_move(self) -> None:
        store = Datahub(lag=3_000)
        store.offsets = lambda: QueueOffsets({"0": int(now())}, {"0": 1_000_000})
        told = Told(store)
        virtually(told.crawl(entities(10)))
        assert told.how == {"read back": 10}
        assert told.report.queue_lag is not None

    def test_what_it_has_passed_is_lost_at_once(self) -> None:
        store = Datahub(lag=1e9)
        store.offsets = lambda: QueueOffsets({"0": int(100 * now())}, {"0": int(100 * now() + 1_000)})
        told = Told(store)
        virtually(told.crawl(entities(10)))
        assert len(told.missing) == 10
        assert told.seconds < 40

    def test_one_whose_partition_lags_is_not_lost(self) -> None:
        store = Datahub()
        store.lag = lambda key: 600.0 if key[0].endswith("7") else 0.0
        store.offsets = lambda: QueueOffsets({"0": 5, "1": int(now())}, {"0": 5, "1": 1_000_000})
        told = Told(store)
        virtually(told.crawl(entities(10)))
        assert told.how == {"read back": 10}

    @pytest.mark.parametrize("wait", [0.0, 30.0])
    def test_a_shorter_wait_ends_sooner(self, wait: float) -> None:
        store = Datahub(lag=1e9, confirm_wait=wait)
        told = Told(store)
        virtually(told.crawl(entities(10)))
        assert len(told.in_doubt) == 10
        assert told.seconds < wait + 10

    def test_an_earlier_word_that_is_the_same_counts(self) -> None:
        store = Datahub()
        store.lost = {("urn:li:tag:1", "status"), ("urn:li:tag:2", "status"), ("urn:li:tag:2", "subTypes")}
        store.equal = {("urn:li:tag:1", "status"), ("urn:li:tag:2", "status")}
        told = Told(store)
        virtually(told.crawl(entities(3)))
        assert told.missing == {"urn:li:tag:2": ["subTypes"]}


def test_no_more_is_asked_for_at_once_than_can_be_answered() -> None:
    store = Datahub(each_aspect=True)
    told = Told(store)
    quarter = TagProperties(name="a", description="b" * (BYTES_AT_ONCE // 4), color_hex="c")
    whole = encoded(99, TagProperties(name="a", description="b" * BYTES_AT_ONCE, color_hex="c"))
    virtually(told.crawl([*entities(10, quarter), whole, encoded(100)]))
    assert told.how == {"stored": 12}
    assert [count for _, _, count in store.asked] == [3, 3, 3, 1, 1, 1]


def test_what_is_not_there_is_not_asked_for_in_larger_parts_again() -> None:
    store = Datahub(each_aspect=True, lag=5)
    told = Told(store)
    virtually(told.crawl(entities(10, TagProperties(name="a", description="b" * (BYTES_AT_ONCE // 4), color_hex="c"))))
    assert told.how == {"stored": 10}
    assert max(count for _, _, count in store.asked) == 3


class TestMissing:
    """What is not there is told exactly."""

    def test_all_of_an_entity_is_looked_for_before_it_is_given_up(self) -> None:
        store = Datahub()
        store.lost = {("urn:li:tag:1", "status"), ("urn:li:tag:2", "status"), ("urn:li:tag:2", "subTypes")}
        told = Told(store)
        virtually(told.crawl(entities(3, EVENT, SUBTYPES, NOT_REMOVED)))
        assert told.missing == {
            "urn:li:tag:1": ["status"],
            "urn:li:tag:2": ["dataProcessInstanceRunEvent", "subTypes", "status"],
        }
        (failure,) = told.report.failures
        assert (failure.code, failure.count) == ("not_stored", 4)
        assert failure.samples[0] == "urn:li:tag:1: status"

    def test_what_is_stored_after_a_second_write_is_not_missing(self) -> None:
        store = Datahub(each_aspect=True)
        store.lost = {("urn:li:tag:1", "status"), ("urn:li:tag:2", "status"), ("urn:li:tag:2", "subTypes")}
        store.refused = {("urn:li:tag:2", "status")}
        told = Told(store)
        virtually(told.crawl(entities(3)))
        assert store.written_again == [
            ("urn:li:tag:1", "status"),
            ("urn:li:tag:2", "subTypes"),
            ("urn:li:tag:2", "status"),
        ]
        assert told.missing == {"urn:li:tag:2": ["status"]}
        assert told.how == {"stored": 2}

    def test_without_a_queue_nothing_is_waited_for_long(self) -> None:
        store = Datahub()
        store.queued = False
        store.lost = {("urn:li:tag:1", "status")}
        told = Told(store)
        virtually(told.crawl(entities(3)))
        assert told.missing == {"urn:li:tag:1": ["status"]}
        assert told.seconds < 5


class TestRefused:
    """DataHub cannot be asked."""

    @pytest.mark.parametrize(
        "error",
        [
            *map(refusal, (400, 403, 404, 405, 500, 504)),
            WrongServer("a page"),
            DecodeError("?"),
            Unreachable("It is slow.", timed_out=True),
        ],
        ids=str,
    )
    def test_then_the_status_counts_and_that_is_told_once(self, error: Exception) -> None:
        store = Datahub()
        store.error = lambda _type, _wanted: error
        told = Told(store)
        virtually(told.crawl(entities(3 * AT_ONCE), pause=0.1))
        assert told.how == {"status": 3 * AT_ONCE}
        assert len(store.asked) == 3
        (warning,) = told.report.warnings
        assert (warning.code, warning.count) == ("unconfirmed_by_server", 1)
        assert warning.samples[0].startswith("tag: ")

    def test_of_one_type_only(self) -> None:
        store = Datahub()
        store.error = lambda entity_type, _: refusal(403) if entity_type == "tag" else None
        told = Told(store)
        virtually(told.crawl([*entities(5), *(encoded(number, kind="dataset") for number in range(7))]))
        assert told.how == {"status": 5, "read back": 7}

    @pytest.mark.parametrize("status", [408, 425, 429, 502, 503])
    def test_what_may_pass_is_asked_again(self, status: int) -> None:
        store = Datahub()
        store.error = lambda *_: refusal(status) if len(store.asked) < 4 else None
        told = Told(store)
        virtually(told.crawl(entities(5)))
        assert told.how == {"read back": 5}
        assert told.report.warnings == []

    @pytest.mark.parametrize("is_first", [False, True])
    @pytest.mark.parametrize("error", ERRORS, ids=str)
    def test_one_that_cannot_be_read_costs_itself(self, error: Exception, is_first: bool) -> None:
        store = Datahub()
        store.error = lambda _, wanted: error if "urn:li:tag:77" in wanted else None
        told = Told(store)
        others = [encoded(1000 + n) for n in range(AT_ONCE)]
        virtually(told.crawl([*entities(100), *others] if is_first else [*others, *entities(100)], pause=0.01))
        assert told.how == {"read back": AT_ONCE + 99}
        assert list(told.missing) == ["urn:li:tag:77"]
        assert told.report.warnings == []
        assert len(store.asked) < 60

    @pytest.mark.parametrize("is_first", [False, True])
    def test_one_that_may_not_be_seen_is_named_and_costs_itself(self, is_first: bool) -> None:
        store = Datahub()
        store.error = lambda _, wanted: refusal(403) if "urn:li:tag:77" in wanted else None
        told = Told(store)
        others = [encoded(1000 + n) for n in range(AT_ONCE)]
        virtually(told.crawl([*entities(100), *others] if is_first else [*others, *entities(100)], pause=0.01))
        assert told.how == {"read back": AT_ONCE + 99, "status": 1}
        (warning,) = told.report.warnings
        assert (warning.count, warning.samples) == (1, ["urn:li:tag:77: It answered 403."])

    def test_what_is_lost_is_found_beside_odd_ones(self) -> None:
        store = Datahub()
        odd = {f"urn:li:tag:{number}" for number in range(7, AT_ONCE, 17)}
        store.lost = {("urn:li:tag:8", "status")}
        store.error = lambda _, wanted: refusal(403) if odd & set(wanted) and len(store.asked) > 1 else None
        told = Told(store)
        others = [encoded(1000 + n) for n in range(AT_ONCE)]
        virtually(told.crawl([*others, *entities(AT_ONCE, NOT_REMOVED)], pause=0.01))
        assert list(told.missing) == ["urn:li:tag:8"]
        assert told.how == {"read back": 2 * AT_ONCE - 1 - len(odd), "status": len(odd)}

    def test_many_that_may_not_be_seen_are_not_asked_for_one_by_one(self) -> None:
        store = Datahub()
        hidden = {f"urn:li:tag:{number}" for number in range(AT_ONCE)}
        store.error = lambda _, wanted: refusal(403) if hidden & set(wanted) else None
        told = Told(store)
        others = [[encoded(first + n) for n in range(AT_ONCE)] for first in (1000, 2000)]
        virtually(told.crawl([*others[0], *entities(AT_ONCE), *others[1]], pause=0.01))
        assert told.how == {"read back": 2 * AT_ONCE, "status": AT_ONCE}
        (warning,) = told.report.warnings
        assert (warning.code, warning.count) == ("unconfirmed_by_server", AT_ONCE)
        assert len(store.asked) < 40

    @pytest.mark.parametrize(
        "error", [refusal(400), refusal(504), DecodeError("?"), Unreachable("It is slow.", timed_out=True)], ids=str
    )
    def test_a_type_that_can_no_longer_be_asked_for_is_left_to_the_status(self, error: Exception) -> None:
        store = Datahub()
        store.error = lambda *_: error if len(store.asked) > 1 else None
        told = Told(store)
        virtually(told.crawl(entities(3 * AT_ONCE), pause=0.1))
        assert told.how == {"read back": AT_ONCE, "status": 2 * AT_ONCE}
        (warning,) = told.report.warnings
        assert (warning.count, warning.samples) == (1, [f"tag: {error}"])
        assert len(store.asked) < 60

    @pytest.mark.parametrize("is_known", [False, True])
    @pytest.mark.parametrize(
        "error", [refusal(413), AnswerTooLarge("It is large."), Unreachable("It is slow.", timed_out=True)], ids=str
    )
    def test_less_is_asked_for_where_it_was_too_much(self, error: Exception, is_known: bool) -> None:
        store = Datahub()
        store.error = lambda _, wanted: error if len(wanted) > AT_ONCE // 2 and len(store.asked) > is_known else None
        told = Told(store)
        virtually(told.crawl(entities(3 * AT_ONCE), pause=0.1))
        assert told.how == {"read back": 3 * AT_ONCE}
        assert told.report.warnings == []

    def test_a_request_that_is_too_large_is_halved(self) -> None:
        store = Datahub()
        store.error = lambda _, wanted: refusal(413) if len(wanted) > 20 else None
        told = Told(store)
        virtually(told.crawl(entities(100)))
        assert told.how == {"read back": 100}

    @pytest.mark.parametrize("error", [CredentialsRefused("401"), Unreachable("gone"), OutputError("full")])
    def test_what_ends_a_crawl_is_raised_and_what_was_sent_is_kept(self, error: Exception) -> None:
        store = Datahub()
        store.error = lambda *_: error
        told = Told(store)
        sent = entities(5)

        async def work() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(told.reading.run())
                await told.send(sent)

        with pytest.raises(ExceptionGroup) as caught:
            virtually(work())
        assert caught.group_contains(type(error))
        assert left(told.reading) == sent
        assert left(told.reading) == []
        assert told.confirmed == []


def test_what_cannot_be_read_back_is_confirmed_by_status() -> None:
    store = Datahub()
    told = Told(store)
    virtually(told.crawl(entities(5, EVENT)))
    assert told.how == {"status": 5}
    assert store.asked == []


def cut(*aspects: Aspect) -> list[EncodedEntity]:
    """The pieces of one entity, one an aspect."""
    whole = encoded(0, *aspects)
    return [
        structs.replace(whole, proposals=[proposal], last=number == len(aspects))
        for number, proposal in enumerate(whole.proposals, start=1)
    ]


def published(report: Report) -> tuple[Callable[[Event], None], list[Outcome]]:
    """A listener that is the report and keeps all outcomes."""
    outcomes: list[Outcome] = []

    def keep(event: Event) -> None:
        if isinstance(event, Outcomes):
            outcomes.extend(event.entities)

    return tell_all([report, keep]), outcomes


@pytest.mark.parametrize("gone", [set(), {0}, {2}, {0, 2}], ids=str)
def test_an_entity_in_pieces_is_finished_once_with_the_last_one_that_is_found(gone: set[int]) -> None:
    pieces = cut(SUBTYPES, TagProperties("a", "b", "c"), NOT_REMOVED)
    lags = {"subTypes": 9.0, "tagProperties": 3.0, "status": 0.0}
    store = Datahub()
    store.lag = lambda key: lags[key[1]]
    store.lost = {(pieces[0].urn, ("subTypes", "", "status")[number]) for number in gone}
    report = Report("r")
    listener, outcomes = published(report)
    publisher = OutcomePublisher(WIRE, listener, None)
    reading = ReadBack(store, WIRE, publisher, listener)

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reading.run())
            for piece in pieces:
                store.take(piece)
                await reading.sent(Batch([piece], len(piece.proposals), 0))
            await asyncio.sleep(4)
            assert outcomes == [], "one piece is still under way"
            reading.close()

    virtually(work())
    publisher.sync()
    (outcome,) = outcomes
    assert (outcome.delivered, outcome.rejected + outcome.unconfirmed) == (3 - len(gone), len(gone))
    assert (report.proposals, report.rejected) == (3 - len(gone), outcome.rejected)
    assert report.unconfirmed == bool(outcome.unconfirmed) == (2 in gone), "nothing was sent after the last piece"
    assert report.delivered["tag"] == (not gone)
    assert report.confirmed["tag"] == ({} if gone else {"read back": 1})
    assert left(reading) == []


def test_an_entity_is_finished_when_its_refused_and_its_taken_pieces_are() -> None:
    report = Report("r")
    listener, outcomes = published(report)
    publisher = OutcomePublisher(WIRE, listener, None)
    begun, last = cut(SUBTYPES, NOT_REMOVED)
    publisher.refused([last], refusal(422))
    publisher.sync()
    assert outcomes == []
    publisher.delivered([begun], "read back")
    publisher.sync()
    assert outcomes == [Outcome("tag", "urn:li:tag:0", 1, 1, "read back")]
    assert report.delivered["tag"] == 0


def test_two_entities_of_one_urn_are_both_finished() -> None:
    """A file that is replayed may hold one entity twice."""
    listener, outcomes = published(Report("r"))
    publisher = OutcomePublisher(WIRE, listener, None)
    publisher.delivered([encoded(0, SUBTYPES), encoded(0, NOT_REMOVED)], "status")
    assert [outcome.delivered for outcome in outcomes] == [1, 1]


def test_nothing_sent_ends_at_once() -> None:
    told = Told(Datahub())
    virtually(told.crawl([]))
    assert told.seconds == 0


class TestWire:
    """The request, and what an answer proves."""

    def test_the_request(self) -> None:
        body = readback.body({'urn:li:tag:a"é': ["status", "subTypes"], "urn:li:tag:b": ["status"]})
        assert body.decode() == (
            '[{"urn":"urn:li:tag:a\\"é","status":{},"subTypes":{}},{"urn":"urn:li:tag:b","status":{}}]'
        )
        assert readback.path("tag") == "/openapi/v3/entity/tag/batchGet?systemMetadata=true"

    @pytest.mark.parametrize(
        ("aspect", "is_proof"),
        [
            ('{"value":{},"systemMetadata":{"lastObserved":5,"runId":"r","version":"1"}}', True),
            ('{"value":{},"systemMetadata":{"lastObserved":6},"auditStamp":{"time":1}}', True),
            ('{"value":{},"systemMetadata":{"lastObserved":4}}', False),
            ('{"value":{},"systemMetadata":{}}', False),
            ('{"value":{},"systemMetadata":null}', False),
            ('{"value":{"systemMetadata":{"lastObserved":9}}}', False),
        ],
    )
    def test_what_was_observed_by_this_crawl_is_proven(self, aspect: str, is_proof: bool) -> None:
        answer = f'[{{"urn":"urn:li:tag:a","status":{aspect}}}]'.encode()
        assert readback.prove(answer, 5).proven == ({("urn:li:tag:a", "status")} if is_proof else set())

    @pytest.mark.parametrize(
        "answer", [b"", b"{}", b"null", b"[1]", b"[{}]", b'[{"urn":5}]', b'[{"urn":"a","b":7}]', b"\xff"]
    )
    def test_what_is_no_list_of_entities_is_an_error(self, answer: bytes) -> None:
        with pytest.raises(DecodeError):
            readback.prove(answer, 5)

    def test_the_timeseries_aspects_are_those_of_datahub(self) -> None:
        of_datahub = {name for name, aspect in ASPECT_NAME_MAP.items() if aspect.ASPECT_TYPE == "timeseries"}
        assert of_datahub == readback.TIMESERIES
