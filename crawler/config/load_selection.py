"""The settings of what is crawled, from `source.config` of a recipe."""

from crawler.config.sections.source import MlflowSource
from crawler.config.sections.values import Options
from crawler.config.strict import section
from crawler.errors import SettingsError
from crawler.settings.diagnostics import Diagnostics
from crawler.settings.patterns import AllowDenyPattern, problem_of
from crawler.settings.selection import Include, Selection

_PATH = "source.config"


def load_selection(source: MlflowSource, diagnostics: Diagnostics) -> Selection:
    """Return what is chosen. Errors are added to `diagnostics`."""
    return Selection(
        include=section(source.include, f"{_PATH}.include", Include, diagnostics=diagnostics),
        workspace_pattern=load_pattern(source.workspace_pattern, "workspace_pattern", diagnostics),
        experiment_pattern=load_pattern(source.experiment_pattern, "experiment_pattern", diagnostics),
        registered_model_pattern=load_pattern(source.registered_model_pattern, "registered_model_pattern", diagnostics),
        run_name_pattern=load_pattern(source.run_name_pattern, "run_name_pattern", diagnostics),
        run_filter=(source.run_filter or "").strip(),
        runs_since=source.runs_since,
        max_runs_per_experiment=source.max_runs_per_experiment,
        lifecycle=source.lifecycle,
        metric_history=source.metric_history,
        max_metric_points=source.max_metric_points,
    )


def require_no_trash(selection: Selection) -> None:
    """Raise SettingsError where what is in MLflow's trash is to be written: stale removal removes just that."""
    if selection.lifecycle != "active":
        raise SettingsError(
            f"{_PATH}.lifecycle cannot be {selection.lifecycle} with stateful_ingestion, which marks as removed what "
            "is in MLflow's trash.",
            "Leave out one of them.",
        )


def load_pattern(options: Options | None, name: str, diagnostics: Diagnostics) -> AllowDenyPattern:
    """Return the pattern of an option. Errors are added to `diagnostics`."""
    path = f"{_PATH}.{name}"
    pattern = section(options, path, AllowDenyPattern, diagnostics=diagnostics)
    for key, expressions in (("allow", pattern.allow), ("deny", pattern.deny)):
        for expression in expressions:
            if problem := problem_of(expression):
                diagnostics.error(
                    SettingsError(
                        f"{path}.{key}: {expression!r} is no regular expression: {problem}.",
                        "Names are matched by Python's re.match; put a backslash before a character that means itself.",
                    )
                )
    return pattern
