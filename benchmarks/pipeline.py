"""What a run costs us: the pure stages beside a loop written by hand, and a whole crawl beside the pure stages."""

import gc
import importlib.util
import json
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import process_time
from typing import NamedTuple

import msgspec

from benchmarks import hand_loop
from benchmarks.crawls import REPORT, Cost, cost_of
from benchmarks.pages import Pages
from benchmarks.processes import CommandFailed, running
from benchmarks.progress import say
from benchmarks.pure_stages import MAPPING, SYSTEM_METADATA, PureStages, Spent, run_pages
from benchmarks.results import Result, Row
from benchmarks.servers import ROOT
from crawler.datahub.proposals import encode_system_metadata
from crawler.mapping.experiments import container_urn
from crawler.mlflow.entities import Experiment
from crawler.sinks.gms_writer import GZIP_FORMAT, GZIP_LEVEL

EXPERIMENTS = 20
PURE_RUNS = 5_000
PURE_ROUNDS = 5
CRAWLED_RUNS = 200_000
QUICK_RUNS = 2_000
MAX_BESIDE_HAND_LOOP = 1.15
MAX_BESIDE_PURE_STAGES = 1.8
PROPOSALS_A_SECOND = 100_000

# What the console script does, on uvloop's event loop.
ON_UVLOOP = "import asyncio, sys, uvloop; uvloop.install(); from crawler.cli.main import main; sys.exit(main())"


class Pure(msgspec.Struct):
    """CPU µs a run of one repeat, of runs without datasets."""

    stages: float
    hand_loop: float
    gzip: float
    spent: Spent


class Crawled(NamedTuple):
    """A crawl, and what the pure stages took just before and after it for runs like its own, in CPU µs a run."""

    cost: Cost
    pure: float


class Variant(msgspec.Struct, frozen=True):
    """One way of crawling: options of the sink, and how Python is called."""

    name: str
    sink: dict[str, str] = {}
    python: tuple[str, ...] = ("-m", "crawler")


VARIANTS = (
    Variant("Rest.li"),
    Variant("Rest.li, gzip", {"compression": "gzip"}),
    Variant("OpenAPI", {"endpoint": "OPENAPI"}),
    Variant("OpenAPI, gzip", {"endpoint": "OPENAPI", "compression": "gzip"}),
    Variant("Rest.li, uvloop", python=("-c", ON_UVLOOP)),
)


class Replayed:
    """The replay server, as a source of crawls."""

    def __init__(self, url: str, cpu_seconds: Callable[[], float]) -> None:
        self.url = url
        self.cpu_seconds = cpu_seconds


def run(quick: bool, repeats: int) -> Result:
    """The pure stages and the loop in turn in this process, then crawls in processes of their own."""
    runs, crawled = (QUICK_RUNS, QUICK_RUNS) if quick else (PURE_RUNS, CRAWLED_RUNS)
    variants = [variant for variant in VARIANTS if _is_possible(variant)]
    pages = run_pages(Pages(runs, 1, datasets=False), runs)
    mixed = run_pages(Pages(runs, 1), runs)
    proposals = _compare(*pages, runs)
    pure: list[Pure] = []
    started: list[Cost] = []
    crawls: dict[str, list[Crawled]] = {variant.name: [] for variant in variants}
    with _replay(crawled) as source, _replay(0) as empty:
        for repeat in range(repeats):
            say(f"pure stages and hand loop, {runs:,} runs, {repeat + 1} of {repeats}")
            pure.append(_pure(pages, runs))
            started.append(_crawl(empty, variants[0], 0))
            for variant in variants:
                say(f"crawl, {variant.name}, {crawled:,} runs, {repeat + 1} of {repeats}")
                before = _pure_of(mixed, runs)
                cost = _crawl(source, variant, crawled)
                crawls[variant.name].append(Crawled(cost, (before + _pure_of(mixed, runs)) / 2))
    rows = [*_pure_rows(pure, proposals / runs), Row("crawl of 0 runs: CPU", "s", [cost.cpu for cost in started])]
    for name, found in crawls.items():
        rows += _crawl_rows(name, found, started, crawled)
    notes = [
        "A run has 8 params, 10 metrics and 6 tags, as MLflow 3.17.2 answers it; MLflow is replayed.",
        f"Pure stages and hand loop give the same bytes: {proposals / runs:.2f} proposals a run.",
        "Each fourth crawled run has a dataset as input; so have those of the pure stages before and after each crawl.",
        "Client CPU is user + system by wait4; beyond start-up means less the crawl of 0 runs in the same repeat.",
    ]
    return Result("pipeline", "CPU that a run costs us, from MLflow's pages to DataHub's requests", rows, notes)


