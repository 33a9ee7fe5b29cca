"""The double itself: GMS' endpoints on a port of the loopback, and what was written to it."""

import asyncio
import gzip
import importlib
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from itertools import count
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web

from tests.gms import answers, unverified_batch
from tests.gms.answers import Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.census import Census
from tests.gms.faults import Fault, Step, fault_of, scripted
from tests.gms.flights import Flights
from tests.gms.patches import patched
from tests.gms.paths import OFFSETS, RESTLI, RUNS, SCROLL, TIMESERIES, entity_type_in, is_batch_get
from tests.gms.shelf import Shelf

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOTHING: frozenset[str] = frozenset()
_STRICT = "intake", "pre_commit", "restli", "openapi", "batch_get", "search_index", "timeseries", "rollback"
TRUSTED = (
    b':{"value":{"removed":false},"systemMetadata":{"lastObserved":9223372036854775807,"runId":"no-run-id-provided",'
    b'"lastRunId":"no-run-id-provided","version":"1"},"auditStamp":{"time":1,"actor":"urn:li:corpuser:datahub"}}'
)


class Gms:
    """A strict double of DataHub's GMS: `async with Gms(token="t") as gms: …`; options are `Behaviour`'s.

    `script` holds what happens to the next batches, in turn; `rule` what happens to any batch after these;
    `read_script` and `read_rule` are the same for what is read back.
    """

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.behaviour = Behaviour(**options)
        self.script: list[Step] = []
        self.rule: Step = None
        self.read_script: list[Step] = []
        self.read_rule: Step = None
        # What was stored: the last value of each aspect, and all in order.
        self.aspects: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: list[tuple[str, str, dict[str, Any]]] = []
        self.system_metadata: dict[tuple[str, str], dict[str, Any] | None] = {}
        # What can be read back of it, and what is lost on the way there by the settings.
        self.shelf = Shelf(self.behaviour.lag, self.behaviour.lag_seconds)
        self.loses = self.behaviour.loses
        self.loses_queued = self.behaviour.loses_queued
        self.lost: list[tuple[str, str]] = []
        # What was asked for by each read-back, in turn: the number of entities; status and entity type of its answer.
        self.read_backs: list[int] = []
        self.read_answers: list[tuple[int, str]] = []
        # How often the search index was listed.
        self.lists = 0
        # The bodies of the requests for timeseries aspects.
        self.timeseries_reads: list[bytes] = []
        # What was dropped behind a 200: URNs in order, and why.
        self.dropped: list[str] = []
        self.drop_reasons: dict[str, str] = {}
        # Each request: its headers and its (status, proposals), status 0 for a disconnect.
        self.requests = 0
        self.bytes = 0
        self.headers: list[dict[str, str]] = []
        self.answers: list[tuple[int, int]] = []
        # The batches answered with success: their sizes, the sum of these, and the values of `async` seen.
        self.batches: list[int] = []
        self.proposals = 0
        self.modes: set[str] = set()
        self._flights = Flights()
        # What stands before it, as a proxy would.
        self.around: Callable[[Handler], Handler] = lambda handler: handler
        self._port = port
        self._traces = count(1)
        self._exit = AsyncExitStack()
        self.census = Census(self.behaviour.lag_seconds)
        # The strict endpoints bring all of acryl-datahub with them: a trusting double does without.
        strict = () if self.behaviour.trust else _STRICT
        self._strict: dict[str, Any] = {name: importlib.import_module(f"tests.gms.{name}") for name in strict}
        self.index: Any = self._strict["search_index"].SearchIndex() if strict else None
        self._table: Any = self._strict["rollback"].Table() if strict else None

    @property
    def url(self) -> str:
        """Where it listens; a frontend's GMS is below that, under /api/gms."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def violations(self) -> list[str]:
        """What no writer must do: an entity or version set in two requests at once, no User-Agent."""
        return self._flights.violations

    @property
    def peak(self) -> int:
        """The most batches that were under way at once."""
        return self._flights.peak

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=0)
        app.router.add_route("*", "/{path:.*}", self.around(self._route))
        runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.2)
        await runner.setup()
        self._exit.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, "127.0.0.1", self._port)
        await site.start()
        self._port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def _route(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if self.behaviour.frontend:
            if not path.startswith("/api/gms/"):
                return answers.frontend_page()
            path = path.removeprefix("/api/gms")
        if request.method == "GET" and (told := self._get(path)) is not None:
            return told
        if request.method == "POST" and (response := await self._post(request, path)) is not None:
            return response
        if request.method == "PATCH" and entity_type_in(path):
            return await self._ingest(request, "openapi")
        return answers.as_json({}) if self.behaviour.trust else answers.not_found(path)

    async def _post(self, request: web.Request, path: str) -> web.StreamResponse | None:
        """What writes to GMS, and what is read back."""
        if path == RESTLI:
            return await self._restli(request)
        if path == SCROLL:
            absent = self.behaviour.trust or self.behaviour.scroll == "absent"
            return answers.not_found(path) if absent else await self._list(request)
        if is_batch_get(path):
            return answers.not_found(path) if self.behaviour.without_batch_get else await self._read_back(request)
        if entity_type_in(path):
            return await self._ingest(request, "openapi")
        return await self._roll_back(request) if path == RUNS and self._table is not None else None

    async def _restli(self, request: web.Request) -> web.Response:
        if request.query.get("action") == TIMESERIES:
            return await self._read_timeseries(request)
        if not self.behaviour.without_batches:
            return await self._ingest(request, "restli")
        self.requests += 1
        return answers.no_batches(str(request.path_qs))

    def _get(self, path: str) -> web.Response | None:
        """What GMS tells of itself."""
        if path == "/config" and not self.behaviour.without_config:
            return answers.config(self.behaviour.version)
        return self._offsets(path) if path == OFFSETS else None

    def _offsets(self, path: str) -> web.Response:
        if self.behaviour.offsets == "absent":
            return answers.not_found(path)
        if self.behaviour.offsets == "forbidden":
            return answers.offsets_forbidden()
        position, lag = self.shelf.offset()
        return answers.offsets(position, lag, grouped=self.behaviour.offsets == "groups")

    async def _ingest(self, request: web.Request, endpoint: str) -> web.Response:
        """One batch, from its bytes to its answer, with all that is counted about it."""
        body = await request.read()
        self.requests += 1
        self.bytes += len(body)
        if self.behaviour.trust:
            return await self._count(request, endpoint, self._inflated(request, body))
        door = self._strict[endpoint]
        self.headers.append(dict(request.headers))
        if "User-Agent" not in request.headers:
            self.violations.append("a request without User-Agent, which escapes throttling")
        proposals = door.unverified_batch(request, self._inflated(request, body))
        step = self.script.pop(0) if self.script else self.rule
        fault = fault_of(step, proposals)
        response = await self._answer(door, request, body, fault, proposals)
        self.answers.append((0 if fault and fault.disconnect else response.status, len(proposals)))
        return response

    async def _count(self, request: web.Request, endpoint: str, body: bytes) -> web.Response:
        with self._flights.flight(request.transport, NOTHING, NOTHING):
            await asyncio.sleep(self.behaviour.latency)
        if endpoint == "restli":
            self.proposals += self.census.count_restli(body)
            return answers.as_json({"value": "success"})
        self.proposals += self.census.count_openapi(body)
        # The request itself lists what was taken.
        return web.Response(status=202, body=body, content_type=answers.JSON)

    async def _read_back(self, request: web.Request) -> web.StreamResponse:
        """Entities asked for, from the request's bytes to its answer."""
        body = await request.read()
        await asyncio.sleep(self.behaviour.latency)
        if self.behaviour.trust:
            self.read_backs.append(body.count(b'"urn"'))
            return web.Response(body=self.census.shown(body).replace(b":{}", TRUSTED), content_type=answers.JSON)
        door = self._strict["batch_get"]
        entities = door.unverified_batch(request, body)
        self.read_backs.append(len(entities))
        if not self.behaviour.reads_timeseries:
            self.violations.extend(
                f"the timeseries aspect {name} is read back" for name in door.timeseries_in(entities)
            )
        fault = fault_of(self.read_script.pop(0) if self.read_script else self.read_rule, entities)
        if fault and fault.hold:
            await fault.hold.wait()
        response = (
            self._look_up(door, request, body, self.shelf)
            if fault is None or not fault.answers
            else scripted(door, request, fault, self.behaviour)
        )
        self.read_answers.append(
            (0 if fault and fault.disconnect else response.status, entity_type_in(request.path) or "")
        )
        return response

    async def _list(self, request: web.Request) -> web.Response:
        """Entities of the search index."""
        body = await request.read()
        await asyncio.sleep(self.behaviour.latency)
        self.lists += 1
        return self._look_up(self._strict["search_index"], request, body, self.index)

    async def _read_timeseries(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.timeseries_reads.append(body)
        if self.behaviour.trust:
            return answers.as_json({"value": {"values": []}})
        if (refused := self._turned_away(request, body)) is not None:
            return refused
        door = self._strict["timeseries"]
        try:
            return cast("web.Response", door.answer(request, body, self.behaviour, self.history))
        except Refusal as refusal:
            return cast("web.Response", self._strict["restli"].error(refusal, self.behaviour))

    def _look_up(self, door: Any, request: web.Request, body: bytes, store: Any) -> web.Response:
        if (refused := self._turned_away(request, body)) is not None:  # an empty response was false before aiohttp 3.12
            return refused
        self.shelf.begin_read()
        try:
            response: web.Response = door.answer(request, body, self.behaviour, store)
        except Refusal as refusal:
            response = door.error(refusal, self.behaviour)
        return response

    async def _answer(
        self, door: Any, request: web.Request, body: bytes, fault: Fault | None, proposals: list[dict[str, Any]]
    ) -> web.Response:
        """The script's answer, or the double's own; within it the batch counts as under way."""
        urns, version_sets = unverified_batch.urns(proposals), unverified_batch.version_sets(proposals)
        with self._flights.flight(request.transport, urns, version_sets):
            await asyncio.sleep(self.behaviour.latency)
            if fault and fault.hold:
                await fault.hold.wait()
            if fault is None or not fault.answers:
                return self._handle(door, request, body)
            if fault.stored:
                self._handle(door, request, body)
            return scripted(door, request, fault, self.behaviour)

    def _handle(self, door: Any, request: web.Request, body: bytes) -> web.Response:
        """The way through a proxy, the filter of tokens and the endpoint."""
        if (refused := self._turned_away(request, body)) is not None:  # an empty response was false before aiohttp 3.12
            return refused
        try:
            batch = door.parse(request, self._inflated(request, body), self.behaviour)
            unchanged = self._take(batch, skips=door.SKIPS_BAD_ITEMS)
        except Refusal as refusal:
            return cast("web.Response", door.error(refusal, self.behaviour))
        response: web.Response = door.success(batch, unchanged)
        response.headers["traceparent"] = f"00-{next(self._traces):032x}-{1:016x}-01"
        return response

    def _turned_away(self, request: web.Request, body: bytes) -> web.Response | None:
        """What a proxy and the filter of tokens do not let pass."""
        if len(body) > self.behaviour.body_limit:
            return answers.too_large()
        token = self.behaviour.token
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return answers.unauthorized(request.headers.get("Accept", ""))
        return None

    def _inflated(self, request: web.Request, body: bytes) -> bytes:
        """GMS inflates nothing: compressed bytes are no JSON, so they end as 400."""
        if self.behaviour.inflates and request.headers.get("Content-Encoding") == "gzip":
            with suppress(OSError, EOFError):
                return gzip.decompress(body)
        return body

    def _take(self, batch: Any, *, skips: bool) -> set[tuple[str, str]]:
        """Store what GMS would store, drop what it would drop; gives what was there before, metadata and all."""
        verdict = self._strict["intake"].weigh(batch, self.behaviour, skips=skips)
        self._strict["pre_commit"].commit(verdict, self.aspects, batch)
        unchanged = set()
        for item in verdict.stored:
            key = (item.urn, item.aspect_name)
            value = item.value if item.changes is None else patched(self.aspects.get(key), item.changes)
            if self._is_lost(item.urn, item.aspect_name, queued=batch.is_async):
                self.lost.append(key)
                continue
            self.shelf.put(key, (value, item.system_metadata), queued=batch.is_async)
            if (value, item.system_metadata) == (self.aspects.get(key), self.system_metadata.get(key)):
                unchanged.add(key)
            self.aspects[key] = value
            self.index.put(*key, value)
            self.history.append((*key, value))
            self.system_metadata[key] = item.system_metadata
            self._table.put(key, value, item.system_metadata)
        self.dropped += [urn for urn, _ in verdict.dropped]
        self.drop_reasons.update(verdict.dropped)
        self.modes.add(batch.asynchronous)
        self.batches.append(len(batch.proposals))
        self.proposals += len(batch.proposals)
        return unchanged

    async def _roll_back(self, request: web.Request) -> web.Response:
        """The action rollback of the resource runs: what is reverted is gone from `aspects` too."""
        body, door = await request.read(), self._strict["rollback"]
        if (refused := self._turned_away(request, body)) is not None:
            return refused
        try:
            parameters = door.parse(request, body)
            if not parameters.dry_run:
                self._set_run_status(parameters.run_id, "ROLLING_BACK")
            response, undone = door.answer(parameters, self._table)
        except Refusal as refusal:
            return cast("web.Response", self._strict["restli"].error(refusal, self.behaviour))
        for key, value in undone.now.items():
            if value is None:
                self.aspects.pop(key, None)
            else:
                self.aspects[key] = value
        if not parameters.dry_run:
            self._set_run_status(parameters.run_id, "ROLLED_BACK")
        return cast("web.Response", response)

    def _set_run_status(self, run_id: str, status: str) -> None:
        """RollbackService.updateExecutionRequestStatus: a run that is not there is passed over."""
        key = f"urn:li:dataHubExecutionRequest:{run_id}", self._strict["pre_commit"].RESULT
        if key in self.aspects:
            self.aspects[key] = self.aspects[key] | {"status": status}
            self._table.put(key, self.aspects[key], None)

    def _is_lost(self, urn: str, aspect_name: str, *, queued: bool) -> bool:
        """Behind a 200, after all checks."""
        if urn in self.loses or (urn, aspect_name) in self.loses:
            return True
        return queued and (urn in self.loses_queued or (urn, aspect_name) in self.loses_queued)
