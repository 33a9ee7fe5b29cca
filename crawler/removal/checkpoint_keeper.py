"""Reads the last checkpoint once, and writes the next one at the end. What fails of that is a finding."""

import asyncio
import logging
import time
from collections.abc import Sequence

import msgspec

from crawler.errors import CrawlerError
from crawler.removal.checkpoint_state import OFFICIAL_JOB, DatahubIngestionCheckpoint, checkpoint
from crawler.removal.checkpoint_store import CheckpointStore
from crawler.settings.crawl import RemovalSettings
from crawler.telemetry.events import Listener
from crawler.telemetry.findings.removal import CHECKPOINT_TOO_LARGE, CHECKPOINT_UNREAD, CHECKPOINT_UNWRITTEN

_log = logging.getLogger("crawler")


class CheckpointKeeper:
    """The checkpoint of one job of a pipeline, for one crawl."""

    def __init__(
        self,
        store: CheckpointStore,
        settings: RemovalSettings,
        pipeline_name: str,
        run_id: str,
        listener: Listener,
        *,
        writes: bool,
        job: str = OFFICIAL_JOB,
    ) -> None:
        """Without `writes`, as in a dry run, the checkpoint is read only."""
        self._store = store
        self._job = job
        self._settings = settings
        self._pipeline_name = pipeline_name
        self._run_id = run_id
        self._listener = listener
        self._writes = writes and not settings.ignore_new_state
        self._is_there = False
        """Whether the last checkpoint named anything."""

    async def read(self) -> Sequence[str]:
        """Return the URNs of the last checkpoint: none where there is none, or where it cannot be read."""
        if self._settings.ignore_old_state:
            return ()
        try:
            found = await self._store.read(self._job)
        except CrawlerError as error:
            # The last checkpoint is there, and would be forgotten.
            self._writes = False
            self._listener(CHECKPOINT_UNREAD.found(str(error)))
            return ()
        if found is None and self._job == OFFICIAL_JOB:
            _log.info("There is no checkpoint of %s yet: nothing is removed this time.", self._pipeline_name)
        self._is_there = bool(found)
        return found or ()

    async def write(self, urns: Sequence[str]) -> None:
        """Write the next checkpoint, unless the last one could not be read, or neither of them names anything."""
        if not self._writes or not (urns or self._is_there):
            return
        made = await asyncio.to_thread(self._checkpoint, urns)
        if problem := self._too_large(made):
            self._listener(CHECKPOINT_TOO_LARGE.found(f"{len(urns):,} URNs: {problem}"))
            return
        try:
            await self._store.write(self._job, made)
        except CrawlerError as error:
            self._listener(CHECKPOINT_UNWRITTEN.found(str(error)))

    def _checkpoint(self, urns: Sequence[str]) -> DatahubIngestionCheckpoint:
        """Return the checkpoint, which takes seconds to compress where there are 100,000 URNs."""
        now = time.time_ns() // 1_000_000
        return checkpoint(urns, pipeline_name=self._pipeline_name, run_id=self._run_id, time=now)

    def _too_large(self, made: DatahubIngestionCheckpoint) -> str:
        """Return why the checkpoint cannot be kept; empty where it can."""
        payload, aspect = len(made.state.payload), len(msgspec.json.encode(made))
        if payload > self._settings.max_state_bytes:
            return f"{payload:,} bytes, max_checkpoint_state_size is {self._settings.max_state_bytes:,}"
        if aspect > self._store.max_bytes:
            return f"{aspect:,} bytes, DataHub takes at most {self._store.max_bytes:,}"
        return ""
