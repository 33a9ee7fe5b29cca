"""Everything that happens in one simulation, drawn from its seed."""

from enum import Enum
from random import Random
from typing import Any

import msgspec

from crawler.settings.crawl import MlflowSettings, Settings
from crawler.settings.mapping import MappingSettings
from crawler.settings.servers import ServerSettings
from crawler.settings.sinks import Confirm, Endpoint, RestSettings
from tests.simulation.model_logger import LoggedAmounts
from tests.simulation.network import Fault, Link, Outage
from tests.simulation.tracking_server import VERSION, IdLimit
from tests.simulation.writer import Amounts

MAX_LOSS = 0.3
MLFLOW = "http://mlflow:5000"
DATAHUB = "http://gms:8080"
OLDER = "2.22.0rc0"
"""It has prompts, but no logged models. An answer that is cut in half tells the same release."""


class Fate(Enum):
    """What becomes of a crawl from outside."""

    LEFT_ALONE = "left alone"
    KILLED = "killed"
    STOPPED = "stopped"


class Life(msgspec.Struct, frozen=True):
    """One crawl, and what becomes of it after so many virtual seconds; times in these.

    A crawl that is stopped has its `grace` to end.
    """

    fate: Fate
    after: float = 0.0
    grace: float = 25.0


class Queue(msgspec.Struct, frozen=True):
    """When the consumer of DataHub's queue does nothing: (begin, end) in virtual seconds, and from some moment on."""

    pauses: tuple[tuple[float, float], ...] = ()
    stands_still_after: float | None = None

    @property
    def is_idle_at_times(self) -> bool:
        """Whether what is taken may wait for any time."""
        return bool(self.pauses) or self.stands_still_after is not None


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """`write_chance` is how likely somebody writes to MLflow before one of its answers, `writes` how often at most.
    Faults end after `calm_after` seconds. `lives` follow each other until one of them ends by itself. Of what DataHub
    takes, it refuses the shares `bad`, with status `refusal`, and `forbidden`, and has `lost` what it said it took.
    After `allowed_searches`, MLflow answers 403 for a search that names one of the `forbidden_experiments`. It tells
    its `mlflow_version`, or none (None), and has a listing of logged models where some are `logged`.
    """

    seed: int
    settings: Settings
    page_rows: dict[str, int]
    constants: dict[str, int]
    amounts: Amounts
    write_chance: float
    writes: int
    links: dict[str, Link]
    calm_after: float
    lives: tuple[Life, ...]
    keeps_state: bool
    sends_changes_only: bool
    gms: dict[str, Any]
    bad: float
    forbidden: float
    refusal: int
    lost: float
    lag: int
    queue: Queue
    id_limit: IdLimit
    forbidden_experiments: frozenset[str]
    allowed_searches: int
    mlflow_version: str | None = VERSION
    logged: LoggedAmounts | None = None

    def without_logged_models(self) -> "Schedule":
        """The same world with an MLflow that has no such listing, as all were before the simulation had any."""
        return msgspec.structs.replace(self, mlflow_version=VERSION, logged=None)


def draw(seed: int) -> Schedule:
    """The schedule of a seed. Each seed has some kinds of trouble only: rare ones would hide behind frequent ones."""
    chance, of_sets, of_queue = Random(seed), Random(f"sets of experiments {seed}"), Random(f"queue {seed}")
    of_logged = Random(f"logged models {seed}")
    mlflow_version, logged = _logged_models(of_logged)
    endpoint = chance.choice(list(Endpoint))
    settings = Settings(
        run_id=f"seed-{seed}",
        pipeline_name=chance.choice((None, "simulation")),
        mlflow=MlflowSettings(
            tracking=_server(chance, MLFLOW),
            registry=chance.choice((None, None, None, _server(chance, MLFLOW))),
            page_size=chance.choice((1, 2, 3, 5, 8, 13, 1024)),
        ),
        mapping=MappingSettings(
            platform_instance=chance.choice((None, None, "ours")),
            model_name_separator=chance.choice(("_", "_", "")),
            ui_url="http://mlflow:5000",
            materialize_dataset_inputs=chance.random() < 0.3,
            source_mapping_to_platform={"strange": "hive"} if chance.random() < 0.5 else {},
        ),
        sink=RestSettings(
            server=_server(chance, DATAHUB),
            endpoint=endpoint,
            confirm=chance.choice(list(Confirm)),
            asynchronous=chance.random() < 0.7,
            batch_size=chance.choice((1, 3, 7, 20, 200)),
            batch_bytes=chance.choice((2_000, 15_000_000, 15_000_000)),
            confirm_wait=of_queue.choice((5.0, 120.0, 900.0, 900.0, 900.0)),
            max_unconfirmed=of_queue.choice((1_000, 1_000_000_000, 1_000_000_000)),
        ),
    )
    schedule = Schedule(
        seed=seed,
        settings=settings,
        page_rows={
            "registered_models": chance.choice((2, 3, 5, 500)),
            "model_versions": chance.choice((2, 3, 7, 2_000)),
            "experiments": chance.choice((2, 3, 5, 2_000)),
        },
        constants={
            "EXPERIMENT_IDS_A_REQUEST": chance.choice((2, 5, 1_000)),
            "RUN_IDS_A_REQUEST": chance.choice((1, 4, 200)),
            "ROWS_A_PAGE": chance.choice((2, 5, 32)),
            "STEP_BACK": chance.choice((3, 20, 1_000)),
            "ENTITIES_AT_ONCE": chance.choice((1, 5, 100)),
            "FEWEST_SETS": of_sets.choice((1, 1, 1, 2, 10)),
            "MAX_IN_MEMORY": of_queue.choice((2_000, 20_000, 8_000_000)),
            "SEGMENT_BYTES": of_queue.choice((500, 5_000, 1_000_000)),
            "FILE_BYTES": of_queue.choice((1_000, 64_000_000)),
            "FIRST_PAGE_ROWS": of_logged.choice((2, 5, 100)),
        },
        amounts=_amounts(chance),
        write_chance=chance.choice((0.0, 0.1, 0.5, 0.9)),
        writes=chance.choice((5, 30, 150)),
        links={name: _link(chance) for name in ("MLflow", "DataHub")},
        calm_after=chance.expovariate(1 / 300),
        lives=_lives(chance),
        keeps_state=chance.random() < 0.6,
        sends_changes_only=Random(f"changed only {seed}").random() < 0.5,
        gms={"latency": chance.choice((0.0, 0.01, 0.3)), "alternate": chance.random() < 0.5}
        | _limits(chance)
        | _lookups(of_queue),
        bad=chance.choice((0.0, 0.0, 0.02, 0.1)),
        forbidden=chance.choice((0.0, 0.0, 0.02, 0.1)),
        refusal=chance.choice((400, 422, 500)),
        lost=chance.choice((0.0, 0.02, 0.2)),
        lag=chance.choice((0, 0, 2, 20)),
        queue=_queue(of_queue),
        id_limit=IdLimit(of_sets.choice((1, 2, 1_000, 1_000, 1_000)), of_sets.random() < 0.5),
        forbidden_experiments=frozenset(of_sets.choice(((), ("1",), ("2", "3")))),
        allowed_searches=of_sets.choice((0, 1, 2, 5, 10, 20)),
        mlflow_version=mlflow_version,
        logged=logged,
    )
    # Without system metadata, what an earlier crawl stored hides that it is lost now.
    return schedule if schedule.gms["shows_metadata"] else msgspec.structs.replace(schedule, lost=0.0)


