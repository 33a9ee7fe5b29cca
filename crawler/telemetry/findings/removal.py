"""What may be found in removing what vanished from MLflow."""

from crawler.telemetry.findings.kind import FindingKind

CHECKPOINT_UNREAD = FindingKind(
    "checkpoint_unread",
    "The checkpoint of the last crawl could not be read, so nothing that vanished was removed, and it stays as it is.",
    "failure",
    "The sample says why. Give the token's user the right to read timeseries aspects of DataHub's dataJobs, or set "
    "stateful_ingestion.ignore_old_state once: then what has vanished until now stays in DataHub.",
    found_again=True,
)

CHECKPOINT_UNWRITTEN = FindingKind(
    "checkpoint_unwritten",
    "The checkpoint could not be written: what is new now and vanishes before the next crawl will not be removed.",
    "failure",
    "The sample says why. Mend that, then crawl again.",
    found_again=True,
)

CHECKPOINT_TOO_LARGE = FindingKind(
    "checkpoint_size",
    "The checkpoint is too large, so it was not written: what is new now and vanishes later will not be removed.",
    "failure",
    "Keep it in a file: stateful_ingestion.state_provider {type: file, config: {filename: …}}.",
    found_again=True,
)

REMOVAL_AFTER_FAILURE = FindingKind(
    "removal_after_failure",
    "Something failed, so what MLflow does not list was not removed. The next crawl looks at it again.",
    "warning",
    "Mend the failures: the next crawl without any removes it.",
    found_again=True,
)

REMOVAL_THRESHOLD = FindingKind(
    "removal_threshold",
    "More is gone than stateful_ingestion.fail_safe_threshold allows, so nothing was removed. The next crawl "
    "looks at it again.",
    "failure",
    "Look whether this is the right MLflow, and whether it has lost data. If all of it was deleted, crawl once with a "
    "higher fail_safe_threshold; 100 is no limit.",
    found_again=True,
)

REMOVAL_EMPTY_LISTING = FindingKind(
    "removal_empty_listing",
    "MLflow lists nothing of a kind of which there was something before, so nothing of it was removed.",
    "failure",
    "Look whether MLflow has lost data. If all of it was deleted, crawl once with --removal confirm.",
    found_again=True,
)

REMOVAL_RIGHTS = FindingKind(
    "removal_rights",
    "What MLflow does not list any more was deleted, or this account has lost the right to see it: which one cannot be "
    "told, so it was not removed.",
    "warning",
    "If it was deleted, crawl once with --removal confirm. An admin of MLflow sees everything, so it needs none of "
    "this; where the account signs in to a proxy only, set stateful_ingestion.removal: confirm.",
    found_again=True,
)

REMOVAL_BLIND = FindingKind(
    "removal_blind",
    "DataHub cannot be asked which runs it has, so each run that MLflow lists as deleted is marked as removed.",
    "warning",
    "Give the token's user the privilege to read entities, and let /openapi/v3/entity be reached.",
    found_again=True,
)
