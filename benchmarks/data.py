"""MLflow databases of a given size: the schema is made by the real MLflow, the rows by SQL."""

import csv
import hashlib
import io
import math
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from crawler.settings.crawl import MlflowSettings
from crawler.settings.servers import ServerSettings
from tests.servers.environments import mlflow_environment
from tests.servers.kept import kept
from tests.servers.mlflow_server import empty_database

MLFLOW = "3.17.2"
PARAMS, METRICS, TAGS = 8, 10, 6
DATASETS_AN_EXPERIMENT, RUNS_A_DATASET_INPUT = 4, 4
START = 1_700_000_000_000
EVERY_MS, LASTS_MS = 10, 5_000
FIRST_EXPERIMENT = 100
COPIED_AT_ONCE = 50_000
DATABASE = "filled.db"
PAGE_SIZE = MlflowSettings(tracking=ServerSettings(url="")).page_size


class Data(NamedTuple):
    """How much of everything; each run has 8 params, 10 metrics and 6 tags, and every fourth a dataset. Each logged
    model has 10 params, 20 metrics and 5 tags.
    """

    runs: int
    experiments: int
    models: int = 50
    versions: int = 4
    logged_models: int = 0


QUICK = Data(runs=100, experiments=4, models=3, versions=2)

Cells = tuple[str | int | float | bool, ...]


class Table(NamedTuple):
    """Rows of one table; those columns that MLflow itself leaves empty are left out."""

    name: str
    columns: tuple[str, ...]
    rows: Iterator[Cells]


def runs_by_experiment(data: Data) -> list[int]:
    """How many runs each experiment has."""
    return [len(range(first, data.runs, data.experiments)) for first in range(data.experiments)]


def pages_needed(data: Data) -> int:
    """The fewest requests that list it all without logged models: one each for models, versions, experiments, and for
    what there is none of (logged models, prompts, evaluation datasets, traces), and the pages of runs of each
    experiment, the empty one included that MLflow makes itself.
    """
    return 4 + 4 + sum(max(1, math.ceil(count / PAGE_SIZE)) for count in runs_by_experiment(data))


def sqlite_database(data: Data) -> Path:
    """A database file with this data, kept in the user's cache folder: serve a copy of it."""
    source = Path(__file__).read_bytes()
    name = "-".join([*map(str, data), hashlib.sha256(source).hexdigest()[:8]])

    def make(folder: Path) -> None:
        made = folder / DATABASE
        shutil.copyfile(empty_database(MLFLOW), made)
        _fill_sqlite(made, data)

    return kept(f"{mlflow_environment(MLFLOW).name}-{name}", make) / DATABASE


