"""What marks stale entities as removed, as the feed of a crawl's last delivery, once all else is delivered."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import chain, islice

from msgspec import structs

from crawler.datahub.proposals import Entity, removal_of
from crawler.errors import CrawlerError
from crawler.mlflow.client import MlflowClient
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.entities import ENTITIES_AT_ONCE, EntityChunk
from crawler.pipeline.plan import runs_of
from crawler.pipeline.source import RunSource
from crawler.pipeline.stale_workspaces import StaleWorkspaces
from crawler.removal.open_removal import Removal
from crawler.removal.stale import RUN, Absent, Evidence, Verdict, Why, possible_names, type_of
from crawler.settings.crawl import Settings
from crawler.stopping import interrupted
from crawler.telemetry.events import Listener, RowsSkipped, StaleFound
from crawler.telemetry.findings.reading import EXPERIMENT_UNREAD, row_findings

_CONTAINER = "container"


class StaleFeed:
    """Decides on what the crawl did not list, then yields what marks it as removed.

    Of experiments that MLflow lists as deleted, the runs come first: they are read now. `stop` ends that.
    """

    def __init__(
        self, client: MlflowClient, settings: Settings, removal: Removal, listener: Listener, stop: asyncio.Event
    ) -> None:
        self._client = client
        self._settings = settings
        self._workspaces = StaleWorkspaces(client, settings, removal.stale, listener)
        self._removal = removal
        self._stale = removal.stale
        self._record = removal.stale.record
        self._listener = listener
        self._stop = stop
        self._unread: set[str] = set()
        """Containers of deleted experiments of which not all runs could be read."""

    def __aiter__(self) -> AsyncIterator[EntityChunk]:
        """Return the chunks. Asks DataHub and MLflow where it has to. Raises what they fail with."""
        return self._chunks()

    def drain(self) -> Iterator[EntityChunk]:
        """Return nothing: what was not yielded stays in the checkpoint."""
        return iter(())

    async def _chunks(self) -> AsyncIterator[EntityChunk]:
        await self._workspaces.see_left_out()
        absent = await self._with_shown(self._stale.absent())
        own = self._stale.absent_own()
        evidence = await self._evidence(absent, own)
        verdicts = self._stale.decide(absent, evidence)
        renamed = self._may_be_renamed(verdicts)
        removed = [each.urn for each in verdicts if each.is_removed and each.urn in self._record.deleted]
        for container in [*removed, *renamed]:
            async for chunk in self._runs_of(container):
                yield chunk
        unread = {*self._unread, *(_vanished(verdicts) if self._unread.intersection(renamed) else ())}
        verdicts = [each.kept_for(Why.RUNS_UNREAD) if each.urn in unread else each for each in verdicts]
        removals = chain(
            self._stale.conclude(verdicts, absent.percent, self._listener),
            self._stale.removals(self._stale.decide_own(own, absent, evidence), own.percent, self._listener),
            self._purged(absent, evidence),
        )
        while some := list(islice(removals, ENTITIES_AT_ONCE)):
            yield EntityChunk(some)

    async def _with_shown(self, absent: Absent) -> Absent:
        """Add the experiments that MLflow lists as deleted and DataHub shows, whoever wrote them there."""
        known = {*absent.urns, *self._record.urns}
        others = [urn for urn in self._record.deleted if urn not in known]
        if not others or self._record.failures or not self._removal.shown.are_known:
            return absent
        return structs.replace(absent, urns=[*absent.urns, *await self._removal.shown.of(_CONTAINER, others)])

    def _may_be_renamed(self, verdicts: Sequence[Verdict]) -> list[str]:
        """Return the deleted experiments that DataHub does not show as what they are called now.

        Where a container vanished, it may be that of one of them: one that was renamed, then deleted.
        """
        if not _vanished(verdicts) or not self._removal.shown.are_known:
            return []
        return sorted(self._record.deleted.keys() - {each.urn for each in verdicts} - self._record.urns.keys())

    async def _evidence(self, absent: Absent, own: Absent) -> Evidence:
        evidence = Evidence(
            failures=self._record.failures,
            is_partial=self._record.is_partial,
            leaves_out=self._record.leaves_out_workspaces,
            empty=self._record.empty,
            deleted=self._record.deleted,
            is_confirmed=self._removal.is_confirmed,
        )
        is_certain = not (absent.urns or own.urns) or evidence.is_confirmed or evidence.failures
        if is_certain or not await self._client.may_hide(self._settings.mlflow):
            return evidence
        found = {group: await self._has_model(group) for group in absent.unlisted_groups}
        return structs.replace(
            evidence,
            may_hide=True,
            missing_models={group for group, is_there in found.items() if is_there is False},
            existing_models={group for group, is_there in found.items() if is_there},
        )

    async def _has_model(self, group: str) -> bool | None:
        """Ask MLflow for the model of a group; None where it does not tell."""
        answers = [await self._workspaces.has_model(name) for name in possible_names(group)]
        return True if True in answers else None if None in answers else False

    def _purged(self, absent: Absent, evidence: Evidence) -> Iterator[Entity]:
        """Yield what marks runs as removed that MLflow lists no more (`mlflow gc`), where a state remembers runs."""
        known = self._removal.known_runs
        unseen = 0 if known is None else sum(1 for _ in known.unseen_runs())
        if known is None or not unseen:
            return
        evidence = structs.replace(evidence, failures=evidence.failures + len(self._unread))
        count = known.count()
        why = self._stale.decide_on_runs(unseen, count, absent, evidence)
        if why is Why.PARTIAL:
            return
        first = next(iter(known.unseen_runs()))
        self._stale.tell_why(why, first, unseen, 100.0 * unseen / count, self._listener)
        urns = known.unseen_runs()
        while some := list(islice(urns, ENTITIES_AT_ONCE)):
            self._listener(StaleFound(RUN, why, is_removed=why is Why.ABSENT, urns=some))
            if why is Why.ABSENT:
                self._stale.expect_runs(len(some))
                yield from (removal_of(RUN, urn) for urn in some)

    async def _runs_of(self, container: str) -> AsyncIterator[EntityChunk]:
        """Yield what marks the runs of a deleted experiment as removed. If they cannot be read, that is a finding."""
        experiment = self._workspaces.enter(self._record.deleted[container])
        (partition,) = runs_of(self._client.url, [experiment.experiment_id])
        source = RunSource(partition, self._client.runs)
        try:
            while not source.is_done:
                if self._stop.is_set():
                    raise interrupted()
                yield await self._next_page(source)
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._unread.add(container)
            self._listener(EXPERIMENT_UNREAD.found(f"{experiment.experiment_id} {experiment.name}: {error}"))

    async def _next_page(self, source: RunSource) -> EntityChunk:
        async with source.next_step(hurry=False) as step:
            runs = list(step.rows)
        # Of what was mended nothing is written.
        for finding in row_findings("runs", step.unreadable, ()):
            self._listener(finding)
        self._listener(RowsSkipped("deleted runs", sum(run.deleted for run in runs)))
        removals = await self._removal.deleted_runs.removals(runs)
        self._stale.expect_runs(len(removals))
        return EntityChunk(removals)


def _vanished(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the containers that are removed although MLflow does not list their experiments as deleted."""
    return [each.urn for each in verdicts if each.why is Why.ABSENT and type_of(each.urn) == _CONTAINER]
