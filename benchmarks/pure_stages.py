"""The stages of a crawl that do no I/O, from a page of MLflow to the body of a request to DataHub, run alone."""

from collections.abc import Iterable, Iterator
from time import process_time

import msgspec

from benchmarks.pages import Pages
from crawler.datahub.batching import Batch, EncodedEntity
from crawler.datahub.encoding import Encoder
from crawler.datahub.proposals import Entity, SystemMetadata, encode_system_metadata
from crawler.datahub.wire import restli
from crawler.mapping.crawl_mapper import CrawlMapper
from crawler.mlflow.decoding import decode_experiments, decode_runs
from crawler.mlflow.entities import Experiment, Run
from crawler.mlflow.run_traits import traits_of
from crawler.settings.mapping import MappingSettings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import RestSettings

MAPPING = MappingSettings(ui_url="https://mlflow.example.org")
SYSTEM_METADATA = SystemMetadata(1_700_000_000_000, "mlflow-2024_01_01-00_00_00", "benchmark")
REST = RestSettings(server=ServerSettings(url="http://gms.example.org:8080"))
ROWS_A_PAGE = 250


class Spent(msgspec.Struct):
    """CPU seconds in each stage."""

    decode: float = 0.0
    map: float = 0.0
    encode: float = 0.0
    pack: float = 0.0
    join: float = 0.0


def run_pages(pages: Pages, runs: int) -> tuple[Experiment, list[bytes]]:
    """The first experiment and the pages of its first `runs` runs."""
    experiment = decode_experiments(pages.experiments(1)).rows[0]
    ids = [experiment.experiment_id]
    return experiment, [pages.runs(ids, ROWS_A_PAGE, offset=offset) for offset in range(0, runs, ROWS_A_PAGE)]


class PureStages:
    """One crawl's worth of them: what a crawl remembers, users and datasets, is remembered."""

    def __init__(self, experiment: Experiment) -> None:
        self._mapper = CrawlMapper(MAPPING)
        self._mapper.experiment(experiment)
        wire = restli.RestliWire(encode_system_metadata(SYSTEM_METADATA))
        self._encoder = Encoder(wire)
        self._packer = wire.packer(REST.batch_size, REST.batch_bytes)

    def bodies(self, pages: Iterable[bytes]) -> Iterator[bytes]:
        """The requests that the pages come to, without what is held back to the end of a crawl."""
        mapper, encoder, packer = self._mapper, self._encoder, self._packer
        for page in pages:
            is_clean = not traits_of(page).may_have_credentials
            for run in decode_runs(page).rows:
                for entity in mapper.run(run, is_clean=is_clean):
                    parcel, _ = encoder.encode(entity)
                    for batch in packer.add(parcel):
                        yield _body(batch)
        yield from map(_body, packer.flush())

    def held(self, pages: Iterable[bytes]) -> list[tuple[Run, Entity, EncodedEntity]]:
        """Every run with what is mapped and encoded of it, kept all at once."""
        return [
            (run, entity, self._encoder.encode(entity)[0])
            for page in pages
            for run in decode_runs(page).rows
            for entity in self._mapper.run(run)
        ]

    def spent(self, pages: Iterable[bytes]) -> Spent:
        """The same, stage by stage on one page after the other."""
        spent = Spent()
        for page in pages:
            started = process_time()
            runs = decode_runs(page).rows
            is_clean = not traits_of(page).may_have_credentials
            decoded = process_time()
            entities = [entity for run in runs for entity in self._mapper.run(run, is_clean=is_clean)]
            mapped = process_time()
            parcels = [self._encoder.encode(entity)[0] for entity in entities]
            encoded = process_time()
            batches: list[Batch] = []
            for parcel in parcels:
                batches += self._packer.add(parcel)
            packed = process_time()
            for batch in batches:
                _body(batch)
            joined = process_time()
            spent.decode += decoded - started
            spent.map += mapped - decoded
            spent.encode += encoded - mapped
            spent.pack += packed - encoded
            spent.join += joined - packed
        return spent


def _body(batch: Batch) -> bytes:
    encoded = [proposal for parcel in batch.entities for proposal in parcel.proposals]
    return restli.body(encoded, asynchronous=REST.asynchronous)
