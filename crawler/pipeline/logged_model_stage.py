"""The stage of logged models: those of the experiments whose runs were read, many experiments a request."""

from collections.abc import AsyncIterator, Iterator, Sequence
from math import isnan

import msgspec

from crawler.datahub import urns
from crawler.datahub.proposals import Entity
from crawler.errors import CrawlerError
from crawler.mapping.logged_models import PointKey, latest_points, point_key
from crawler.mlflow.entities import Experiment, LoggedModel, MeasuredRun
from crawler.mlflow.paging.by_creation import LoggedModelCursor
from crawler.mlflow.refusals import is_missing
from crawler.mlflow.resources import LOGGED_MODELS
from crawler.mlflow.row_errors import is_of_one_request, row_error_text
from crawler.mlflow.run_lookup import RUN_IDS_A_REQUEST
from crawler.pipeline.experiment_sets import search_scopes, slices
from crawler.pipeline.failure_streak import FailureStreak
from crawler.pipeline.read_context import ReadContext
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.telemetry.events import RowsRead
from crawler.telemetry.findings.reading import LISTING_MISSING, LISTING_UNREAD, ZEROS_UNKNOWN, row_findings

MAX_FAILING = 3
"""Experiments that may fail one behind the other, without a page in between, before the others are not asked for."""
MAX_REFUSED = 50
"""Experiments that may be refused before any page, until the whole listing is taken to be."""


class Part(msgspec.Struct, eq=False):
    """Logged models that one worker reads: of some experiments, from a place on.

    `newest` is when the last of them was created, where that was asked for.
    """

    experiment_ids: Sequence[str]
    cursor: LoggedModelCursor
    newest: int | None = None


Queue = WorkStealingQueue[Part]


