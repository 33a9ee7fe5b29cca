"""What DataHub stores is read in few requests, and what it does not show costs itself only."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from crawler.comparison.value_reader import FAILURES_IN_A_ROW, ValueReader
from crawler.datahub.client import GmsClient
from crawler.datahub.stored_values import Wanted
from crawler.errors import CredentialsRefused, ServerError
from crawler.http import Server
from crawler.http.traffic import Traffic
from crawler.settings.servers import ServerSettings
from crawler.telemetry.events import Event
from crawler.telemetry.findings.kind import Finding
from tests.gms.faults import Fault
from tests.gms.other_writers import overwrite
from tests.gms.server import Gms

MODELS = [f"urn:li:mlModel:(urn:li:dataPlatform:mlflow,m_{number},PROD)" for number in range(8)]
RUN = "urn:li:dataProcessInstance:a"
STATUS = {"removed": False}
ALL = [*(Wanted("mlModel", urn, ["status"]) for urn in MODELS), Wanted("dataProcessInstance", RUN, ["status"])]


@asynccontextmanager
async def reader_of(gms: Gms, found: list[Event], token: str | None = None) -> AsyncIterator[ValueReader]:
    for urn in (*MODELS, RUN):
        overwrite(gms, urn, "status", STATUS)
    settings = ServerSettings(url=gms.url, attempts=1, patience=0.0)
    async with Server("DataHub", settings, Traffic()) as server:
        yield ValueReader(GmsClient(server), found.append)


def samples(found: list[Event]) -> list[tuple[str, str]]:
    assert all(isinstance(each, Finding) for each in found)
    return [(each.code, each.sample.partition(": ")[0]) for each in found if isinstance(each, Finding)]


async def test_all_types_in_one_request() -> None:
    found: list[Event] = []
    async with Gms() as gms, reader_of(gms, found) as reader:
        for _ in range(2):
            stored = await reader.read([*ALL, Wanted("tag", "urn:li:tag:none", ["status"])])
            assert stored.values == {urn: {"status": STATUS} for urn in (*MODELS, RUN)}
    assert (gms.read_backs, found) == ([10, 10], [])


@pytest.mark.parametrize("options", [{"reads_several_types": False}, {}])
async def test_a_server_that_reads_one_type_at_once(options: dict[str, Any]) -> None:
    found: list[Event] = []
    async with Gms(**options) as gms, reader_of(gms, found) as reader:
        if not options:
            gms.read_script = [Fault(status=500)]
        for _ in range(2):
            assert (await reader.read(ALL)).values == {urn: {"status": STATUS} for urn in (*MODELS, RUN)}
    # Once it is known, it is not tried again.
    assert (gms.read_backs, found) == ([9, 8, 1, 8, 1], [])


@pytest.mark.parametrize("options", [{"reads_several_types": False}, {}])
async def test_what_may_not_be_read_costs_itself_only(options: dict[str, Any]) -> None:
    found: list[Event] = []
    async with Gms(unreadable={MODELS[5]}, **options) as gms, reader_of(gms, found) as reader:
        stored = await reader.read(ALL)
    assert stored.not_shown == {MODELS[5]}
    assert set(stored.values) == {*MODELS, RUN} - {MODELS[5]}
    assert samples(found) == [("not_shown", MODELS[5])]


async def test_a_server_that_shows_nothing_is_not_asked_for_each() -> None:
    found: list[Event] = []
    urns = [f"urn:li:tag:{number}" for number in range(100)]
    async with Gms(unreadable=urns) as gms, reader_of(gms, found) as reader:
        with pytest.raises(ServerError, match="unauthorized to READ"):
            await reader.read([Wanted("tag", urn, ["status"]) for urn in urns])
    assert len(found) == FAILURES_IN_A_ROW - 1
    assert len(gms.read_backs) < 4 * FAILURES_IN_A_ROW + 20


async def test_a_token_that_is_refused_ends_it() -> None:
    async with Gms(token="right") as gms, reader_of(gms, []) as reader:
        with pytest.raises(CredentialsRefused):
            await reader.read(ALL)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'{"mlModel": 1}', b'{"mlModel": [{"urn": {"value": 1}}]}'])
async def test_an_answer_that_is_none_is_named(body: bytes) -> None:
    found: list[Event] = []
    async with Gms() as gms, reader_of(gms, found) as reader:
        gms.read_rule = Fault(status=200, body=body)
        stored = await reader.read(ALL[:2])
    assert (stored.values, stored.not_shown) == ({}, set(MODELS[:2]))
    assert samples(found) == [("not_shown", urn) for urn in MODELS[:2]]