def _server(chance: Random, url: str) -> ServerSettings:
    low = chance.choice((1, 1, 2))
    return ServerSettings(
        url=url,
        concurrency=max(low, chance.choice((1, 2, 4, 16))),
        min_concurrency=low,
        requests_per_second=chance.choice((None, None, 5.0)),
        timeout=chance.choice((5.0, 30.0, 120.0)),
        attempts=chance.choice((3, 8, 8)),
    )


def _amounts(chance: Random) -> Amounts:
    return Amounts(
        experiments=chance.choice((0, 1, 3, 8)),
        runs=chance.choice((0, 1, 20, 60, 200)),
        models=chance.choice((0, 1, 4, 9)),
        versions=chance.choice((0, 3, 15, 40)),
        ties=chance.choice((0.0, 0.3, 1.0)),
        broken=chance.choice((0.0, 0.0, 0.0, 0.05)),
        misshapen=chance.choice((0.0, 0.0, 0.05)),
        untimed=chance.choice((0.0, 0.0, 0.0, 0.05)),
    )


def _logged_models(chance: Random) -> tuple[str | None, LoggedAmounts | None]:
    """MLflow's version and its logged models; or none: it is older, or lacks what its version should have."""
    kind = chance.random()
    if kind < 0.35:
        return (VERSION if kind < 0.2 else OLDER if kind < 0.3 else None), None
    amounts = LoggedAmounts(
        models=chance.choice((2, 8, 16, 30)),
        points=chance.choice((0, 40, 100)),
        ties=chance.choice((0.0, 0.3, 1.0)),
        writes=chance.choice((0, 20, 80)),
        write_chance=chance.choice((0.3, 0.9)),
    )
    return (VERSION if chance.random() < 0.8 else None), amounts


def _link(chance: Random) -> Link:
    latency = chance.choice((0.001, 0.05, 0.5))
    if chance.random() < 0.3:
        return Link(latency=latency)
    kinds = chance.sample(list(Fault), chance.randrange(1, 5))
    loss = chance.uniform(0, MAX_LOSS)
    return Link(
        latency=latency,
        faults={kind: loss / len(kinds) * (0.1 if kind is Fault.GARBAGE else 1) for kind in kinds},
        outages=tuple(_outage(chance) for _ in range(chance.choice((0, 0, 1, 2)))),
    )


def _outage(chance: Random) -> Outage:
    begin = chance.expovariate(1 / 20)
    return Outage(begin, begin + chance.expovariate(1 / 100))


def _lives(chance: Random) -> tuple[Life, ...]:
    fates = chance.choices(list(Fate), (6, 3, 2), k=3)
    return tuple(Life(fate, chance.expovariate(1 / 10), chance.choice((25.0, 25.0, 0.5))) for fate in fates)


def _limits(chance: Random) -> dict[str, int]:
    return {"body_limit": 3_000} if chance.random() < 0.1 else {}


def _lookups(chance: Random) -> dict[str, Any]:
    return {
        "lag_seconds": chance.choice((0.0, 0.0, 0.0, 3.0, 90.0, 600.0)),
        "offsets": chance.choice(("absent", "forbidden", "groups", "topics")),
        "shows_metadata": chance.random() < 0.9,
    }


def _queue(chance: Random) -> Queue:
    kind = chance.random()
    if kind < 0.1:
        return Queue(stands_still_after=chance.choice((0.0, chance.expovariate(1 / 30))))
    if kind < 0.4:
        begins = sorted(chance.expovariate(1 / 60) for _ in range(chance.randrange(1, 4)))
        return Queue(tuple((begin, begin + chance.expovariate(1 / 200)) for begin in begins))
    return Queue()