def fill_postgresql(uri: str, data: Data) -> None:
    """Puts the data, and nothing else, into a database that MLflow has made its tables in.

    Raises CalledProcessError where psql refuses.
    """
    _psql(uri, "TRUNCATE runs, registered_models, inputs CASCADE")
    _psql(uri, f"DELETE FROM experiments WHERE experiment_id >= {FIRST_EXPERIMENT}")
    for table in tables(data):
        rows = iter(table.rows)
        while text := _csv(rows, COPIED_AT_ONCE):
            _psql(uri, f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN CSV", text)
    _psql(uri, "VACUUM ANALYZE")


def tables(data: Data) -> Iterator[Table]:
    """All rows, parents first; the same for the same size, and never more than one of them in memory."""
    yield Table(
        "experiments",
        ("experiment_id", "name", "artifact_location", "lifecycle_stage", "creation_time", "last_update_time"),
        ((number, f"experiment {number}", "s3://bucket", "active", START, START) for number in _experiments(data)),
    )
    run_columns = "run_uuid name source_type source_name entry_point_name user_id status start_time end_time"
    yield Table(
        "runs",
        (*run_columns.split(), "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
        (_run(number, data) for number in range(data.runs)),
    )
    yield Table("params", ("key", "value", "run_uuid"), _each(data, PARAMS, _param))
    columns = ("key", "value", "timestamp", "step", "is_nan", "run_uuid")
    yield Table("latest_metrics", columns, _each(data, METRICS, _metric))
    yield Table("tags", ("key", "value", "run_uuid"), _each(data, TAGS, _tag))
    dataset_columns = "dataset_uuid experiment_id name digest dataset_source_type dataset_source dataset_schema"
    yield Table("datasets", tuple(dataset_columns.split()), _datasets(data))
    input_columns = "input_uuid source_type source_id destination_type destination_id step"
    yield Table("inputs", tuple(input_columns.split()), _inputs(data))
    yield Table(
        "registered_models",
        ("name", "creation_time", "last_updated_time", "description"),
        ((f"model {number}", START, START, f"about model {number}") for number in range(data.models)),
    )
    version_columns = "name version creation_time last_updated_time description current_stage source run_id status"
    yield Table("model_versions", tuple(version_columns.split()), _versions(data))
    yield from _logged_models(data)


def _experiments(data: Data) -> range:
    return range(FIRST_EXPERIMENT, FIRST_EXPERIMENT + data.experiments)


def run_id(number: int) -> str:
    """As random as MLflow's own, and the same each time."""
    return hashlib.md5(b"run %d" % number, usedforsecurity=False).hexdigest()


def _run(number: int, data: Data) -> Cells:
    start = START + number * EVERY_MS
    experiment = _experiment(number, data)
    artifacts = f"s3://bucket/{experiment}/{run_id(number)}/artifacts"
    user = f"user{number % 20}"
    named = (run_id(number), f"run {number}", "UNKNOWN", "", "", user)
    return (*named, "FINISHED", start, start + LASTS_MS, "", "active", artifacts, experiment)


def _each(data: Data, count: int, row: Callable[[int, int], Cells]) -> Iterator[Cells]:
    return (row(run, number) for run in range(data.runs) for number in range(count))


def _param(run: int, number: int) -> Cells:
    return (f"param{number}", str(_fraction(run, number)), run_id(run))


def _metric(run: int, number: int) -> Cells:
    return (f"metric{number}", _fraction(run, number), START + run * EVERY_MS, number, False, run_id(run))


def _tag(run: int, number: int) -> Cells:
    special = {
        0: ("mlflow.runName", f"run {run}"),
        1: ("mlflow.user", f"user{run % 20}"),
        2: ("mlflow.source.name", "train.py"),
        3: ("mlflow.source.type", "LOCAL"),
    }
    return (*special.get(number, (f"tag{number}", f"value {run % 97}")), run_id(run))


def _datasets(data: Data) -> Iterator[Cells]:
    schema = '{"mlflow_colspec": [{"type": "double", "name": "x"}, {"type": "long", "name": "y"}]}'
    for experiment in _experiments(data):
        for number in range(DATASETS_AN_EXPERIMENT):
            source = f'{{"uri": "s3://bucket/data/{experiment}/{number}.parquet"}}'
            identifier = _dataset_id(experiment, number)
            yield (identifier, experiment, f"dataset {number}", identifier[:8], "s3", source, schema)


def _inputs(data: Data) -> Iterator[Cells]:
    for run in range(0, data.runs, RUNS_A_DATASET_INPUT):
        dataset = _dataset_id(_experiment(run, data), run // RUNS_A_DATASET_INPUT % DATASETS_AN_EXPERIMENT)
        yield (f"input{run}", "DATASET", dataset, "RUN", run_id(run), 0)


def _dataset_id(experiment: int, number: int) -> str:
    return hashlib.md5(b"dataset %d %d" % (experiment, number), usedforsecurity=False).hexdigest()


def _experiment(run: int, data: Data) -> int:
    """The experiment of a run."""
    return FIRST_EXPERIMENT + run % data.experiments


def _fraction(run: int, number: int) -> float:
    """A number with as many digits as a measured one."""
    return ((run * 7_919 + number * 104_729) % 1_000_003) / 1_000_003


def _versions(data: Data) -> Iterator[Cells]:
    total = data.models * data.versions
    for number in range(total):
        run = run_id(number * data.runs // total)
        model, version = number // data.versions, number % data.versions + 1
        yield (f"model {model}", version, START, START, "", "None", f"s3://bucket/models/{run}", run, "READY")


def _logged_models(data: Data) -> Iterator[Table]:
    columns = "model_id experiment_id name artifact_location creation_timestamp_ms last_updated_timestamp_ms status"
    numbers = range(data.logged_models)
    yield Table(
        "logged_models",
        (*columns.split(), "lifecycle_stage", "model_type", "source_run_id"),
        (
            (
                *(_model_id(number), _experiment(number, data), f"model {number}", "s3://bucket/models"),
                *(START + number * EVERY_MS, START + number * EVERY_MS, 2, "active", "", run_id(number % data.runs)),
            )
            for number in numbers
        ),
    )
    for kind, columns, count in (("params", "param_key param_value", 10), ("tags", "tag_key tag_value", 5)):
        yield Table(
            f"logged_model_{kind}",
            ("model_id", "experiment_id", *columns.split()),
            (
                (_model_id(number), _experiment(number, data), f"{kind} {each}", str(_fraction(number, each)))
                for number in numbers
                for each in range(count)
            ),
        )
    columns = "model_id experiment_id metric_name metric_timestamp_ms metric_step metric_value run_id"
    yield Table(
        "logged_model_metrics",
        tuple(columns.split()),
        (
            (
                *(_model_id(number), _experiment(number, data), f"metric{each}", START + each, each),
                *(_fraction(number, each) + 1, run_id(number % data.runs)),
            )
            for number in numbers
            for each in range(20)
        ),
    )


def _model_id(number: int) -> str:
    return f"m-{run_id(number)}"


def _fill_sqlite(path: Path, data: Data) -> None:
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA synchronous = OFF")
        for table in tables(data):
            marks = ", ".join("?" * len(table.columns))
            columns = ", ".join(table.columns)
            connection.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", table.rows)
        connection.commit()
    finally:
        connection.close()


def _csv(rows: Iterator[Cells], limit: int) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    for _, row in zip(range(limit), rows, strict=False):
        writer.writerow(row)
    return text.getvalue()


def _psql(uri: str, statement: str, text: str = "") -> None:
    command = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", uri, "--command", statement]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True, env=os.environ | {"LC_ALL": "C"})
