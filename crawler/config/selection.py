"""What of MLflow is crawled: the settings of the choice. Frozen and final, as those in `settings`."""

import msgspec

from crawler.config.patterns import AllowDeny


class Include(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which kinds of things are read.

    Attributes:
        experiments: experiments; without them, runs and whatever else belongs to an experiment are left out, too.
        runs: runs, with their datasets and users.
        registered_models: registered models with their versions.
        logged_models: logged models (MLflow 3).
        prompts: prompts with their versions (MLflow 2.21 and later).
        evaluation_datasets: evaluation datasets (MLflow 3.4 and later).
        trace_counts: how many traces an experiment has (MLflow 3.9 and later).
        signatures: the signatures of model versions, at one request a version.
    """

    experiments: bool = True
    runs: bool = True
    registered_models: bool = True
    logged_models: bool = True
    prompts: bool = True
    evaluation_datasets: bool = True
    trace_counts: bool = True
    signatures: bool = False


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of MLflow is read.

    Attributes:
        include: which kinds of things.
        workspaces: which workspaces, where the server has any (MLflow 3.10 and later).
    """

    include: Include = Include()
    workspaces: AllowDeny = AllowDeny()
