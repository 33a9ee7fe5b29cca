"""Writes batches to DataHub's GMS and compares what its answers list with what was sent."""

import zlib
from collections.abc import Sequence

from msgspec import structs

from crawler.datahub.batching import Batch, Packer, PackerByType
from crawler.datahub.client import GmsClient
from crawler.datahub.wire.protocol import GmsWire, WriteRequest
from crawler.settings.sinks import Confirm, RestSettings
from crawler.sinks.protocol import Written
from crawler.sinks.write_gate import WriteGate
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.delivery import UNVERIFIABLE_ANSWERS
from crawler.telemetry.timing import Timing

GZIP_LEVEL = 1
GZIP_FORMAT = 31
TRIES = 3
"""Times that a batch is sent where the answer does not list all of it."""

Missing = Sequence[tuple[str, str]]


class GmsWriter:
    """Writes to one GMS through the endpoint of `wire`.

    With an endpoint whose answers list what was taken, a delivery rests on these answers, until they turn out to list
    nothing; then, as with any other endpoint, it rests on their status. Write within its `gate`.
    """

    def __init__(
        self, client: GmsClient, wire: GmsWire, settings: RestSettings, timing: Timing, listener: Listener
    ) -> None:
        self._client = client
        self.wire = wire
        self.gate = WriteGate()
        self._settings = settings
        self._timing = timing
        self._listener = listener
        self._has_lists = None if wire.lists_taken else False
        """Whether answers list what was taken; None until that is known."""

    @property
    def verification_method(self) -> str:
        """What a delivery rests on, as far as is known by now: "answer" or "status"."""
        return "status" if self._settings.confirm is Confirm.NONE or self._has_lists is False else "answer"

    def packer(self) -> Packer | PackerByType:
        """Return a packer of batches as large as the settings allow."""
        return self.wire.packer(self._settings.batch_size, self._settings.batch_bytes)

    async def write(self, batch: Batch, *, asynchronous: bool) -> Written:
        """Send the batch, again where its answer leaves in doubt what was taken."""
        missing = await self._send(batch, asynchronous=asynchronous)
        # Without the queue, an answer leaves out what is stored already, as after one that was lost on its way.
        is_in_doubt = bool(missing) and not asynchronous
        if is_in_doubt or (missing is None and self._needs_list):
            again = await self._send_again(batch)
            missing = again if missing is None else [each for each in missing if each in again]
        return Written(self.verification_method, missing or ())

    @property
    def _needs_list(self) -> bool:
        # With STORED everything is read back, so an answer without a list does no harm.
        return self._settings.confirm is Confirm.ENTITIES and self._has_lists is not False

    async def _send(self, batch: Batch, *, asynchronous: bool) -> Missing | None:
        """Return what the answer does not list; None where it is no list."""
        with self._timing.stage("send"):
            requests = self.wire.requests(batch, asynchronous=asynchronous)
            if self._settings.gzip:
                requests = list(map(_compressed, requests))
        answers = [await self._client.write(request) for request in requests]
        with self._timing.stage("send"):
            missing = self.wire.left_out(batch, answers)
        if missing is not None:
            self._has_lists = True
        return missing

    async def _send_again(self, batch: Batch) -> Missing:
        """Send the batch until an answer is a list, perhaps after some that were spoilt on their way.

        Through the queue, whose answers list also what is stored already. Until the first answer that is a list, the
        status counts.
        """
        for _ in range(TRIES - 1):
            missing = await self._send(batch, asynchronous=True)
            if missing is not None:
                return missing
        if self._has_lists:
            return [(entity.urn, self.wire.aspect_name(each)) for entity in batch.entities for each in entity.proposals]
        if self._has_lists is None:
            self._has_lists = False
            self._listener(UNVERIFIABLE_ANSWERS.found())
        return ()


def _compressed(request: WriteRequest) -> WriteRequest:
    body = zlib.compress(request.body, GZIP_LEVEL, GZIP_FORMAT)
    return structs.replace(request, body=body, headers={**request.headers, "Content-Encoding": "gzip"})