class LoggedModelStage:
    """Reads logged models, several pages at a time, and sends what they map to."""

    def __init__(self, context: ReadContext, version: str | None) -> None:
        """`version` is MLflow's; where it is not known, a server may lack the listing without a word."""
        self._context = context
        self._version = version
        self._containers: dict[str, bytes] = {}
        """By the ids of experiments, the guids of their containers as bytes."""
        self._known: set[str] = set()
        """Experiments that earlier crawls have read: of these, only what has changed since is read."""
        self._is_answered = False
        self._missing: CrawlerError | None = None
        """The refusal of a server that has no such listing."""
        self._faults = FailureStreak(MAX_FAILING)
        """Experiments that failed since the last page, for what may be a row of each, or the server."""
        self._refusals = FailureStreak(MAX_REFUSED)
        """Experiments that were refused before any page."""

    def add(self, experiments: Sequence[Experiment]) -> None:
        """Note a page of active experiments, once they are mapped: their logged models are to be read."""
        memory = self._context.progress.memory
        for experiment in experiments:
            container = self._context.mapper.container_of(experiment.experiment_id)
            if container is not None:
                self._containers[experiment.experiment_id] = bytes.fromhex(container.rpartition(":")[2])
                if memory is not None and memory.is_known(experiment.experiment_id):
                    self._known.add(experiment.experiment_id)

    async def read(self) -> None:
        """Read the logged models of all of these experiments. What fails is a finding, unless the server does."""
        await work_through(self._parts(), self._read, self._context.workers)
        if self._missing is not None and self._version is not None:
            self._context.listener(LISTING_MISSING[LOGGED_MODELS.name].found(self._missing.message))

    async def _parts(self) -> AsyncIterator[Part]:
        memory = self._context.progress.memory
        since = None if memory is None else memory.scope.since
        whole = [each for each in self._containers if each not in self._known]
        for experiment_ids, changed_since in ((whole, None), (sorted(self._known), since)):
            first = 0
            while first < len(experiment_ids):
                some = experiment_ids[first : first + self._context.client.logged_models.experiment_ids.ids]
                first += len(some)
                yield Part(some, LoggedModelCursor(changed_since=changed_since))

    async def _read(self, part: Part, queue: Queue) -> None:
        """Read a part to its end, or name what it fails with, experiment by experiment."""
        parts = [part]
        while parts and self._missing is None:
            part = parts.pop()
            over = next((each for each in (self._faults, self._refusals) if each.is_over), None)
            if over is not None:
                self._tell_unread(part.experiment_ids, over.reason)
                continue
            try:
                while part.cursor.query is not None:
                    await self._read_page(part)
                    await self._share(part, queue)
            except CrawlerError as error:
                if not is_of_one_request(error):
                    raise
                if is_missing(error) and not self._is_answered:
                    self._missing = error
                elif len(part.experiment_ids) > 1:
                    parts += _halves(part, self._context.client.logged_models.experiment_ids.ids)
                else:
                    if row_error_text(error) is not None:
                        self._faults.failed()
                    elif not self._is_answered:
                        self._refusals.failed()
                    self._tell_unread(part.experiment_ids, str(error))

    async def _read_page(self, part: Part) -> None:
        async with self._context.client.logged_models.next_page(part.experiment_ids, part.cursor) as step:
            if step.rows or step.unreadable or step.is_last:
                self._is_answered = True
                self._faults.succeeded()
            for finding in row_findings(LOGGED_MODELS.name, step.unreadable, step.mended):
                self._context.listener(finding)
            if not step.rows:
                return
            self._context.listener(RowsRead(LOGGED_MODELS.name, len(step.rows)))
            nans = await self._nans(step.rows)
            mapped = (entity for model in _let_go(step.rows) for entity in self._mapped(model, nans))
            await self._context.send(mapped, None)

    def _mapped(self, model: LoggedModel, nans: set[PointKey]) -> list[Entity]:
        guid = self._containers.get(model.info.experiment_id)
        container = None if guid is None else urns.container(guid.hex())
        return self._context.mapper.logged_model(model, container, nans)

    async def _share(self, part: Part, queue: Queue) -> None:
        """Give later parts of what is left to idle workers, where MLflow has room for more pages."""
        if part.cursor.query is None or self._context.room(queue.idle) < 1:
            return
        if part.newest is None:
            part.newest = await self._newest(part)
        for cursor in part.cursor.split(part.newest, self._context.room(queue.idle)):
            queue.give(Part(part.experiment_ids, cursor, part.newest))

    async def _newest(self, part: Part) -> int:
        """Return when the newest of these models was created; 0 where that is not known."""
        try:
            return await self._context.client.logged_models.newest(part.experiment_ids) or 0
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            return 0

    def _tell_unread(self, experiment_ids: Sequence[str], reason: str) -> None:
        if self._context.progress.memory is not None:
            self._context.progress.memory.experiments.forget(experiment_ids)
        others = f" and {len(experiment_ids) - 1} others" if len(experiment_ids) > 1 else ""
        sample = f"experiment {experiment_ids[0]}{others}: {reason}"
        self._context.listener(LISTING_UNREAD[LOGGED_MODELS.name].found(sample, count=len(experiment_ids)))

    async def _nans(self, models: Sequence[LoggedModel]) -> set[PointKey]:
        """Return which of the latest points are NaN: MLflow lists these as 0.0, and the run that logged them tells."""
        zeros: dict[str, None] = {}
        experiment_ids: dict[str, None] = {}
        for model in models:
            if any(point.value == 0 for point in model.data.metrics):
                zeros |= {each.run_id: None for each in latest_points(model.data.metrics) if each.value == 0}
                experiment_ids[model.info.experiment_id] = None
        zeros.pop("", None)
        nans: set[PointKey] = set()
        for run_ids in slices([*zeros], RUN_IDS_A_REQUEST):
            nans.update(await self._nans_of_runs(run_ids, [*experiment_ids]))
        return nans

    async def _nans_of_runs(self, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> set[PointKey]:
        nans: set[PointKey] = set()
        missing = set(run_ids)
        scopes = search_scopes(experiment_ids, self._context.client.runs.experiment_ids.ids, len(run_ids))
        try:
            # A run that only evaluated a model may be of any experiment.
            for scope in scopes if scopes == [[]] else [*scopes, []]:
                found = await self._context.client.logged_models.measured(sorted(missing), scope)
                for text in (*found.failed, *found.unreadable):
                    self._context.listener(ZEROS_UNKNOWN.found(text))
                for run in found.runs:
                    missing.discard(run.info.run_id)
                    nans.update(_nans_of(run))
                if not missing:
                    break
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            self._context.listener(ZEROS_UNKNOWN.found(str(error), count=len(missing)))
        return nans


def _nans_of(run: MeasuredRun) -> Iterator[PointKey]:
    return (point_key(run.info.run_id, point) for point in run.data.metrics if isnan(point.value))


def _halves(part: Part, most: int) -> list[Part]:
    """Return parts of at most `most` and at most half of the experiments, which go on in its stead."""
    size = min(most, (len(part.experiment_ids) + 1) // 2)
    return [Part(some, part.cursor.copy(), part.newest) for some in slices(part.experiment_ids, size)]


def _let_go(models: list[LoggedModel]) -> Iterator[LoggedModel]:
    """Yield the models in order, each of which leaves the list: its memory is free for what the next is mapped to."""
    models.reverse()
    while models:
        yield models.pop()