def _compare(experiment: Experiment, pages: list[bytes], runs: int) -> int:
    """The number of proposals. Raises CommandFailed unless the pure stages and the loop give the same requests."""
    ours = list(PureStages(experiment).bodies(pages))
    if ours != list(_by_hand(experiment, pages)):
        raise CommandFailed("The pure stages and benchmarks/hand_loop.py do not give the same bytes.")
    proposals = sum(len(json.loads(body)["proposals"]) for body in ours)
    if proposals < runs:
        raise CommandFailed(f"{runs} runs came to {proposals} proposals only.")
    return proposals


def _pure(pages: tuple[Experiment, list[bytes]], runs: int) -> Pure:
    experiment, bodies = pages
    requests = list(PureStages(experiment).bodies(bodies))
    gc.collect()
    spent = PureStages(experiment).spent(bodies)
    a_run = 1e6 / runs
    return Pure(
        stages=_seconds(PureStages(experiment).bodies(bodies)) * a_run,
        hand_loop=_seconds(_by_hand(experiment, bodies)) * a_run,
        gzip=_seconds(zlib.compress(request, GZIP_LEVEL, GZIP_FORMAT) for request in requests) * a_run,
        spent=Spent(*(seconds * a_run for seconds in msgspec.structs.astuple(spent))),
    )


def _pure_of(pages: tuple[Experiment, list[bytes]], runs: int) -> float:
    """CPU µs a run of the pure stages, over several rounds: one alone varies by half on a shared machine."""
    experiment, bodies = pages
    spent = sum(_seconds(PureStages(experiment).bodies(bodies)) for _ in range(PURE_ROUNDS))
    return spent / PURE_ROUNDS / runs * 1e6


def _seconds(bodies: Iterable[bytes]) -> float:
    """CPU seconds that it takes to make the bodies, each thrown away."""
    gc.collect()
    started = process_time()
    for _ in bodies:
        pass
    return process_time() - started


def _by_hand(experiment: Experiment, pages: list[bytes]) -> Iterator[bytes]:
    metadata = bytes(encode_system_metadata(SYSTEM_METADATA))
    return hand_loop.bodies(pages, container_urn(experiment, MAPPING), MAPPING.ui_url, metadata)


@contextmanager
def _replay(runs: int) -> Iterator[Replayed]:
    sizes = ("--runs", str(runs), "--experiments", str(EXPERIMENTS))
    with running([sys.executable, "-m", "benchmarks.replay", *sizes], cwd=ROOT) as process:
        yield Replayed(process.first_line(), process.cpu_seconds)


def _is_possible(variant: Variant) -> bool:
    """Whether what the variant needs beyond the package is installed."""
    return variant.python[1] != ON_UVLOOP or importlib.util.find_spec("uvloop") is not None


