"""The floor of many small experiments: a loop by hand that searches 100 at once, with our own mapping and wire.

`python -m benchmarks.many_floor MLFLOW_URL DATAHUB_URL`. It trusts MLflow's tokens, does not retry, confirms nothing
and keeps no more than it must: what a crawl does beyond that is what it costs more.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

from crawler.datahub.batching import Batch
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire.restli import RestliWire
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.decoding import Page
from crawler.mlflow.resources import EXPERIMENTS, MODEL_VERSIONS, REGISTERED_MODELS, RUNS, Resource
from crawler.settings.mapping import MappingSettings

EXPERIMENTS_AT_ONCE, ROWS_A_PAGE, SEARCHES_AT_ONCE, WRITES_AT_ONCE = 100, 1_024, 4, 4
BATCH_PROPOSALS, BATCH_BYTES = 200, 15_000_000


class Loop:
    """Reads one server and writes to another one."""

    def __init__(self, session: aiohttp.ClientSession, mlflow: str, datahub: str) -> None:
        self._session = session
        self._mlflow = mlflow
        self._datahub = datahub
        self._mapper = CrawlMapper(MappingSettings(ui_url=mlflow))
        self._wire = RestliWire(encode_system_metadata(SystemMetadata(int(time.time() * 1_000), "floor", "floor")))
        self._encoder = Encoder(self._wire)
        self._packer = self._wire.packer(BATCH_PROPOSALS, BATCH_BYTES)
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)

    async def run(self) -> None:
        """Read and write everything. Raises aiohttp's errors, also for an error's status."""
        mapper = self._mapper
        async with asyncio.TaskGroup() as tasks:
            await self._add(mapper.stages(), tasks)
            async for models in self._pages(REGISTERED_MODELS):
                for model in models.rows:
                    mapper.registered_model(model)
            async for versions in self._pages(MODEL_VERSIONS):
                for version in versions.rows:
                    await self._add(mapper.model_version(version), tasks)
            await self._add(mapper.versions_complete(), tasks)
            experiment_ids: list[str] = []
            async for experiments in self._pages(EXPERIMENTS):
                experiment_ids += [experiment.experiment_id for experiment in experiments.rows]
                await self._add(map(mapper.experiment, experiments.rows), tasks)
            await self._read_runs(experiment_ids, tasks)
            await self._add(mapper.held(), tasks)
            for batch in self._packer.flush():
                tasks.create_task(self._write(batch))

    async def _read_runs(self, experiment_ids: list[str], tasks: asyncio.TaskGroup) -> None:
        firsts = iter(range(0, len(experiment_ids), EXPERIMENTS_AT_ONCE))

        async def work() -> None:
            for first in firsts:
                some = experiment_ids[first : first + EXPERIMENTS_AT_ONCE]
                async for page in self._pages(RUNS, ROWS_A_PAGE, experiment_ids=some):
                    for run in page.rows:
                        await self._add(self._mapper.run(run), tasks)

        await asyncio.gather(*(work() for _ in range(SEARCHES_AT_ONCE)))

    async def _pages(self, resource: Resource[Any], rows: int = 0, **query: object) -> AsyncIterator[Page[Any]]:
        token = ""
        url = f"{self._mlflow}/api/2.0/mlflow/{resource.endpoint}"
        while True:
            asked = resource.query(rows or resource.page_rows, token, **query)
            given = {"params": asked} if resource.method == "GET" else {"json": asked}
            async with self._session.request(resource.method, url, **given) as answer:  # type: ignore[arg-type]
                page = resource.decode(await answer.read())
            yield page
            token = page.token
            if not token:
                return

    async def _add(self, entities: Iterable[Entity], tasks: asyncio.TaskGroup) -> None:
        for entity in entities:
            encoded, _ = self._encoder.encode(entity)
            for batch in self._packer.add(encoded):
                await self._writes.acquire()
                self._writes.release()
                tasks.create_task(self._write(batch))

    async def _write(self, batch: Batch) -> None:
        request = self._wire.request(batch, asynchronous=True)
        headers = {"Content-Type": "application/json", **request.headers}
        async with (
            self._writes,
            self._session.post(f"{self._datahub}{request.path}", data=request.body, headers=headers) as answer,
        ):
            await answer.read()


async def crawl(mlflow: str, datahub: str) -> None:
    """Read the one and write to the other."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector, raise_for_status=True) as session:
        await Loop(session, mlflow, datahub).run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_floor", description=__doc__)
    parser.add_argument("mlflow")
    parser.add_argument("datahub")
    asyncio.run(crawl(**vars(parser.parse_args())))
