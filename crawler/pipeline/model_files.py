"""The MLmodel of each version that needs one, asked for before the version is mapped; a state keeps what was read."""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from crawler.errors import CrawlerError, RequestRefused
from crawler.mlflow.entities import ModelVersion, Run
from crawler.mlflow.model_file import ModelFile
from crawler.mlflow.refusals import says_no_such_row
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.failure_streak import FailureStreak
from crawler.pipeline.read_context import ReadContext
from crawler.telemetry.findings.reading import MODEL_FILES_UNREAD

FAILURES_IN_A_ROW = 50
"""After so many, the server is taken to reach no artifacts at all, at a time-out each: no other is asked for."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ModelFile).decode


class ModelFiles:
    """Reads files for the mapper, few at a time; where no signatures are chosen it asks for none."""

    def __init__(self, context: ReadContext) -> None:
        """Ask for what earlier crawls have not read."""
        self._context = context
        self._slots = asyncio.Semaphore(context.workers)
        self._is_wanted = context.selection.include.signatures
        memory = context.progress.memory
        self._known = memory.model_files if self._is_wanted and memory is not None else None
        self._streak = FailureStreak(FAILURES_IN_A_ROW)

    async def read_of_runs(self, runs: Iterable[Run]) -> None:
        """Read those of the versions that are mapped with these runs, unless the runs have their signatures."""
        if self._is_wanted:
            await self._read(self._context.mapper.versions_without_signature(runs))

    async def read_of_lost(self, run_ids: Iterable[str]) -> None:
        """Read those of the versions of runs that do not come."""
        if self._is_wanted:
            await self._read(self._context.mapper.versions_of_lost(run_ids))

    async def read_of_no_run(self) -> None:
        """Read those of the versions that no run has made."""
        if self._is_wanted:
            await self._read(self._context.mapper.versions_without_run())

    async def _read(self, versions: Sequence[ModelVersion]) -> None:
        unknown = [version for version in versions if not self._take_known(version)]
        waiting = iter(unknown)

        async def worker() -> None:
            for version in waiting:
                async with self._slots:
                    await self._ask(version)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(len(unknown), self._context.client.concurrency)):
                tasks.create_task(worker())

    def _take_known(self, version: ModelVersion) -> bool:
        """Hand on what an earlier crawl has read. Returns whether one has."""
        content = None if self._known is None else self._known.of(_name(version))
        if content is None:
            return False
        try:
            self._context.mapper.model_file(version, _decode(content))
        except msgspec.DecodeError:
            return False
        return True

    async def _ask(self, version: ModelVersion) -> None:
        name = f"{version.name} {version.version}"
        if self._streak.is_over:
            self._context.listener(MODEL_FILES_UNREAD.found(f"{name}: {self._streak.reason}"))
            return
        try:
            file = await self._context.client.model_file(version)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._context.listener(MODEL_FILES_UNREAD.found(f"{name}: {error}"))
            if not _is_gone(error):
                self._streak.failed()
                self._context.mapper.model_file(version, None)
            return
        self._streak.succeeded()
        if self._known is not None:
            self._known.add(_name(version), _encode(file))
        self._context.mapper.model_file(version, file)


def _is_gone(error: CrawlerError) -> bool:
    """Return whether the server knows that there is nothing, which is no failure of it."""
    return isinstance(error, RequestRefused) and says_no_such_row(error)


def _name(version: ModelVersion) -> str:
    """Return what tells the file of a version from all others, also where a model was made anew."""
    return "\n".join((version.name, version.version, version.source, str(version.creation_timestamp)))
