"""Reads all workspaces of a server that are chosen, one after the other; one that fails costs only itself."""

import time
from collections.abc import Iterator, Sequence

from crawler.checkpoint.protocol import Progress
from crawler.config.selection import Selection
from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError, cause_of
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.client import MlflowClient
from crawler.pipeline.reader import Reader
from crawler.pipeline.run_choice import RunChoice
from crawler.pipeline.run_filter import try_run_filter
from crawler.pipeline.run_stage import RemovalsOf, Send
from crawler.pipeline.workspaces import OF_ONE_WORKSPACE, NamesWorkspace, choose_workspaces
from crawler.telemetry.events import Event, ExperimentsListed, Listener, SourceOpened
from crawler.telemetry.findings.reading import NOTHING_LISTED, WORKSPACE_UNREAD


class ServerReader:
    """Reads one MLflow server once and sends what its rows map to.

    Each workspace has a reader and a mapper of its own, so only one of them is in memory.
    """

    def __init__(
        self,
        client: MlflowClient,
        mapper: CrawlMapper,
        send: Send,
        listener: Listener,
        workers: int,
        progress: Progress,
        selection: Selection,
        removals_of: RemovalsOf | None = None,
    ) -> None:
        """Read what is selected, at most `workers` pages at a time. What `progress` says is done is not read again."""
        self._client = client
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._workers = workers
        self._progress = progress
        self._selection = selection
        self._removals_of = removals_of
        self._choice = RunChoice(selection, time.time_ns() // 1_000_000)
        client.runs.null_start_times.chosen = self._choice.filter
        self._current = self._reader(mapper, listener)
        self._is_complete = False

    async def read(self) -> None:
        """Read the whole server. Raises ServerError where it cannot go on."""
        version = await self._client.version()
        self._listener(SourceOpened(self._client.url, version))
        names = await choose_workspaces(self._client, version, self._selection.workspace_pattern, self._listener)
        if names:
            self._client.use_workspace(names[0])
        await try_run_filter(self._client, self._selection.run_filter)
        await self._send(self._mapper.stages(), None)
        if len(names) > 1:
            lists_nothing = await self._read_each(version, names)
        else:
            lists_nothing = await self._read_only(version, *names)
        if lists_nothing:
            self._listener(NOTHING_LISTED.found())
        self._is_complete = True

    def tell_notices(self) -> None:
        """Tell the findings about rows that were mapped since the last call."""
        self._current.tell_notices()

    def held(self) -> Iterator[Entity]:
        """Yield what was held back, however the reading ended.

        With a checkpoint it waits for the crawl that goes on: later runs may say other things of the same datasets.
        """
        if self._is_complete or not self._progress.is_kept:
            yield from self._current.held_rows()
            yield from self._mapper.held()

    async def _read_only(self, version: str | None, name: str | None = None) -> bool:
        """Read a server without workspaces, or the only one that is chosen. Returns whether there is nothing."""
        if name is not None:
            is_only = self._client.chosen_workspace is not None
            self._begin(name, self._mapper.in_workspace(name, is_only=is_only), self._listener)
        await self._current.read(version, registry=name is None or self._client.has_registry_of(name))
        return self._current.lists_nothing

    async def _read_each(self, version: str | None, names: Sequence[str]) -> bool:
        """Read several workspaces. Returns whether there is nothing in any; raises where all of them fail."""
        listener = _ExperimentsOfAll(self._listener, len(names))
        errors: list[CrawlerError] = []
        lists_nothing = True
        for name in names:
            self._begin(name, self._mapper.in_workspace(name), NamesWorkspace(listener, name))
            if (error := await self._error_of_reading(version, name)) is not None:
                errors.append(error)
                self._listener(WORKSPACE_UNREAD.found(f"{name}: {error}"))
            await self._send(self._current.held_rows(), None)
            lists_nothing &= self._current.lists_nothing
        if len(errors) == len(names):
            raise errors[-1]
        return lists_nothing

    def _begin(self, name: str, mapper: CrawlMapper, listener: Listener) -> None:
        self._client.use_workspace(name)
        self._current = self._reader(mapper, listener)

    async def _error_of_reading(self, version: str | None, name: str) -> CrawlerError | None:
        """Read the workspace at hand. Returns what is wrong with it; raises what is wrong with the server."""
        error: BaseException | None = None
        try:
            await self._current.read(version, registry=self._client.has_registry_of(name))
        except* OF_ONE_WORKSPACE as group:
            error = cause_of(group)
        if error is None:
            return None
        # Where the server or the credentials are the reason, this request fails, too.
        await self._client.workspaces()
        assert isinstance(error, CrawlerError)  # noqa: S101  the group has no others
        return error

    def _reader(self, mapper: CrawlMapper, listener: Listener) -> Reader:
        return Reader(
            self._client,
            mapper,
            self._send,
            listener,
            self._workers,
            self._progress,
            self._selection,
            self._choice,
            self._removals_of,
        )


class _ExperimentsOfAll:
    """Hands events on; that all experiments are listed, once those of so many workspaces are."""

    def __init__(self, listener: Listener, workspaces: int) -> None:
        self._listener = listener
        self._left = workspaces

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        if isinstance(event, ExperimentsListed):
            self._left -= 1
            if self._left:
                return
        self._listener(event)
