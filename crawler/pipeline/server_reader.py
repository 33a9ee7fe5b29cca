"""Reads all workspaces of a server that are chosen, one after the other; one that fails costs only itself."""

from collections.abc import Iterator, Sequence

from msgspec import structs

from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError, cause_of
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.reader import Reader
from crawler.pipeline.run_filter import try_run_filter
from crawler.pipeline.workspaces import OF_ONE_WORKSPACE, NamesWorkspace, choose_workspaces
from crawler.telemetry.events import Event, ExperimentsListed, Listener, SourceOpened
from crawler.telemetry.findings.reading import NOTHING_LISTED, WORKSPACE_UNREAD


class ServerReader:
    """Reads one MLflow server once and sends what its rows map to.

    Each workspace has a reader and a mapper of its own, so only one of them is in memory.
    """

    def __init__(self, context: ReadContext) -> None:
        self._context = context
        context.client.runs.null_start_times.chosen = context.choice.filter
        self._current = Reader(context)
        self._is_complete = False

    async def read(self) -> None:
        """Read the whole server. Raises ServerError where it cannot go on."""
        client, selection, listener = self._context.client, self._context.selection, self._context.listener
        version = await client.version()
        listener(SourceOpened(client.url, version))
        names = await choose_workspaces(client, version, selection.workspace_pattern, listener)
        if names:
            client.use_workspace(names[0])
        await try_run_filter(client, selection.run_filter)
        await self._context.send(self._context.mapper.stages(), None)
        if len(names) > 1:
            lists_nothing = await self._read_each(version, names)
        else:
            lists_nothing = await self._read_only(version, *names)
        if lists_nothing:
            listener(NOTHING_LISTED.found())
        self._is_complete = True

    def tell_notices(self) -> None:
        """Tell the findings about rows that were mapped since the last call."""
        self._current.tell_notices()

    def held(self) -> Iterator[Entity]:
        """Yield what was held back, however the reading ended.

        With a checkpoint it waits for the crawl that goes on: later runs may say other things of the same datasets.
        """
        if self._is_complete or not self._context.progress.is_kept:
            yield from self._current.held_rows()
            yield from self._context.mapper.held()

    async def _read_only(self, version: str | None, name: str | None = None) -> bool:
        """Read a server without workspaces, or the only one that is chosen. Returns whether there is nothing."""
        if name is not None:
            is_only = self._context.client.chosen_workspace is not None
            self._begin(name, self._context.mapper.in_workspace(name, is_only=is_only), self._context.listener)
        await self._current.read(version, registry=name is None or self._context.client.has_registry_of(name))
        return self._current.lists_nothing

    async def _read_each(self, version: str | None, names: Sequence[str]) -> bool:
        """Read several workspaces. Returns whether there is nothing in any; raises where all of them fail."""
        listener = _ExperimentsOfAll(self._context.listener, len(names))
        errors: list[CrawlerError] = []
        lists_nothing = True
        for name in names:
            self._begin(name, self._context.mapper.in_workspace(name), NamesWorkspace(listener, name))
            if (error := await self._error_of_reading(version, name)) is not None:
                errors.append(error)
                self._context.listener(WORKSPACE_UNREAD.found(f"{name}: {error}"))
            await self._context.send(self._current.held_rows(), None)
            lists_nothing &= self._current.lists_nothing
        if len(errors) == len(names):
            raise errors[-1]
        return lists_nothing

    def _begin(self, name: str, mapper: CrawlMapper, listener: Listener) -> None:
        self._context.client.use_workspace(name)
        self._current = Reader(structs.replace(self._context, mapper=mapper, listener=listener))

    async def _error_of_reading(self, version: str | None, name: str) -> CrawlerError | None:
        """Read the workspace at hand. Returns what is wrong with it; raises what is wrong with the server."""
        error: BaseException | None = None
        try:
            await self._current.read(version, registry=self._context.client.has_registry_of(name))
        except* OF_ONE_WORKSPACE as group:
            error = cause_of(group)
        if error is None:
            return None
        # Where the server or the credentials are the reason, this request fails, too.
        await self._context.client.workspaces()
        assert isinstance(error, CrawlerError)  # noqa: S101  the group has no others
        return error


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
