"""What a DataHub whose queue lags costs a crawl: the same crawl without and with a lag, in turn."""

from functools import partial

from benchmarks.crawls import Cost, cost_rows, crawl
from benchmarks.processes import CommandFailed
from benchmarks.progress import say
from benchmarks.results import Result, Row
from benchmarks.servers import gms, replay

RUNS = 20_000
EXPERIMENTS = 20
LAG = 90.0
QUICK_RUNS = 500
QUICK_LAG = 2.0
BOUND = 1.20
RSS_LIMIT = 90


def run(quick: bool, repeats: int) -> Result:
    """The double shows what it took only after the lag; nobody may be called unconfirmed or failed."""
    runs, lag = (QUICK_RUNS, QUICK_LAG) if quick else (RUNS, LAG)
    rounds = []
    for repeat in range(repeats):
        say(f"{runs:,} runs without a lag, then with {lag:.0f} s, {repeat + 1} of {repeats}")
        rounds.append((_crawl(runs, 0.0), _crawl(runs, lag)))
    notes = [
        "A replay server gives recorded pages, multiplied; the double counts distinct entities and aspects.",
        f"What the double took can be read back {lag:.0f} s later; it does not tell how far its queue is.",
        "Required of each crawl: exit code 0, nothing unconfirmed, no failure, no dead letter.",
    ]
    return Result("slow_queue", f"{runs:,} runs into a queue that lags by {lag:.0f} s", _rows(rounds, lag), notes)


def _crawl(runs: int, lag: float) -> Cost:
    with replay(runs=runs, experiments=EXPERIMENTS) as source:
        cost = crawl(source, into=partial(gms, lag=lag))
    report = cost.report
    if report["status"] != "success" or report["unconfirmed"]["entities"] or report["dead_letters"]["count"]:
        raise CommandFailed(f"The crawl ended as {report['status']}: {report['warnings']}, {report['failures']}.")
    return cost


def _rows(rounds: list[tuple[Cost, Cost]], lag: float) -> list[Row]:
    without, lagging = [first for first, _ in rounds], [second for _, second in rounds]
    beyond = [second.wall / (first.wall + lag) for first, second in rounds]
    memory = Row("lagging: peak RSS", "MB", [each.peak_rss / 1e6 for each in lagging], f"< {RSS_LIMIT} MB")
    return [
        *cost_rows("no lag", without),
        *cost_rows("lagging", lagging)[:-1],
        memory.at_most(RSS_LIMIT, every=True),
        Row("lagging: read-backs", "requests", [float(each.counts["read_backs"]) for each in lagging]),
        Row("lagging ÷ (no lag + lag): wall", "×", beyond, f"≤ {BOUND:.2f} ×").at_most(BOUND, every=True),
    ]
