"""What of MLflow is crawled: the settings of the choice. Frozen and final, as those in `settings`."""

from typing import Any, Literal

import msgspec

from crawler.settings.patterns import AllowDenyPattern
from crawler.settings.since import Since

Lifecycle = Literal["active", "deleted", "all"]
HistoryChoice = Literal["latest", "all"]

MAX_METRIC_POINTS = 100
"""By default: DataHub's page of a run shows a row for each, all at once."""


class Include(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`source.config.include`: which kinds of things are read.

    The text under a field is its line in docs/recipe.md, as in `sections`.
    """

    experiments: bool = True
    """Experiments; without them, runs and whatever else belongs to an experiment are left out, too."""
    runs: bool = True
    """Runs, with their datasets and users."""
    registered_models: bool = True
    """Registered models with their versions."""
    logged_models: bool = True
    """Logged models (MLflow 3)."""
    prompts: bool = True
    """Prompts with their versions (MLflow 2.21 and later)."""
    evaluation_datasets: bool = True
    """Evaluation datasets (MLflow 3.4 and later)."""
    trace_counts: bool = True
    """How many traces each experiment has (MLflow 3.9 and later); traces themselves are never read."""
    signatures: bool = False
    """The signatures of model versions, which takes MLflow one request a version."""

    @property
    def has_logged_models(self) -> bool:
        """Whether logged models are read: they belong to experiments."""
        return self.experiments and self.logged_models


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of MLflow is read. Each field has the name of its option in a recipe.

    Attributes:
        include: which kinds of things.
        workspace_pattern: workspaces by their names, where the server has any (MLflow 3.10 and later).
        experiment_pattern: experiments by their names; runs come with their experiment.
        registered_model_pattern: registered models by their names; versions come with their model.
        run_name_pattern: runs by their names.
        run_filter: a filter of MLflow's search language that runs must pass; empty for none.
        runs_since: when runs must have started, or later; None for no limit.
        max_runs_per_experiment: the most runs of an experiment, the newest ones; None for no limit.
        lifecycle: runs and experiments that are active, in MLflow's trash, or both.
        metric_history: the latest values of runs' metrics, or all points.
        max_metric_points: the most points of a metric that are written of all, 2 or more.
    """

    include: Include = Include()
    workspace_pattern: AllowDenyPattern = AllowDenyPattern()
    experiment_pattern: AllowDenyPattern = AllowDenyPattern()
    registered_model_pattern: AllowDenyPattern = AllowDenyPattern()
    run_name_pattern: AllowDenyPattern = AllowDenyPattern()
    run_filter: str = ""
    runs_since: Since | None = None
    max_runs_per_experiment: int | None = None
    lifecycle: Lifecycle = "active"
    metric_history: HistoryChoice = "latest"
    max_metric_points: int = MAX_METRIC_POINTS

    @property
    def reads_runs(self) -> bool:
        """Whether any run is read: without their experiment, runs have no place."""
        return self.include.experiments and self.include.runs

    @property
    def leaves_out_runs(self) -> bool:
        """Whether there may be runs that are not read, and with them datasets and users."""
        return (
            not self.reads_runs
            or not (self.experiment_pattern.allows_all and self.run_name_pattern.allows_all)
            or bool(self.run_filter)
            or self.runs_since is not None
            or self.max_runs_per_experiment is not None
            or self.lifecycle == "deleted"
        )


def choices(selection: Selection) -> dict[str, str]:
    """Return what is chosen otherwise than by default, by its path in `source.config`."""
    found: dict[str, str] = {}
    for name, value in _changed(selection).items():
        of_section = _changed(value) if isinstance(value, msgspec.Struct) else {"": value}
        found |= {f"{name}.{key}".rstrip("."): _text(each) for key, each in of_section.items()}
    return found


def _changed(struct: msgspec.Struct) -> dict[str, Any]:
    fields = msgspec.structs.fields(struct)
    return {field.name: value for field in fields if (value := getattr(struct, field.name)) != field.default}


def _text(value: object) -> str:
    # Of a Since, the text alone.
    return str(value) if isinstance(value, str) else msgspec.json.encode(value).decode()
