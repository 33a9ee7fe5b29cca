"""A long crawl between two servers that fail at 5 % of all requests: what is missing, and how much memory it takes.

Then the same with a state, and the crawl killed at random moments.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from signal import SIGKILL
from typing import Any, NamedTuple

import msgspec

from benchmarks.crawls import ENVIRONMENT, REPORT, Cost, crawl, crawl_command
from benchmarks.processes import CommandFailed, Measured, measured
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import gms, replay
from tests.servers.faulty import Kind

FAULTS = 0.05
FIRST_SEED = 1
START_SECONDS = 0.5
"""After which a crawl has begun to read: one that is killed before shows nothing."""
RSS_LIMIT = 110
MEGABYTE = 1_000_000
STATE = "crawl.state"


class Sizes(NamedTuple):
    """Runs: few of them, ten times that; and all else that MLflow lists beside the many. How often the last crawl is
    killed.
    """

    small: int
    large: int
    experiments: int
    models: int
    versions: int
    kills: int


FULL = Sizes(small=100_000, large=1_000_000, experiments=200, models=50, versions=4, kills=5)
SMALL = Sizes(small=500, large=5_000, experiments=10, models=5, versions=4, kills=2)


class Soaked(NamedTuple):
    """What one crawl, or the lives of one that was killed, left: the census of the double, and all faults by kind."""

    counts: dict[str, Any]
    faults: dict[str, Counter[str]]
    asked: int


class Round(NamedTuple):
    """One repeat. `lives` are those of the crawl that is killed."""

    small: Cost
    whole: Cost
    large: Cost
    met: Soaked
    lives: list[Measured]
    killed: Soaked


def run(quick: bool, repeats: int) -> Result:
    """Crawls of few runs and of many with faults, of many without, and of many with faults and kills."""
    sizes = SMALL if quick else FULL
    rounds = [_round(sizes, repeat) for repeat in range(repeats)]
    kinds = ", ".join(kind.value for kind in Kind)
    notes = [
        f"{FAULTS:.0%} of the requests to each server fail, by seed: {kinds}. 503 comes with Retry-After: 0.",
        "A replay server gives recorded pages, multiplied; the double counts distinct entities and aspects.",
        "All settings are the defaults; confirmed is by reading back.",
        "Few and many runs lie in few and many experiments, as many in each: so that pages are as large.",
        "Required of each crawl with faults: exit code 0, no failure named, no dead letter, all that MLflow lists.",
        "Of the large ones also: the same URNs (SHA-256), and as many aspects, as without faults.",
        "Killed by SIGKILL and started again with the same --state; proposals sent count all lives.",
    ]
    title = f"{sizes.large:,} runs, and {FAULTS:.0%} of all requests fail"
    return Result("soak", title, _rows(sizes, rounds), notes)


def _round(sizes: Sizes, repeat: int) -> Round:
    seed = FIRST_SEED + 10 * repeat
    small, _ = _with_faults(sizes, sizes.small, seed)
    say(f"{sizes.large:,} runs without faults")
    with replay(**_listed(sizes, sizes.large)) as source:
        whole = crawl(source)
    _require_listed(whole.counts, sizes, sizes.large)
    large, met = _with_faults(sizes, sizes.large, seed + 2)
    _require_same(large.counts, whole.counts)
    lives, killed = _killed(sizes, large.wall, seed + 4)
    _require_same(killed.counts, whole.counts)
    return Round(small, whole, large, met, lives, killed)


def _with_faults(sizes: Sizes, runs: int, seed: int) -> tuple[Cost, Soaked]:
    say(f"{runs:,} runs with {FAULTS:.0%} faults, seeds {seed} and {seed + 1}")
    with replay(**_listed(sizes, runs), faults=FAULTS, seed=seed) as source:
        cost = crawl(source, into=partial(gms, faults=FAULTS, seed=seed + 1))
    _require_listed(cost.counts, sizes, runs)
    _require_flawless(cost.report)
    return cost, _soaked(source.counts, cost.counts)


def _killed(sizes: Sizes, wall: float, seed: int) -> tuple[list[Measured], Soaked]:
    """The lives of one crawl with a state. Its servers live on."""
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as name,
        replay(**_listed(sizes, sizes.large), faults=FAULTS, seed=seed) as source,
        gms(faults=FAULTS, seed=seed + 1) as double,
    ):
        folder = Path(name)
        command = crawl_command(source.url, double.url, folder, ("--state", STATE))
        lives = _lives(command, folder, _lifetimes(wall, sizes.kills, seed))
        report = msgspec.json.decode((folder / REPORT).read_bytes())
    _require_listed(double.counts, sizes, sizes.large)
    _require_flawless(report)
    return lives, _soaked(source.counts, double.counts)


def _lifetimes(wall: float, kills: int, seed: int) -> list[float]:
    """Seconds: at random, and together hardly more than a crawl takes that is left alone."""
    chance = random.Random(seed)
    return [START_SECONDS + chance.uniform(0, wall / (kills + 1)) for _ in range(kills)]


def _lives(command: Sequence[str | Path], folder: Path, lifetimes: list[float]) -> list[Measured]:
    lives = []
    for lifetime in (*lifetimes, None):
        say("with a state, to the end" if lifetime is None else f"with a state, killed after {lifetime:.1f} s")
        # Nobody's own settings: an empty home has no ~/.datahubenv.
        variables = {"HOME": str(folder)} | ENVIRONMENT
        life = measured(command, environment=variables, cwd=folder, expected=(0, -SIGKILL), lifetime=lifetime)
        lives.append(life)
        if life.exit_code == 0:
            break
    return lives


def _listed(sizes: Sizes, runs: int) -> dict[str, int]:
    """Experiments go with the runs: what is compared has pages of one size."""
    experiments = sizes.experiments * runs // sizes.large
    return {"runs": runs, "experiments": experiments, "models": sizes.models, "versions": sizes.versions}


def _soaked(mlflow: Mapping[str, Any], datahub: dict[str, Any]) -> Soaked:
    faults = {"MLflow": Counter(mlflow["faults"]), "DataHub": Counter(datahub["faults"])}
    return Soaked(datahub, faults, mlflow["asked"] + datahub["asked"])


def _require_listed(counts: Mapping[str, Any], sizes: Sizes, runs: int) -> None:
    """Raises CommandFailed unless all that MLflow lists is there."""
    listed = {
        "dataProcessInstance": runs,
        "container": _listed(sizes, runs)["experiments"],
        "mlModelGroup": sizes.models,
        "mlModel": sizes.models * sizes.versions,
    }
    found = {kind: counts["entities"].get(kind, 0) for kind in listed}
    if found != listed:
        raise CommandFailed(f"MLflow lists {listed}, DataHub has {found}.")


def _require_flawless(report: Mapping[str, Any]) -> None:
    """Raises CommandFailed where a crawl names anything that did not arrive."""
    if report["status"] != "success" or report["failures"] or report["dead_letters"]["count"]:
        raise CommandFailed(f"The crawl ended as {report['status']}: {report['failures']}, {report['dead_letters']}.")


def _require_same(counts: Mapping[str, Any], whole: Mapping[str, Any]) -> None:
    """Raises CommandFailed unless the same arrived as without faults."""
    for name in ("entities", "aspects", "urns_digest", "digests"):
        if counts[name] != whole[name]:
            raise CommandFailed(f"{name}: {counts[name]} with faults, {whole[name]} without.")


def _rows(sizes: Sizes, rounds: list[Round]) -> list[Row]:
    return [*_memory_rows(sizes, rounds), *_crawl_rows(rounds), *_fault_rows(rounds), *_killed_rows(rounds)]


def _memory_rows(sizes: Sizes, rounds: list[Round]) -> list[Row]:
    of_small = [each.small.peak_rss / MEGABYTE for each in rounds]
    of_large = [each.large.peak_rss / MEGABYTE for each in rounds]
    growth = [much / little for little, much in zip(of_small, of_large, strict=True)]
    rows = [
        Row(f"{runs:,} runs: peak RSS", "MB", peaks, f"< {RSS_LIMIT} MB").at_most(RSS_LIMIT, every=True)
        for runs, peaks in ((sizes.small, of_small), (sizes.large, of_large))
    ]
    return [*rows, Row("peak RSS, 10 × the runs", "×", growth, "equal within 10 %").at_most(1.1, every=True)]


def _crawl_rows(rounds: list[Round]) -> list[Row]:
    missing = [float(each.whole.counts["aspects"] - each.large.counts["aspects"]) for each in rounds]
    sent = [each.large.counts["proposals"] / each.large.counts["aspects"] for each in rounds]
    return [
        Row("entities", "entities", [float(sum(each.large.counts["entities"].values())) for each in rounds]),
        Row("aspects", "aspects", [float(each.large.counts["aspects"]) for each in rounds]),
        Row("aspects missing", "aspects", missing, "0").at_most(0, every=True),
        Row("proposals taken ÷ aspects", "×", sent),
        Row("wall", "s", [each.large.wall for each in rounds]),
        Row("wall without faults", "s", [each.whole.wall for each in rounds]),
        Row("peak RSS without faults", "MB", [each.whole.peak_rss / MEGABYTE for each in rounds]),
        Row("requests", "requests", [float(each.met.asked) for each in rounds]),
        *(
            Row(f"retries, {name}", "requests", [float(each.large.report[name.lower()]["retries"]) for each in rounds])
            for name in ("MLflow", "DataHub")
        ),
    ]


def _fault_rows(rounds: list[Round]) -> list[Row]:
    return [
        Row(
            f"faults of {name}: {kind.value}", "requests", [float(each.met.faults[name][kind.value]) for each in rounds]
        )
        for name in ("MLflow", "DataHub")
        for kind in Kind
    ]


def _killed_rows(rounds: list[Round]) -> list[Row]:
    kills = [float(sum(life.exit_code != 0 for life in each.lives)) for each in rounds]
    faults = [float(sum(sum(met.values()) for met in each.killed.faults.values())) for each in rounds]
    missing = [float(each.whole.counts["aspects"] - each.killed.counts["aspects"]) for each in rounds]
    sent = [each.killed.counts["proposals"] / each.killed.counts["aspects"] for each in rounds]
    return [
        Row("with a state: kills", "kills", kills),
        Row("with a state: faults", "requests", faults),
        Row("with a state: aspects missing", "aspects", missing, "0").at_most(0, every=True),
        Row("with a state: proposals taken ÷ aspects", "×", sent),
        Row("with a state: wall of all lives", "s", [sum(life.wall for life in each.lives) for each in rounds]),
        Row("with a state: peak RSS", "MB", [max(life.peak_rss for life in each.lives) / MEGABYTE for each in rounds]),
    ]
