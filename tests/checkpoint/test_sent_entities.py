"""What the state says that DataHub has: true at any moment, whenever the process ends."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.checkpoint.seen_numbers import SeenNumbers
from crawler.checkpoint.sent_entities import DIGEST_BYTES, Known, SentEntities, key_of, run_urn_of
from crawler.checkpoint.sqlite import Changes, Database
from crawler.mapping.runs import run_urn
from tests.support.examples import examples

MODEL = "urn:li:mlModel:(urn:li:dataPlatform:mlflow,fraud_1,PROD)"
DATASET = "urn:li:dataset:(urn:li:dataPlatform:mlflow,train,PROD)"
RUN = run_urn("a" * 32)
MANY = 1_300
"""More than are taken over at once."""


def digest(value: str) -> bytes:
    return value.encode().ljust(DIGEST_BYTES, b".")


A, B, C = map(digest, "abc")


@contextmanager
def opened(path: Path, seen: SeenNumbers | None = None) -> Iterator[SentEntities]:
    with closing(Database(path)) as database:
        yield SentEntities(database, seen)


def save(sent: SentEntities) -> None:
    """As the checkpoint does it once a second."""
    sent._database.write(Changes(settings={}), sent.write)


def test_what_was_delivered_is_known_to_the_next_crawl(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as sent:
        assert sent.of([MODEL, RUN]) == [Known(), Known()]
        sent.add(MODEL, A + B)
        sent.add(RUN, C)
        sent.add(MODEL, C)
        sent.note(MODEL, b"noted")
        save(sent)
    for _ in range(2):
        with opened(tmp_path / "state") as sent:
            assert sent.of([RUN, "urn:li:tag:none", MODEL]) == [Known(C), Known(), Known(A + B + C, b"noted")]


def test_what_was_not_saved_is_not_known(tmp_path: Path) -> None:
    with opened(tmp_path / "state") as sent:
        sent.add(MODEL, A)
    with opened(tmp_path / "state") as sent:
        assert sent.of([MODEL]) == [Known()]


@pytest.mark.parametrize("urn", [MODEL, RUN])
def test_a_value_is_forgotten_before_another_one_is_sent(tmp_path: Path, urn: str) -> None:
    """A process that is killed in between leaves DataHub with the one or the other, and a state that claims neither."""
    with opened(tmp_path / "state") as sent:
        sent.add(urn, A + B)
        sent.note(urn, b"noted")
        save(sent)
    with opened(tmp_path / "state") as sent:
        sent.begin({urn: B}, known=True)
    with opened(tmp_path / "state") as sent:
        assert sent.of([urn]) == [Known(B)]
        sent.begin({urn: B}, known=True)
        sent.add(urn, C)
        save(sent)
    with opened(tmp_path / "state") as sent:
        assert sent.of([urn]) == [Known(B + C)]


def test_an_entity_that_comes_twice_in_a_crawl_is_sent_twice(tmp_path: Path) -> None:
    """Else the second value could be taken for the first one, which the state still has."""
    with opened(tmp_path / "state") as sent:
        sent.add(DATASET, A)
        save(sent)
    with opened(tmp_path / "state") as sent:
        sent.begin({DATASET: b""}, known=True)
        sent.add(DATASET, B)
        assert sent.of([DATASET]) == [Known()]
        sent.begin({DATASET: b""}, known=False)
        sent.add(DATASET, A)
        save(sent)
    with opened(tmp_path / "state") as sent:
        assert sent.of([DATASET]) == [Known(A)]


def test_many_are_taken_over_in_parts_and_once_more_where_that_was_cut_off(tmp_path: Path) -> None:
    urns = [run_urn(f"{number:032x}") for number in range(MANY)]
    path = tmp_path / "state"
    with opened(path) as sent:
        for urn in urns:
            sent.add(urn, A)
        for urn in urns:
            sent.add(urn, digest(urn[-6:]))
        save(sent)
    before = path.read_bytes()
    with opened(path) as sent:
        whole = sent.of(urns)
        assert whole == [Known(A + digest(urn[-6:])) for urn in urns]
        assert sent.numbers == 2 * MANY
    path.write_bytes(before)
    with closing(Database(path)) as database:
        sent = SentEntities.__new__(SentEntities)
        sent._database, sent.numbers = database, 0
        # As far as the first part: then the process is killed.
        entries = next(database.stream("SELECT *, rowid FROM sent_log ORDER BY key, rowid"))
        database.write(Changes(settings={}), lambda connection: sent._merge(connection, entries, 0))
    with opened(path) as sent:
        assert sent.of(urns) == whole


def test_what_a_crawl_did_not_meet_is_told(tmp_path: Path) -> None:
    runs = [run_urn(f"{number:032x}") for number in range(9)]
    others = [f"urn:li:tag:{number}" for number in range(3)]
    path = tmp_path / "state"
    with opened(path) as sent:
        for urn in [*runs, *others]:
            sent.add(urn, A)
        save(sent)
    with opened(path, SeenNumbers()) as sent:
        known = sent.numbers
        sent.of([*runs[:4], *others[:1]])
        new = run_urn("f" * 32)
        sent.of([new])
        sent.add(new, A)
        save(sent)
        kept = {block: bits for block, bits, _ in sent._database.rows("SELECT * FROM seen")}
    # The crawl is killed, and another one goes on with it: what is new since has a number too.
    with opened(path, SeenNumbers(kept)) as sent:
        sent.of(runs[4:6])
        assert {run_urn_of(key) for key in sent.unseen(known, runs=True)} == set(runs[6:])
        gone = [*sent.unseen(known, runs=False)]
        assert gone == sorted(map(key_of, others[1:]))
        sent.forget(gone)
        assert sent.of(others) == [Known(A), Known(), Known()]
        assert not [*sent.unseen(known, runs=False)]


def test_a_damaged_row_is_of_an_entity_that_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with opened(path) as sent:
        sent.add(MODEL, A)
        sent.add(RUN, A)
        save(sent)
    with opened(path):
        pass
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE sent SET digests = ?, number = 7 WHERE key = ?", (B, key_of(RUN)))
        database.commit()
    with opened(path, SeenNumbers()) as sent:
        assert sent.of([MODEL, RUN]) == [Known(A), Known()]
        assert not [*sent.unseen(100, runs=True)], "a run that is there must not be taken for a purged one"


def test_a_damaged_entry_of_the_log_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state"
    with opened(path) as sent:
        sent.add(MODEL, A)
        sent.add(MODEL, B)
        save(sent)
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE sent_log SET digests = ? WHERE rowid = 2", (C,))
        database.commit()
    with opened(path) as sent:
        assert sent.of([MODEL]) == [Known()]


@pytest.mark.parametrize(
    "urn",
    [
        "urn:li:dataProcessInstance:",
        "urn:li:dataProcessInstance:0123",
        "urn:li:dataProcessInstance:" + "A" * 32,
        "urn:li:dataProcessInstance:" + "0 " * 16,
        "urn:li:dataProcessInstance:" + "é" * 32,
        "urn:li:tag:\ud800",
        MODEL,
    ],
)
def test_only_the_key_of_a_run_holds_its_urn(urn: str) -> None:
    assert run_urn_of(key_of(RUN)) == RUN
    assert len(key_of(urn)) == len(key_of(RUN)) == 17
    assert key_of(urn)[:1] != key_of(RUN)[:1]


def test_a_digest_is_found_at_its_place_only() -> None:
    known = Known(b"0123456789abcdeffedcba987654321089abcdef01234567")
    assert known.has(b"89abcdef01234567")
    assert known.has(b"0123456789abcdef")
    assert not known.has(b"89abcdeffedcba98")
    assert not known.has(b"a" * DIGEST_BYTES)


STEPS = st.lists(
    st.tuples(st.sampled_from(["begin", "add", "note", "save", "reopen"]), st.sampled_from([MODEL, RUN]), st.text("ab"))
)


@examples(100)
@given(STEPS)
def test_it_is_what_a_plain_model_of_it_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, str]]
) -> None:
    """The rows of `sent` are a fold of what was noted, in its order, however often it is saved and taken over."""
    path = tmp_path_factory.mktemp("model") / "state"
    model: dict[str, tuple[set[bytes], bytes]] = {}
    steps = [*steps, ("reopen", MODEL, "")]
    database = Database(path)
    sent = SentEntities(database)
    for what, urn, values in steps:
        digests = [*map(digest, dict.fromkeys(values))]
        found, note = model.get(urn, (set(), b""))
        match what:
            case "begin":
                sent.begin({urn: b"".join(digests)}, known=True)
                model[urn] = (set(digests), b"")
            case "add":
                sent.add(urn, b"".join(digests))
                model[urn] = (found | set(digests), note)
            case "note":
                sent.note(urn, values.encode())
                model[urn] = (found, values.encode())
            case "save":
                save(sent)
            case "reopen":
                save(sent)
                database.close()
                database = Database(path)
                sent = SentEntities(database)
                for each, known in zip((MODEL, RUN), sent.of([MODEL, RUN]), strict=True):
                    parts = [known.digests[at : at + DIGEST_BYTES] for at in range(0, len(known.digests), DIGEST_BYTES)]
                    assert len(parts) == len(set(parts))
                    assert (set(parts), known.note) == model.get(each, (set(), b""))
    database.close()
