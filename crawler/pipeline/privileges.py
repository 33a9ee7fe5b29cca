"""Which privileges DataHub's user lacks for a crawl, tried without a change."""

from collections.abc import Sequence

import msgspec

from crawler.datahub import privileges, readback, scroll, timeseries
from crawler.datahub.client import GmsClient
from crawler.datahub.wire import openapi, restli
from crawler.datahub.wire.protocol import WriteRequest
from crawler.errors import DecodeError, RequestRefused
from crawler.removal.checkpoint_state import OFFICIAL_JOB, checkpoint_query
from crawler.settings.sinks import Endpoint, RestSettings
from crawler.sinks.gms import needs_lookup

CREATE = "create"
CHANGE = "change or soft-delete"
READ_BACK = "read back"
READ_CHECKPOINT = "read the checkpoint"
NEEDED = frozenset({CREATE, CHANGE})
"""Without these a crawl fails; without the others it knows less."""


class MissingPrivilege(msgspec.Struct, frozen=True):
    """Something that DataHub's user may not do with entities of some types, and DataHub's words."""

    to: str
    entity_types: list[str]
    answer: str


async def missing_privileges(
    client: GmsClient, sink: RestSettings, checkpoint_of: str | None
) -> list[MissingPrivilege]:
    """Return what the user may not do of what a crawl with this sink does.

    Writing is tried by what GMS refuses for another reason, reading with entities that do not exist. `checkpoint_of`
    is the pipeline whose checkpoint it reads here, if it reads one. Raises CrawlerError where GMS does not answer.
    """
    missing = await (_by_openapi(client) if sink.endpoint is Endpoint.OPENAPI else _by_restli(client))
    if needs_lookup(sink):
        missing += await _reading_back(client)
    if checkpoint_of is not None:
        query = checkpoint_query(checkpoint_of, OFFICIAL_JOB)
        request = WriteRequest(timeseries.PATH, query, restli.HEADERS)
        if (refusal := await client.forbids(request)) is not None:
            missing.append(MissingPrivilege(READ_CHECKPOINT, ["dataJob"], refusal.message))
    return missing


async def _by_restli(client: GmsClient) -> list[MissingPrivilege]:
    missing = []
    nobody = list(privileges.NOBODY.values())
    for to, urns in ((CREATE, nobody), (CHANGE, await _existing(client))):
        if urns and (refusal := await client.forbids(privileges.write_of_nothing(urns))) is not None:
            missing.append(MissingPrivilege(to, privileges.refused(refusal.body, urns), refusal.message))
    return missing


async def _by_openapi(client: GmsClient) -> list[MissingPrivilege]:
    """Write nothing of each type, for which GMS wants the privilege to create entities of the type."""
    requests = {each: WriteRequest(openapi.path(each, asynchronous=False), b"[]") for each in privileges.NOBODY}
    return await _forbidden(client, CREATE, requests)


async def _reading_back(client: GmsClient) -> list[MissingPrivilege]:
    requests = {
        entity_type: WriteRequest(readback.path(entity_type), readback.body({urn: ["status"]}))
        for entity_type, urn in privileges.NOBODY.items()
    }
    return await _forbidden(client, READ_BACK, requests)


async def _forbidden(client: GmsClient, to: str, requests: dict[str, WriteRequest]) -> list[MissingPrivilege]:
    answers = {entity_type: await client.forbids(request) for entity_type, request in requests.items()}
    refusals = {entity_type: refusal for entity_type, refusal in answers.items() if refusal is not None}
    return [MissingPrivilege(to, sorted(refusals), next(iter(refusals.values())).message)] if refusals else []


async def _existing(client: GmsClient) -> Sequence[str]:
    """Return an entity of each type of which DataHub lists any: for those that exist, another privilege counts."""
    found: list[str] = []
    for entity_type in privileges.NOBODY:
        try:
            page = scroll.decode_page(
                await client.ask(scroll.path(None, count=1), scroll.body([entity_type], None), attempts=1)
            )
        except (RequestRefused, DecodeError):
            return found
        found += page.urns[:1]
    return found
