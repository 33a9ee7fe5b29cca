"""Files of proposals read back: whatever wrote them, in pieces of any size, whole, damaged or cut off."""

import asyncio
import json
import tracemalloc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from datahub.emitter.mcp import MetadataChangeProposalWrapper
from datahub.ingestion.api.common import PipelineContext, RecordEnvelope
from datahub.ingestion.sink.file import FileSink as OfficialFileSink
from datahub.ingestion.sink.file import FileSinkConfig
from datahub.metadata.schema_classes import StatusClass, TagPropertiesClass
from hypothesis import given
from hypothesis import strategies as st

from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.proposals import Proposal, SystemMetadata, encode_system_metadata
from crawler.delivery.dead_letters import DeadLetters
from crawler.http.traffic import Traffic
from crawler.proposal_files import proposal_reader
from crawler.proposal_files.proposal_json import FiledProposal
from crawler.proposal_files.proposal_reader import ProposalReader, UnreadablePart
from crawler.settings.crawl import DeliverySettings
from crawler.settings.sinks import FileSettings
from crawler.sinks import Sink, open_sink
from crawler.telemetry.report import Report
from crawler.telemetry.timing import Timing
from tests.support.dead_letters import ORIGIN

SYSTEM_METADATA = encode_system_metadata(SystemMetadata(1_700_000_000_000, "r"))

texts = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(['"', "\\", "}\n{", "\u2028", "[", "]},"])
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
aspects = st.dictionaries(texts, values, max_size=4).map(msgspec.json.encode)
proposals = st.builds(
    Proposal,
    st.sampled_from(["tag", "mlModel", "dataProcessInstance"]),
    texts.map(lambda text: f"urn:li:tag:{text}"),
    st.sampled_from(["status", "tagProperties"]),
    aspects,
)
many = st.lists(proposals, max_size=6)
sizes = st.integers(1, 80) | st.just(1 << 18)


def read(data: bytes, size: int = 1 << 18) -> list[FiledProposal | UnreadablePart]:
    reader = ProposalReader()
    found = [item for at in range(0, len(data), size) for item in reader.feed(data[at : at + size])]
    return [*found, *reader.end()]


def written_by_file_sink(letters: list[Proposal], path: Path, *, nested: bool) -> bytes:
    async def write() -> None:
        settings = DeliverySettings(run_id="r", sink=FileSettings(path=path, nested_json=nested))
        async with open_sink(settings, SYSTEM_METADATA, Traffic(), Timing(), lambda _: None) as sink:
            parcels = [EncodedEntity(each.entity_type, each.urn, [encoded(sink, each)]) for each in letters]
            await sink.write(Batch(parcels, len(parcels), 0))

    asyncio.run(write())
    return path.read_bytes()


def encoded(sink: Sink, proposal: Proposal) -> bytes:
    head = sink.wire.encode_entity_key(proposal.entity_type, proposal.urn)
    return head + sink.wire.encode_aspect(proposal.aspect_name, proposal.aspect)


def written_as_dead_letters(letters: list[Proposal], path: Path) -> bytes:
    path.unlink(missing_ok=True)
    DeadLetters(path, ORIGIN, Report("r")).write(
        letters, code="refused_422", reason='It said "no"\nand more.', status=422
    )
    return path.read_bytes() if letters else b""


def in_file(proposal: Proposal) -> dict[str, Any]:
    return {
        "entityType": proposal.entity_type,
        "entityUrn": proposal.urn,
        "changeType": "UPSERT",
        "aspectName": proposal.aspect_name,
        "aspect": {"json": json.loads(proposal.aspect)},
    }


def of(found: Iterable[FiledProposal | UnreadablePart]) -> list[Proposal]:
    letters = list(found)
    assert [each for each in letters if isinstance(each, UnreadablePart)] == []
    return [each.proposal for each in letters if isinstance(each, FiledProposal)]


def tag(number: int, **more: Any) -> dict[str, Any]:
    name = f"tag {number}"
    return in_file(Proposal("tag", f"urn:li:tag:{number}", "tagProperties", json.dumps({"name": name}).encode())) | more


