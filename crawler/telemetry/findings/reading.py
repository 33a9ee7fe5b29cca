"""What may be found in reading MLflow."""

from collections.abc import Iterable, Iterator

from crawler.telemetry.findings.kind import Finding, FindingKind


def _words(resource: str) -> str:
    return resource.replace("_", " ")


def _unreadable(resource: str) -> FindingKind:
    return FindingKind(
        f"unreadable_{resource}",
        f"MLflow lists {_words(resource)} that cannot be read, so they were left out.",
        "failure",
        "Look at the row in MLflow's database or log; the sample names it. Mend or delete it, then crawl again.",
        found_again=resource != _RUNS,
    )


def _mended(resource: str) -> FindingKind:
    return FindingKind(
        f"mended_{resource}",
        f"MLflow lists {_words(resource)} with values that no catalog can hold: these were replaced or left out.",
        "warning",
        "Nothing, if the values are not missed: the sample names them. docs/values.md has the rules.",
        found_again=resource != _RUNS,
    )


_RUNS = "runs"  # the only listing that a resumed crawl does not read again

_OPTIONAL = ("prompts", "prompt_versions", "evaluation_datasets")
"""Listings that many servers lack, which is no news."""

_LISTINGS = ("experiments", "registered_models", "model_versions", *_OPTIONAL, _RUNS, "logged_models")

UNREADABLE = {name: _unreadable(name) for name in _LISTINGS}

MENDED = {name: _mended(name) for name in _LISTINGS}


def row_findings(resource: str, unreadable: Iterable[str], mended: Iterable[str]) -> Iterator[Finding]:
    """Yield what is found in rows of a listing: texts on those that are lost, and on values that were changed."""
    for text in unreadable:
        yield UNREADABLE[resource].found(text)
    for text in mended:
        yield MENDED[resource].found(text)


def _missing(resource: str, consequence: str) -> FindingKind:
    return FindingKind(
        f"{resource}_missing",
        f"This MLflow has no listing of {_words(resource)}, so {consequence}.",
        "warning",
        "Nothing, unless you expect them: the sample has the server's answer. MLflow before 1.28.0 lists no "
        "experiments, and some servers that speak its API lack listings.",
        found_again=True,
    )


LISTING_MISSING = {
    "registered_models": _missing("registered_models", "there are no model groups"),
    "model_versions": _missing("model_versions", "there are no models"),
    "experiments": _missing("experiments", "experiments and runs are skipped"),
    "logged_models": _missing("logged_models", "there are no logged models"),
}


def _unread(resource: str) -> FindingKind:
    return FindingKind(
        f"unread_{resource}",
        f"MLflow did not give its {_words(resource)}, or not all of them. Everything else was read.",
        "failure",
        "The sample has MLflow's answer. Mend that, then crawl again.",
        found_again=True,
    )


LISTING_UNREAD = {
    name: _unread(name)
    for name in ("registered_models", "model_versions", *_OPTIONAL, "experiments", _RUNS, "logged_models")
}

HIDDEN_MODEL_VERSIONS = FindingKind(
    "hidden_model_versions",
    "MLflow lists versions of models that it does not list themselves, so these versions were left out.",
    "warning",
    "Perhaps the account may not read these models: give it the right to, if they are wanted. Models that were deleted "
    "or renamed while they were read look the same; the next crawl has them right.",
    found_again=True,
)

WORKSPACE_UNREAD = FindingKind(
    "workspace_unread",
    "A workspace of MLflow could not be read, or not to its end. All others were.",
    "failure",
    "The sample has MLflow's answer. If this account shall not read it, leave it out with workspace_pattern.",
    found_again=True,
)

WORKSPACES_UNLISTED = FindingKind(
    "workspaces_unlisted",
    "MLflow does not tell this account which workspaces it has, so only its default is read.",
    "failure",
    "Have a proxy before MLflow let /api/3.0/mlflow/server-info and /api/3.0/mlflow/workspaces through, and give the "
    "account rights in a workspace; or set workspace: default, if that is all that you want.",
    found_again=True,
)

DATASET_EXPERIMENTS_UNREAD = FindingKind(
    "dataset_experiments",
    "MLflow did not say which experiments some evaluation datasets belong to, so they name none.",
    "failure",
    "The sample has MLflow's answer. Mend that, then crawl again.",
    found_again=True,
)

DATASET_EXPERIMENTS_HIDDEN = FindingKind(
    "dataset_experiments_hidden",
    "Some evaluation datasets belong to experiments, too, that this account may not read, so they name none.",
    "warning",
    "Nothing, or give the account the right to read all experiments of these datasets.",
    found_again=True,
)

