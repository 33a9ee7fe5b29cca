"""The stage of the model registry: registered models or prompts, then the versions of those that are listed."""

from collections.abc import AsyncIterator, Iterable
from itertools import chain

from crawler.config.patterns import AllowDenyPattern
from crawler.errors import CrawlerError
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.entities import ModelVersion, RegisteredModel, is_prompt
from crawler.mlflow.name_filter import name_filter
from crawler.mlflow.refusals import wants_filter
from crawler.mlflow.resources import MODEL_VERSIONS, PROMPT_VERSIONS, PROMPTS, REGISTERED_MODELS, Resource
from crawler.mlflow.row_errors import is_of_one_request
from crawler.pipeline.listings import Listings
from crawler.pipeline.model_files import ModelFiles
from crawler.pipeline.run_stage import Send
from crawler.pipeline.work_stealing import WorkStealingQueue, work_through
from crawler.telemetry.events import Listener, RowsRead, RowsSkipped, rows_left_out
from crawler.telemetry.findings.reading import HIDDEN_MODEL_VERSIONS, LISTING_UNREAD

_HIDDEN = {
    MODEL_VERSIONS.name: "model versions of models that are not listed",
    PROMPT_VERSIONS.name: "prompt versions of prompts that are not listed",
}


class RegistryStage:
    """Reads the models of the registry, or its prompts, once and sends what their versions map to.

    The models themselves, and versions that have to wait, are sent when the mapper is told that all versions are there.

    Versions come with the models that are listed, not by themselves: an account may see versions of models that it may
    not read. A model that was made after its page was read is found by reading the models once more.
    """

    def __init__(
        self,
        listings: Listings,
        mapper: CrawlMapper,
        send: Send,
        listener: Listener,
        files: ModelFiles,
        workers: int,
        pattern: AllowDenyPattern,
        models: Resource[RegisteredModel] = REGISTERED_MODELS,
        versions: Resource[ModelVersion] = MODEL_VERSIONS,
        *,
        takes_prompts: bool = True,
    ) -> None:
        """Read the models whose name the `pattern` allows.

        A registry that does not tell prompts from models (before 2.21) lists them here; they are left out unless it
        `takes_prompts`. Where versions are had by model only, those of at most `workers` models are asked for at once.
        """
        self._pattern = pattern
        self._takes_prompts = takes_prompts
        self._models = models
        self._versions = versions
        self._listings = listings
        self._mapper = mapper
        self._send = send
        self._listener = listener
        self._files = files
        self._workers = workers
        self._names: set[str] = set()
        self._left_out: set[str] = set()
        self._waiting: dict[str, list[ModelVersion]] = {}
        """Versions of models that are not listed yet, by the model's name."""
        self._is_whole = True

    async def read(self) -> None:
        """Read all of it, as far as it can be listed. Raises what the server fails with.

        Most servers have no prompts, so these are asked for versions only if there are any.
        """
        await self._read_models()
        if self._models is not PROMPTS or self._names:
            await self._read_versions()
        if self._waiting:
            await self._read_models()
            await self._send_known()
        self._tell_hidden()

    async def _read_models(self) -> None:
        """Take the models that are not known yet; their groups are sent once all versions are known."""
        async for step in self._listings.steps(self._models):
            self._is_whole &= not step.unreadable
            listed = [
                model for model in step.rows if model.name not in self._names and model.name not in self._left_out
            ]
            new = [model for model in listed if self._chooses(model)]
            self._names.update(model.name for model in new)
            self._listener(RowsRead(self._models.name, len(new)))
            for model in new:
                self._mapper.registered_model(model)
            if len(new) < len(listed):
                self._leave_out_models([model for model in listed if model.name not in self._names])

    def _leave_out_models(self, models: list[RegisteredModel]) -> None:
        self._left_out.update(model.name for model in models)
        self._listener(rows_left_out(self._models.name, models, lambda model: model.name))
        self._mapper.left_out_models(models)

    def _chosen(self, versions: list[ModelVersion]) -> list[ModelVersion]:
        """Return the versions of models that are chosen."""
        if self._pattern.allows_all and self._takes_prompts:
            return versions
        left_out = [each for each in versions if each.name in self._left_out or not self._chooses(each)]
        if left_out:
            self._listener(rows_left_out(self._versions.name, left_out, lambda each: f"{each.name} {each.version}"))
            self._mapper.left_out_versions(left_out)
        return [each for each in versions if each.name not in self._left_out and self._chooses(each)]

    def _chooses(self, row: RegisteredModel | ModelVersion) -> bool:
        return self._pattern.allows(row.name) and (self._takes_prompts or not is_prompt(row))

    async def _read_versions(self) -> None:
        async for step in self._listings.steps(self._versions):
            await self._take(step.rows)
        if self._listings.wants_filter(self._versions) and self._listings.error_of(self._models) is None:
            await self._read_by_model()

    async def _read_by_model(self) -> None:
        """Ask for the versions of each model by its name. What was refused stays so if that is refused, too."""
        names = sorted(self._names, key=lambda name: ("'" in name, name))
        if names and await self._is_refused(names[0]):
            return
        self._listings.forgive(self._versions)

        async def others() -> AsyncIterator[str]:
            for name in names[1:]:
                yield name

        async def work(name: str, _queue: WorkStealingQueue[str]) -> None:
            if (error := await self._read_versions_of(name)) is not None:
                self._tell_unread(name, error)

        await work_through(others(), work, self._workers)

    async def _is_refused(self, name: str) -> bool:
        """Read the versions of one model. Returns whether the server refuses this, too."""
        error = await self._read_versions_of(name)
        if error is None:
            return False
        if wants_filter(error):
            return True
        self._tell_unread(name, error)
        return False

    async def _read_versions_of(self, name: str) -> CrawlerError | None:
        """Send the versions of one model. Returns why they could not be read, if so."""
        try:
            async for step in self._listings.pages(self._versions, name_filter(name)):
                await self._take([version for version in step.rows if version.name == name])
        except CrawlerError as error:
            if not is_of_one_request(error):
                raise
            return error
        return None

    def _tell_unread(self, name: str, error: CrawlerError) -> None:
        self._listener(LISTING_UNREAD[self._versions.name].found(f"{name}: {error}"))

    @property
    def _knows_all_models(self) -> bool:
        """Whether a model that is not known is not listed, rather than not readable."""
        return self._is_whole and self._listings.error_of(self._models) is None

    async def _take(self, versions: list[ModelVersion]) -> None:
        """Send versions of known models; the others wait."""
        versions = self._chosen(versions)
        if not self._knows_all_models:
            await self._send_versions(versions)
            return
        for version in versions:
            if version.name not in self._names:
                self._waiting.setdefault(version.name, []).append(version)
        await self._send_versions([version for version in versions if version.name in self._names])

    async def _send_known(self) -> None:
        for name in list(self._waiting):
            if name in self._names or not self._knows_all_models:
                await self._send_versions(self._waiting.pop(name))

    async def _send_versions(self, versions: Iterable[ModelVersion]) -> None:
        versions = list(versions)
        self._listener(RowsRead(self._versions.name, len(versions)))
        await self._send(chain.from_iterable(map(self._mapper.model_version, versions)), None)

    def _tell_hidden(self) -> None:
        for name, versions in self._waiting.items():
            self._listener(HIDDEN_MODEL_VERSIONS.found(f"{name}: {len(versions)}", len(versions)))
            self._listener(RowsSkipped(_HIDDEN[self._versions.name], len(versions)))
            for version in versions:
                self._mapper.hidden_version(version)
        self._waiting.clear()