def _crawl(source: Replayed, variant: Variant, runs: int) -> Cost:
    """Raises CommandFailed unless each run was delivered."""

    def command(folder: Path, datahub_url: str) -> Sequence[str | Path]:
        recipe = folder / "recipe.yml"
        sink = {"type": "datahub-rest", "config": {"server": datahub_url, **variant.sink}}
        # JSON is YAML too.
        recipe.write_text(
            json.dumps({"source": {"type": "mlflow", "config": {"tracking_uri": source.url}}, "sink": sink})
        )
        flags = ("--report", folder / REPORT, "--no-progress")
        return [sys.executable, *variant.python, "crawl", "--config", recipe, *flags]

    cost = cost_of(command, source)
    if (delivered := cost.counts["entities"].get("dataProcessInstance", 0)) != runs:
        raise CommandFailed(f"{variant.name}: {delivered} of {runs} runs were delivered.")
    return cost


def _pure_rows(pure: list[Pure], proposals_a_run: float) -> list[Row]:
    unit = "µs/run"
    beside = [each.stages / each.hand_loop for each in pure]
    stages = (
        Row(f"stage {stage}", unit, [getattr(each.spent, stage) for each in pure]) for stage in Spent.__struct_fields__
    )
    return [
        Row("pure stages", unit, [each.stages for each in pure]),
        Row("hand loop", unit, [each.hand_loop for each in pure]),
        Row("pure stages ÷ hand loop", "×", beside, f"≤ {MAX_BESIDE_HAND_LOOP} ×").at_most(MAX_BESIDE_HAND_LOOP),
        Row("pure stages", "proposals/s", [proposals_a_run * 1e6 / each.stages for each in pure]),
        *stages,
        Row("gzip of the requests", unit, [each.gzip for each in pure]),
    ]


def _crawl_rows(name: str, crawls: list[Crawled], started: list[Cost], runs: int) -> list[Row]:
    costs = [crawl.cost for crawl in crawls]
    whole = [cost.cpu for cost in costs]
    beyond = [cost.cpu - start.cpu for cost, start in zip(costs, started, strict=True)]
    beside = [cpu / (crawl.pure * runs / 1e6) for cpu, crawl in zip(beyond, crawls, strict=True)]
    beside_own = [cpu / _pure_part(cost) for cpu, cost in zip(beyond, costs, strict=True)]
    beside_whole = [cpu / (crawl.pure * runs / 1e6) for cpu, crawl in zip(whole, crawls, strict=True)]
    rates = [cost.counts["proposals"] / cpu for cost, cpu in zip(costs, beyond, strict=True)]
    judged = name == VARIANTS[0].name
    ratio = Row(f"{name}: CPU beyond start-up ÷ pure stages", "×", beside)
    rate = Row(f"{name}: beyond start-up", "proposals/s and core", rates)
    if judged:
        ratio.target, rate.target = f"≤ {MAX_BESIDE_PURE_STAGES} ×", f"≥ {PROPOSALS_A_SECOND:,}"
        ratio.at_most(MAX_BESIDE_PURE_STAGES)
        rate.at_least(PROPOSALS_A_SECOND)
    return [
        Row(f"{name}: client CPU", "s", whole),
        Row(f"{name}: pure stages, with datasets", "µs/run", [crawl.pure for crawl in crawls]),
        rate,
        ratio,
        Row(f"{name}: CPU beyond start-up ÷ its own decode, map, encode", "×", beside_own),
        Row(f"{name}: CPU with start-up ÷ pure stages", "×", beside_whole),
        Row(f"{name}: sent", "MB", [cost.report["datahub"]["bytes"] / 1e6 for cost in costs]),
        Row(f"{name}: wall", "s", [cost.wall for cost in costs]),
        Row(f"{name}: CPU of the replay server", "s", [cost.mlflow_cpu for cost in costs]),
        Row(f"{name}: CPU of the double", "s", [cost.double_cpu for cost in costs]),
    ]


def _pure_part(cost: Cost) -> float:
    """CPU seconds that a crawl itself spent in the pure stages, but for joining requests."""
    spent = cost.report["time"]["cpu_s"]
    return float(sum(spent[stage] for stage in ("decode", "map", "encode")))
