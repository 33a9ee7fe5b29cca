"""The double itself: GMS' two endpoints on a port of the loopback, and what was written to it."""

import asyncio
import gzip
import importlib
from contextlib import AsyncExitStack, suppress
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.gms import answers, glimpse
from tests.gms.answers import JSON, Refusal
from tests.gms.behaviour import Behaviour
from tests.gms.faults import Fault, Step, fault_of
from tests.gms.flights import Flights

NOTHING: frozenset[str] = frozenset()


class Gms:
    """A strict double of DataHub's GMS: `async with Gms(token="t") as gms: …`; options are `Behaviour`'s.

    `script` holds what happens to the next batches, in turn; `rule` what happens to any batch after these.
    """

    def __init__(self, *, port: int = 0, **options: Any) -> None:
        self.behaviour = Behaviour(**options)
        self.script: list[Step] = []
        self.rule: Step = None
        # What was stored: the last value of each aspect, and all in order.
        self.aspects: dict[tuple[str, str], dict[str, Any]] = {}
        self.history: list[tuple[str, str, dict[str, Any]]] = []
        self.system_metadata: dict[tuple[str, str], dict[str, Any] | None] = {}
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
        self._port = port
        self._traces = count(1)
        self._exit = AsyncExitStack()
        # The strict intake brings all of acryl-datahub with it: a trusting double does without.
        self._intake: Any = None if self.behaviour.trust else importlib.import_module("tests.gms.intake")

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
        app.router.add_route("*", "/{path:.*}", self._route)
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
        if path == "/config" and request.method == "GET" and not self.behaviour.without_config:
            return answers.config(self.behaviour.version)
        if path == "/aspects" and request.method == "POST":
            return await self._ingest(request)
        return answers.not_found(path)

    async def _ingest(self, request: web.Request) -> web.Response:
        """One batch, from its bytes to its answer, with all that is counted about it."""
        body = await request.read()
        self.requests += 1
        self.bytes += len(body)
        if self.behaviour.trust:
            return await self._count(request, body)
        self.headers.append(dict(request.headers))
        if "User-Agent" not in request.headers:
            self.violations.append("a request without User-Agent, which escapes throttling")
        proposals = glimpse.proposals(self._inflated(request, body))
        step = self.script.pop(0) if self.script else self.rule
        fault = fault_of(step, proposals)
        response = await self._answer(request, body, fault, proposals)
        self.answers.append((0 if fault and fault.disconnect else response.status, len(proposals)))
        return response

    async def _count(self, request: web.Request, body: bytes) -> web.Response:
        with self._flights.flight(request.transport, NOTHING, NOTHING):
            await asyncio.sleep(self.behaviour.latency)
        self.proposals += glimpse.count(body)
        return self._success()

    async def _answer(
        self, request: web.Request, body: bytes, fault: Fault | None, proposals: list[dict[str, Any]]
    ) -> web.Response:
        """The script's answer, or the double's own; within it the batch counts as under way."""
        urns, version_sets = glimpse.urns(proposals), glimpse.version_sets(proposals)
        with self._flights.flight(request.transport, urns, version_sets):
            await asyncio.sleep(self.behaviour.latency)
            if fault and fault.hold:
                await fault.hold.wait()
            if fault is None or not fault.answers:
                return self._handle(request, body)
            if fault.stored:
                self._handle(request, body)
            return _scripted(request, fault)

    def _handle(self, request: web.Request, body: bytes) -> web.Response:
        """The way through a proxy, the filter of tokens and Rest.li."""
        if len(body) > self.behaviour.body_limit:
            return answers.too_large()
        token = self.behaviour.token
        if token is not None and request.headers.get("Authorization") != f"Bearer {token}":
            return answers.unauthorized(request.headers.get("Accept", ""))
        try:
            _check_headers(request)
            self._take(self._inflated(request, body))
        except Refusal as refusal:
            return answers.restli_error(refusal)
        return self._success()

    def _inflated(self, request: web.Request, body: bytes) -> bytes:
        """GMS inflates nothing: compressed bytes are no JSON, so they end as 400."""
        if self.behaviour.inflates and request.headers.get("Content-Encoding") == "gzip":
            with suppress(OSError, EOFError):
                return gzip.decompress(body)
        return body

    def _take(self, body: bytes) -> None:
        """Store what GMS would store, drop what it would drop."""
        batch = self._intake.parse(body)
        verdict = self._intake.weigh(batch, self.behaviour)
        for item in verdict.stored:
            key = (item.urn, item.aspect_name)
            self.aspects[key] = item.value
            self.history.append((*key, item.value))
            self.system_metadata[key] = item.system_metadata
        self.dropped += [urn for urn, _ in verdict.dropped]
        self.drop_reasons.update(verdict.dropped)
        self.modes.add(batch.asynchronous)
        self.batches.append(len(batch.proposals))
        self.proposals += len(batch.proposals)

    def _success(self) -> web.Response:
        """Nothing about items, and nobody reads it (AR); the trace id is in a header of each answer."""
        trace = f"00-{next(self._traces):032x}-{1:016x}-01"
        headers = {"X-RestLi-Protocol-Version": "2.0.0", "traceparent": trace}
        return answers.as_json({"value": "success"}, headers=headers)


def _check_headers(request: web.Request) -> None:
    """Rest.li's own demands on a request."""
    if request.query.get("action") != "ingestProposalBatch":
        raise Refusal(400, f"POST operation named {request.query.get('action')} not supported on resource")
    if request.headers.get("X-RestLi-Protocol-Version") != "2.0.0":
        raise Refusal(400, "Rest.li protocol version is not 2.0.0")
    if request.content_type != JSON:
        raise Refusal(415, f"Unsupported media type {request.content_type}")


def _scripted(request: web.Request, fault: Fault) -> web.Response:
    """A fault as a response; after a disconnect it has nowhere to go."""
    if fault.disconnect and request.transport:
        request.transport.abort()
    status = fault.status or 200
    if fault.body is None:
        response = answers.restli_error(Refusal(status, "scripted by the test"))
    elif isinstance(fault.body, dict):
        response = answers.as_json(fault.body, status)
    else:
        body = fault.body.encode() if isinstance(fault.body, str) else fault.body
        response = web.Response(status=status, body=body)
    response.headers.update(fault.headers)
    return response