def numbers(found: list[FiledProposal | UnreadablePart]) -> list[int]:
    return [int(each.proposal.urn.rpartition(":")[2]) for each in found if isinstance(each, FiledProposal)]


def failures(found: list[FiledProposal | UnreadablePart]) -> list[str]:
    return [f"{each.where}: {each.reason}" for each in found if isinstance(each, UnreadablePart)]


@given(many, sizes, st.booleans())
def test_what_the_file_sink_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, letters: list[Proposal], size: int, nested: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "array.json"
    assert of(read(written_by_file_sink(letters, path, nested=nested), size)) == letters


@given(many, sizes)
def test_dead_letters_are_read_back_with_their_code(
    tmp_path_factory: pytest.TempPathFactory, letters: list[Proposal], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "letters.jsonl"
    found = read(written_as_dead_letters(letters, path), size)
    assert of(found) == letters
    assert all(isinstance(each, FiledProposal) and each.code == "refused_422" for each in found)


@given(many, sizes, st.sampled_from([None, 0, 1, 2, 4, "\t"]), st.booleans())
def test_any_way_to_write_a_list_is_read(
    letters: list[Proposal], size: int, indent: int | str | None, ascii_only: bool
) -> None:
    data = json.dumps(list(map(in_file, letters)), indent=indent, ensure_ascii=ascii_only).encode()
    found = of(read(data, size))
    assert [in_file(each) for each in found] == [in_file(each) for each in letters]


def test_a_file_of_datahubs_own_sink(tmp_path: Path) -> None:
    for nested in (False, True):
        path = tmp_path / f"{nested}.json"
        sink = OfficialFileSink(
            PipelineContext(run_id="r"), FileSinkConfig(filename=str(path), legacy_nested_json_string=nested)
        )
        for number in range(3):
            for aspect in (TagPropertiesClass(name=f"t{number}"), StatusClass(removed=False)):
                proposal = MetadataChangeProposalWrapper(entityUrn=f"urn:li:tag:{number}", aspect=aspect)
                sink.write_record_async(RecordEnvelope(proposal, {}), None)
        sink.close()
        found = of(read(path.read_bytes(), 100))
        assert [(each.entity_type, each.urn, each.aspect_name) for each in found] == [
            ("tag", f"urn:li:tag:{number}", name) for number in range(3) for name in ("tagProperties", "status")
        ]
        assert [json.loads(each.aspect) for each in found[:2]] == [{"name": "t0"}, {"removed": False}]


def test_an_aspect_keeps_its_bytes() -> None:
    aspect = b'{"a":1.50,  "b":[1e2],"c":"\\u00e9\xc3\xa9"}'
    line = b'{"entityType":"tag","entityUrn":"urn:li:tag:1","aspectName":"status","aspect":{"json":%b}}\n' % aspect
    assert [each.aspect for each in of(read(line))] == [aspect]


def damaged() -> Iterator[Any]:
    """Lines of which one is wrong; the numbers are of the tags that can still be read."""
    good = [json.dumps(tag(number)).encode() for number in range(1, 5)]
    second = good[1]
    for name, wrong in {
        "no JSON at all": b"hello",
        "a brace too few": second[:-1],
        "three braces too few": second[:-3],
        "a brace in between": second.replace(b', "aspectName"', b'}, "aspectName"'),
        "a quote too few": second.replace(b'"UPSERT"', b'"UPSERT'),
        "a quote too many": second.replace(b'"UPSERT"', b'"UPSERT""'),
        "cut off": second[:70],
        "cut off after a text": second[: second.index(b'"entityUrn"')],
        "not UTF-8": second.replace(b"tag 2", b"tag \xff"),
        "a control character": second.replace(b"tag 2", b"tag \x01"),
        "another type": second.replace(b'"urn:li:tag:2"', b"2"),
        "no URN": second.replace(b"entityUrn", b"entityUrm").replace(b'"tag"', b'""'),
        "a type that is none": second.replace(b'"tag"', b'"tag\\",\\"x"'),
        "numbers": b"1, 2",
        "deep": second.replace(b'"tag 2"', b'{"a":' * 12_000 + b"1" + b"}" * 12_000),
        "a deletion": json.dumps(tag(2, changeType="DELETE")).encode(),
        "no aspect": json.dumps(tag(2, aspect=None)).encode(),
        "a patch": json.dumps(tag(2, aspect={"value": "[]", "contentType": "application/json-patch+json"})).encode(),
        "text that is no JSON": json.dumps(tag(2, aspect={"value": "{"})).encode(),
        "an aspect that is no object": json.dumps(tag(2, aspect={"json": [1]})).encode(),
        "a snapshot": b'{"proposedSnapshot": {"com.linkedin.x": {"urn": "urn:li:tag:2", "aspects": []}}}',
    }.items():
        yield pytest.param([good[0], wrong, *good[2:]], id=name)


@pytest.mark.parametrize("size", [7, 100, 1 << 18])
@pytest.mark.parametrize("lines", list(damaged()))
def test_a_broken_line_is_named_and_the_others_are_read(lines: list[bytes], size: int) -> None:
    found = read(b"\n".join(lines) + b"\n", size)
    assert numbers(found) == [1, 3, 4]
    (failure,) = failures(found)
    assert failure.startswith(f"line 2 (from byte {len(lines[0]) + 2} on): ")


@pytest.mark.parametrize("wrong", [b'"name": "tag 2', b'"name": tag 2"', b'"name": {"tag 2"'])
def test_a_broken_object_of_many_lines_is_named_once_and_the_others_are_read(wrong: bytes) -> None:
    data = json.dumps([tag(number, tags=[{"a": [{}]}]) for number in range(1, 5)], indent=4).encode()
    found = read(data.replace(b'"name": "tag 2"', wrong), 50)
    assert numbers(found) == [1, 3, 4]
    assert "line" in failures(found)[0]


TORN = json.dumps(tag(1)).encode()


@pytest.mark.parametrize("line", [TORN[:100], TORN[:-1], b'{"k":[', b'{"k":', b'{"k":"', b"{}", b"{"])
def test_a_broken_line_costs_the_same_however_many_there_are(line: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = 0

    def scan(text: str) -> tuple[Any, int]:
        nonlocal scanned
        scanned += len(text)
        return json.JSONDecoder().raw_decode(text)

    monkeypatch.setattr(proposal_reader, "_scan", scan)
    found = read((line + b"\n") * 10_000 + TORN + b"\n")
    assert numbers(found) == [1]
    assert failures(found)[-1].split(" (")[0] in {"lines 1 to 10000", "line 10000"}
    assert scanned < 10_001 * proposal_reader.FIRST_SCAN_BYTES


def test_what_stands_behind_a_proposal_is_named_and_the_proposal_is_read() -> None:
    found = read(b"\n".join(json.dumps(tag(number)).encode() + b"}" * (number == 2) for number in (1, 2, 3)))
    assert numbers(found) == [1, 2, 3]
    assert failures(found) == ["line 2 (from byte 290 on): no proposal begins here"]


def test_objects_in_one_line_are_read_around_a_broken_one() -> None:
    found = read(json.dumps([tag(1), tag(2, entityType="?"), {"x": 1}, tag(4)]).encode(), 33)
    assert numbers(found) == [1, 4]
    assert len(failures(found)) == 2


@pytest.mark.parametrize("size", [1, 64, 1 << 18])
def test_a_last_line_that_was_cut_off_is_named(size: int) -> None:
    whole = b"".join(json.dumps(tag(number)).encode() + b"\n" for number in (1, 2))
    cuts = range(len(whole) // 2 + 1, len(whole) - 1)
    for cut in cuts[:: 20 if size == 1 else 1]:
        found = read(whole[:cut], size)
        assert numbers(found) == [1]
        (failure,) = failures(found)
        assert failure.startswith("line 2 (from byte ")
        assert "cut off" in failure
    assert failures(read(whole[:-1], size)) == []


def test_a_list_without_its_end_is_named_although_all_of_it_is_read() -> None:
    whole = b"[\n" + b",\n".join(json.dumps(tag(number)).encode() for number in (1, 2))
    assert numbers(read(whole)) == [1, 2]
    assert "the list has no end" in failures(read(whole))[0]
    assert failures(read(whole + b"\n]\n")) == failures(read(whole + b"]")) == failures(read(b"[]")) == []


def test_what_a_crash_left_behind_does_not_swallow_the_next_letter() -> None:
    lines = [json.dumps(tag(number)).encode() for number in range(1, 5)]
    found = read(lines[0] + b"\n" + lines[1][:-1] + b"\n" + lines[2][:30] + b"\n" + lines[3] + b"\n")
    assert numbers(found) == [1, 4]
    assert failures(found)[0].startswith("lines 2 to 3 ")


def test_lists_and_lines_one_behind_the_other() -> None:
    data = json.dumps([tag(1), tag(2)], indent=2) + "\n" + json.dumps(tag(3)) + "\r\n\n" + json.dumps([tag(4)])
    assert numbers(read(data.encode())) == [1, 2, 3, 4]
    assert failures(read(data.encode())) == []


def test_nothing_is_nothing() -> None:
    assert read(b"") == read(b"\n \n") == read(b"\xef\xbb\xbf") == []


@given(st.lists(proposals, min_size=1, max_size=4), st.data(), sizes)
def test_any_damage_ends_in_named_failures(letters: list[Proposal], data: st.DataObject, size: int) -> None:
    indent = data.draw(st.sampled_from([None, 2]))
    content = bytearray(json.dumps(list(map(in_file, letters)), indent=indent).encode())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["change", "remove", "insert"])):
            case "change":
                content[at] = data.draw(st.integers(0, 255))
            case "remove":
                del content[at : at + data.draw(st.integers(1, 9))]
            case _:
                content[at:at] = data.draw(st.binary(max_size=9) | st.sampled_from([b"{", b'"', b"}", b"\n", b"]"]))
        if not content:
            break
    for found in read(bytes(content), size):
        if isinstance(found, FiledProposal):
            assert isinstance(json.loads(found.proposal.aspect), dict)
        else:
            assert found.where.startswith("line")


@given(many, st.integers(0, 5), st.binary(max_size=30).filter(lambda junk: b"\n" not in junk), sizes)
def test_a_broken_line_costs_no_other(letters: list[Proposal], place: int, junk: bytes, size: int) -> None:
    lines = [json.dumps(in_file(each)).encode() for each in letters]
    lines.insert(place, junk)
    found = read(b"\n".join(lines), size)
    assert [in_file(each.proposal) for each in found if isinstance(each, FiledProposal)] == list(map(in_file, letters))


@pytest.mark.slow
@pytest.mark.parametrize(("indent", "count"), [(None, 200_000), (4, 20_000)])
def test_reading_takes_the_same_memory_whatever_the_length(indent: int | None, count: int) -> None:
    reader, seen, tenth = ProposalReader(), 0, 0
    line = json.dumps(tag(1), indent=indent).encode() + b",\n"
    piece = line * ((1 << 18) // len(line))
    tracemalloc.start()
    while seen < count:
        seen += len(of(reader.feed(piece)))
        if not tenth and seen > count / 10:
            tenth = tracemalloc.get_traced_memory()[1]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(reader.end()) == []
    assert most < 3_000_000
    assert most < 1.1 * tenth


@pytest.mark.slow
def test_an_object_without_end_does_not_fill_the_memory() -> None:
    reader = ProposalReader()
    tracemalloc.start()
    found = [item for _ in range(80) for item in reader.feed(b'{"a":' + b'{"b":[1,2,3],"c":"%b",' % (b"." * 999) * 800)]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert any("more than" in failure for failure in failures(found))
    assert most < 150_000_000
