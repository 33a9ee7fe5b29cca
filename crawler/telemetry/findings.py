"""The catalogue of findings: everything that a crawl, a replay or a diff can warn of or name as failed.

`REFUSED.found("urn:li:tag:a: no privilege", status=403)` is one finding. docs/findings.md is generated from here.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from crawler.errors import CrawlerError

Severity = Literal["warning", "failure"]


class Finding(msgspec.Struct, frozen=True):
    """Something to know about `count` things of one kind, of which `sample` describes one.

    A failure makes the exit code 1, a warning does not.

    Example:
        found = []
        await crawl(load("recipe.yml"), listeners=[lambda event: isinstance(event, Finding) and found.append(event)])
        print([finding.code for finding in found])
    """

    code: str
    message: str
    severity: Severity
    sample: str = ""
    count: int = 1


class FindingKind(msgspec.Struct, frozen=True):
    """One row of the catalogue. `code` and `message` may have {placeholders}, `advice` says what to do.

    `found_again` kinds concern what a resumed crawl reads or sends again, so a checkpoint does not keep them.
    """

    code: str
    message: str
    severity: Severity
    advice: str
    found_again: bool = False

    def found(self, sample: str = "", count: int = 1, **fields: object) -> Finding:
        """Return a finding of this kind with the placeholders filled in."""
        if fields:
            return Finding(self.code.format(**fields), self.message.format(**fields), self.severity, sample, count)
        return Finding(self.code, self.message, self.severity, sample, count)


def error_found(error: CrawlerError) -> Finding:
    """Return the failure that an error which ended the crawl or the replay stands for."""
    return Finding(error.code, str(error), "failure")


def _unreadable(resource: str) -> FindingKind:
    return FindingKind(
        f"unreadable_{resource}",
        f"MLflow lists {resource} that cannot be read, so they were left out.",
        "failure",
        "Look at the row in MLflow's database or log; the sample names it. Mend or delete it, then crawl again.",
        found_again=resource != _RUNS,
    )


def _mended(resource: str) -> FindingKind:
    return FindingKind(
        f"mended_{resource}",
        f"MLflow lists {resource} with values that no catalog can hold: these were replaced or left out.",
        "warning",
        "Nothing, if the values are not missed: the sample names them. docs/values.md has the rules.",
        found_again=resource != _RUNS,
    )


_RUNS = "runs"  # the only listing that a resumed crawl does not read again
_LISTINGS = ("experiments", "registered_models", "model_versions", _RUNS)
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
        f"This MLflow has no listing of {resource}, so {consequence}.",
        "warning",
        "Nothing, unless you expect them: the sample has the server's answer. MLflow before 1.28.0 lists no "
        "experiments, and some servers that speak its API lack listings.",
        found_again=True,
    )


LISTING_MISSING = {
    "registered_models": _missing("registered_models", "there are no model groups"),
    "model_versions": _missing("model_versions", "there are no models"),
    "experiments": _missing("experiments", "experiments and runs are skipped"),
}


def _unread(resource: str) -> FindingKind:
    return FindingKind(
        f"unread_{resource}",
        f"MLflow did not give its {resource}, or not all of them. Everything else was read.",
        "failure",
        "The sample has MLflow's answer. Mend that, then crawl again.",
        found_again=True,
    )


LISTING_UNREAD = {name: _unread(name) for name in ("registered_models", "model_versions", "experiments", "runs")}
HIDDEN_MODEL_VERSIONS = FindingKind(
    "hidden_model_versions",
    "MLflow lists versions of models that it does not list themselves, so these versions were left out.",
    "warning",
    "Perhaps the account may not read these models: give it the right to, if they are wanted. Models that were deleted "
    "or renamed while they were read look the same; the next crawl has them right.",
    found_again=True,
)
WORKSPACES_UNREAD = FindingKind(
    "workspaces_unread",
    "MLflow has several workspaces and none is chosen, so only its default is read.",
    "warning",
    "Choose one with --workspace, MLFLOW_WORKSPACE or workspace in the recipe; crawl once for each, each with a "
    "platform_instance of its own, since names are not unique over workspaces.",
    found_again=True,
)
WORKSPACE_IGNORED = FindingKind(
    "workspace_ignored",
    "A workspace is chosen, but this MLflow has no workspaces: all of it is read.",
    "warning",
    "Leave out --workspace, MLFLOW_WORKSPACE or workspace, or start MLflow 3.10 or later with --enable-workspaces.",
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
URN_TAKEN = FindingKind(
    "urn_taken",
    "Two model versions come to one URN, so the second was left out. Choose another model_name_separator.",
    "failure",
    "Set model_name_separator to text that no model's name contains.",
    found_again=True,
)
DATASET_SCHEMA_CUT = FindingKind(
    "dataset_schema_cut",
    "A dataset's schema is longer than DataHub's search takes, so its text was cut.",
    "warning",
    "Nothing: only the text of a schema that is no list of columns is cut.",
)
DATASET_COLUMNS_LEFT_OUT = FindingKind(
    "dataset_columns",
    "A dataset has columns without a name, or several of one name, of which DataHub takes only the first.",
    "warning",
    "Give the columns names of their own before they are logged.",
)
DATASETS_DIFFER = FindingKind(
    "datasets_differ",
    "Different datasets have one name, so they are one dataset in DataHub: it has the schema of the newest run, and no "
    "upstream unless it is that of all. Each run's input edge says which one it used.",
    "warning",
    "Name datasets when they are logged: `mlflow.data.from_pandas(df, name=…)`. Autologging names them all `dataset`.",
)
URL_CREDENTIALS = FindingKind(
    "url_credentials",
    "User names and passwords within URLs of MLflow's data were left out. keep_url_credentials: true would write them.",
    "warning",
    "Remove them in MLflow too, and change those that are still valid: whoever reads MLflow has them.",
)
PARENTS_UNKNOWN = FindingKind(
    "parents_unknown",
    "Whether the parents of some runs are crawled could not be told, so the runs name none. Run it again.",
    "failure",
    "Crawl again when MLflow answers.",
)
DATASET_PLATFORM_UNKNOWN = FindingKind(
    "dataset_platform_unknown",
    "No DataHub platform is known for a dataset's source type, so it was not materialized. "
    "Name one in source_mapping_to_platform.",
    "failure",
    "Add the source type to source_mapping_to_platform in the recipe.",
)
URN_INVALID = FindingKind(
    "urn",
    "DataHub takes no such URN, so the entity was not sent. Rename it in MLflow.",
    "failure",
    "Rename the model, dataset or experiment in MLflow; the sample says which rule its URN breaks.",
)
ASPECT_TOO_LARGE = FindingKind(
    "aspect_size",
    "An aspect is larger than DataHub's Kafka takes, so it was not sent.",
    "failure",
    "Shorten what the sample names (params, tags, description) in MLflow.",
)
ASPECT_INVALID = FindingKind(
    "invalid",
    "acryl-datahub refuses a proposal (--validate), so it was not sent. Please report this.",
    "failure",
    "Please report it with the sample.",
)
TRANSFORMER_FAILED = FindingKind(
    "transformer",
    "A transformer failed at these entities, so they were not sent.",
    "failure",
    "The sample says which one and why. Dead letters have the entities as they were before any transformer: mend the "
    "cause and crawl again rather than replay them.",
)
TRANSFORMER_FAILED_AT_END = FindingKind(
    "transformer_end",
    "A transformer failed at the end, so what it would have added there was not sent.",
    "failure",
    "The sample says which one and why. Mend that, then crawl again.",
)
REFUSED = FindingKind(
    "refused_{status}",
    "DataHub refuses proposals with status {status}.",
    "failure",
    "The sample has DataHub's words. Mend the cause (403: a privilege, 422: a value), then replay the dead letters.",
)
UNKNOWN_THERE = FindingKind(
    "unknown_{what}",
    "DataHub says that it does not know {what}, so all of it was left out, without asking again.",
    "failure",
    "Upgrade DataHub to a version that knows it, then replay the dead letters.",
)
NOT_TAKEN = FindingKind(
    "not_taken",
    "DataHub's answer does not list all that was sent, so what is missing there may not be stored. It may not know "
    "these aspects: its version and log tell more.",
    "failure",
    "DataHub's version may not know the aspect. Look at its log, then replay the dead letters.",
)
NO_MORE_THERE = FindingKind(
    "no_more_there",
    "DataHub does not have these any more as an earlier crawl delivered them, so they were sent again.",
    "warning",
    "Nothing: it was found since --verify-every asked for it. Somebody may have deleted, rolled back or changed them.",
)
NOT_STORED = FindingKind(
    "not_stored",
    "DataHub took these, but does not have them. The log of its GMS or MCE consumer tells why; mend that, then replay "
    "the dead letters.",
    "failure",
    "Look at the log of GMS or its MCE consumer, then replay the dead letters.",
)
UNCONFIRMED = FindingKind(
    "unconfirmed",
    "DataHub took these entities, but was not seen to have them in time. Its queue may be long, or stand still. "
    "`replay FILE --unconfirmed` looks for them again and sends only what is missing.",
    "warning",
    "Look whether DataHub's MCE consumer works. Then replay the file of the unconfirmed with --unconfirmed: what has "
    "arrived by then is not sent again. A longer --confirm-wait waits longer.",
)
UNVERIFIED_IN_MEMORY = FindingKind(
    "unverified_in_memory",
    "What waits for DataHub's queue cannot be kept on the disk: {problem}. So the crawl waits for the queue.",
    "warning",
    "Make room in the folder for temporary files, or name another one in the variable TMPDIR.",
    found_again=True,
)
NO_SYSTEM_METADATA = FindingKind(
    "no_system_metadata",
    "DataHub shows no system metadata of what it has, so an aspect that is there counts as delivered, even if an "
    "earlier crawl wrote it.",
    "warning",
    "Let /openapi/v3/entity answer `systemMetadata=true`: something before DataHub may drop it.",
    found_again=True,
)
NOT_ANSWERED = FindingKind(
    "not_answered",
    "It ended while requests with these proposals were under way: DataHub may have them. Run it again, or replay the "
    "dead letters; what arrives twice does no harm.",
    "failure",
    "Crawl again, or replay the dead letters.",
)
NOT_SENT = FindingKind(
    "not_sent",
    "It ended before these proposals were delivered. Run it again.",
    "failure",
    "Crawl again, or replay the dead letters where the summary names any. For a file none are kept.",
)
DEAD_LETTERS_UNWRITABLE = FindingKind(
    "dead_letters",
    "What was not delivered could not be kept in {path} either: {problem}. "
    "Make room there or give --dead-letters another path, then run it again.",
    "failure",
    "Make room or name another path, then crawl again.",
)
DEAD_LETTERS_NOWHERE = FindingKind(
    "dead_letters_nowhere",
    "What DataHub refuses could not be kept here. Give --dead-letters a path that can be written to.",
    "warning",
    "Give --dead-letters the path of a file in a folder that can be written to.",
)
LETTERS_ELSEWHERE = FindingKind(
    "letters_elsewhere",
    "The crawl that is resumed kept proposals in another file, {path}, which are counted here too. Replay both.",
    "warning",
    "Replay that file too. Crawl in the same folder, or with the same --dead-letters, to have one file.",
)
NO_TARGET = FindingKind(
    "no_target",
    "These dead letters do not say which DataHub they were kept for, so that was not checked. An older release wrote "
    "them.",
    "warning",
    "Make sure that they were for this DataHub.",
)
OLD_DATAHUB = FindingKind(
    "old_datahub",
    "DataHub {version} is older than 1.0 and cannot hold all that MLflow tells: left out are {aspects}.",
    "warning",
    "Upgrade DataHub to 1.0 or later to have these aspects too.",
    found_again=True,
)
UNVERIFIABLE_VERSION = FindingKind(
    "unconfirmed_by_server",
    "DataHub {version} is older than 1.0.1 and cannot be asked whether it has what it took: that rests on "
    "the status of its answers.",
    "warning",
    "Upgrade DataHub to 1.0.1 or later to have deliveries verified.",
    found_again=True,
)
UNVERIFIABLE_ANSWERS = FindingKind(
    "unconfirmed_by_server",
    "DataHub's answers do not list what it took, so that it has it rests on their status. --confirm stored "
    "reads everything back.",
    "warning",
    "Use --confirm stored to have everything read back.",
    found_again=True,
)
UNVERIFIABLE = FindingKind(
    "unconfirmed_by_server",
    "DataHub cannot be asked whether it has what it took, so that rests on the status of its answers. Let the token's "
    "user read entities, and /openapi/v3/entity be reached; --confirm none does without and says nothing.",
    "warning",
    "Give the token's user the privilege to read entities, or use --confirm none.",
    found_again=True,
)
NOT_ON_PAGE = FindingKind(
    "not_on_ingestion_page",
    "DataHub's Ingestion page does not show this crawl, as the recipe's reporting asks for.",
    "warning",
    "The sample has DataHub's words. The token's user needs the privilege Manage Metadata Ingestion.",
    found_again=True,
)
NOT_REPORTED = FindingKind(
    "not_reported",
    "A file of the recipe's reporting could not be written.",
    "warning",
    "The sample says why. Give its filename another path.",
    found_again=True,
)
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
    "Something failed, so what MLflow does not list was not removed. It stays in the checkpoint.",
    "warning",
    "Mend the failures: the next crawl without any removes it.",
    found_again=True,
)
REMOVAL_THRESHOLD = FindingKind(
    "removal_threshold",
    "More is gone than stateful_ingestion.fail_safe_threshold allows, so nothing was removed. It stays in the "
    "checkpoint.",
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
UNREADABLE_PROPOSALS = FindingKind(
    "unreadable_proposals",
    "Parts of the file are no proposals that can be read, so they were not sent.",
    "failure",
    "The sample says where and why. Keep the file; mend the lines, then replay it again.",
)
NOT_PROBED = FindingKind(
    "not_probed",
    "DataHub could not be asked for its version and how fast it answers, so the plan is made without that.",
    "warning",
    "The sample says what is wrong; `check` says more.",
)
NOT_SHOWN = FindingKind(
    "not_shown",
    "DataHub does not show what it has of these entities, so they were not compared.",
    "failure",
    "The sample has DataHub's words. 403: give the token's user the privilege to read them.",
)
ORPHANS_NOT_LISTED = FindingKind(
    "orphans_not_listed",
    "DataHub does not list what it has, so what is there and not in MLflow was not found.",
    "failure",
    "The sample has DataHub's words. Give the token's user the privilege to read entities, and let "
    "/openapi/v3/entity/scroll be reached.",
)
ORPHANS_UNKNOWN = FindingKind(
    "orphans_unknown",
    "Not all of MLflow was read, so what DataHub has beyond it was not looked for among these entity types.",
    "warning",
    "Mend what the other warnings and failures name, then compare again.",
)
OUT_OF_TIME = FindingKind(
    "max_duration",
    "It was ended by --max-duration before its end. Give it more time; a crawl with --state goes on where it was.",
    "failure",
    "Give --max-duration more time, or use --state.",
    found_again=True,
)

CATALOGUE: tuple[FindingKind, ...] = (
    *UNREADABLE.values(),
    *MENDED.values(),
    *LISTING_MISSING.values(),
    *LISTING_UNREAD.values(),
    *(kind for kind in dict(globals()).values() if isinstance(kind, FindingKind)),
)
"""All kinds."""

FOUND_AGAIN = frozenset(kind.code for kind in CATALOGUE if kind.found_again)
"""Codes of what a resumed crawl finds again."""