TRACES_NOT_COUNTED = FindingKind(
    "traces_not_counted",
    "MLflow could not count the traces of some experiments, so these show no number of traces.",
    "warning",
    "The sample has MLflow's answer. include: {trace_counts: false} leaves the counting out.",
    found_again=True,
)

WORKSPACE_IGNORED = FindingKind(
    "workspace_ignored",
    "Workspaces are chosen, but this MLflow has none: all of it is read.",
    "warning",
    "Leave out --workspace, MLFLOW_WORKSPACE, workspace or workspace_pattern, or start MLflow 3.10 or later with "
    "--enable-workspaces.",
    found_again=True,
)

REGISTRY_WORKSPACES = FindingKind(
    "registry_workspaces",
    "The registry has workspaces and the tracking server has none, so only models of the registry's default are read.",
    "warning",
    "Nothing, if these are all. The others are read by a crawl that has the registry as its tracking_uri.",
    found_again=True,
)

NOTHING_LISTED = FindingKind(
    "nothing_listed",
    "MLflow lists no model and no experiment at all.",
    "warning",
    "An account without any right sees the same as on an empty server: look at its rights, and whether this is the "
    "server (and the workspace) that you mean.",
    found_again=True,
)

REGISTRY_MISSING = FindingKind(
    "registry_missing",
    "This MLflow has no model registry, so there are no registered models and model versions.",
    "warning",
    "Nothing, unless you expect models: the sample has the server's answer. A file store of MLflow 1.x has no "
    "registry, nor have some servers that speak MLflow's API.",
    found_again=True,
)

EXPERIMENT_UNREAD = FindingKind(
    "experiment",
    "The runs of an experiment could not be read to the end.",
    "failure",
    "The sample has MLflow's answer. Mend that, then crawl again; with --state only what is missing is read.",
    found_again=True,
)

CHANGES_UNTOLD = FindingKind(
    "changes_untold",
    "MLflow cannot be asked which runs have ended since the last crawl, so all of them were read.",
    "warning",
    "Use --changed-only instead of --incremental: MLflow before 2.0 filters by no end time.",
    found_again=True,
)

ZEROS_UNKNOWN = FindingKind(
    "zeros_unknown",
    "Some metrics of logged models are written as 0.0, although they may be NaN.",
    "warning",
    "MLflow lists NaN as 0.0 there, and the run that logged it could not be read: the sample has MLflow's answer.",
    found_again=True,
)

NULL_START_TIME_UNKNOWN = FindingKind(
    "untimed_unknown",
    "Whether an experiment has runs without start_time, which MLflow cannot list, could not be told. Run it again.",
    "failure",
    "Crawl again when MLflow answers.",
    found_again=True,
)

RUNS_OF_VERSIONS_UNREAD = FindingKind(
    "runs_of_versions",
    "The runs of some model versions could not be read, so these carry no params and metrics.",
    "failure",
    "The sample has MLflow's answer. Mend that, then crawl again.",
)

LOST_RUNS = FindingKind(
    "lost_runs",
    "Model versions name runs that MLflow cannot give, so they carry no params and metrics.",
    "warning",
    "Nothing: the runs were deleted for good (`mlflow gc`), or are on another server.",
)

NOT_READ = FindingKind(
    "not_read",
    "It ended before the runs of these model versions were read, so the versions were not sent. Run it again.",
    "failure",
    "Crawl again, with --state to go on where it ended.",
)

MODEL_FILES_UNREAD = FindingKind(
    "model_files_unread",
    "The MLmodel of some model versions could not be read, so these have no signature. All else of them was written.",
    "warning",
    "The sample has MLflow's answer: mostly the artifacts are gone, or MLflow's server cannot reach their storage. "
    "After 50 failures in a row no other is asked for.",
)

METRIC_HISTORY_UNREAD = FindingKind(
    "metric_history_unread",
    "The histories of some metrics could not be read, so their runs have the latest values only. All else of them was "
    "written.",
    "warning",
    "The sample has MLflow's answer. The next crawl asks again. After 20 failures in a row no other is asked for.",
)

METRIC_HISTORY_MISSING = FindingKind(
    "metric_history_missing",
    "This MLflow does not give the histories of metrics, so runs have the latest values only.",
    "warning",
    "Leave out metric_history: all, or use a newer MLflow: 2.20 gives them, 1.28 does not. A proxy before MLflow must "
    "let /ajax-api/2.0/mlflow/metrics through.",
)
