"""Which runs of an experiment may have changed since a crawl that read all of them. Pure.

Both times of a run are its client's, and nothing else of it moves any time (docs/freshness.md).
"""

from crawler.checkpoint.scope import Scope
from crawler.mlflow.paging.coverage import EARLIEST
from crawler.mlflow.paging.keyset import DELETED
from crawler.pipeline.plan import Stretch

NOT_ENDED = " AND ".join(f"attributes.status != '{status}'" for status in ("FINISHED", "FAILED", "KILLED"))


def changed_runs(scope: Scope, *, deleted: bool = False) -> list[Stretch]:
    """Return the stretches of runs that began before `scope.since` and may have changed since then.

    Those that ended since, and those that have not ended, as far back as the scope says; if `deleted` ones count, all
    that are in MLflow's trash, since no time tells when they came there.
    """
    since = scope.since
    if since is None:
        return []
    # Such a bound leaves out runs without start time, at which MLflow fails.
    changed = [Stretch(EARLIEST, since, f"attributes.end_time >= {since}")]
    if scope.not_ended_since < since:
        changed.append(Stretch(scope.not_ended_since, since, NOT_ENDED))
    if deleted:
        changed.append(Stretch(EARLIEST, since, DELETED))
    return changed
