"""The settings of what is crawled, from `source.config` of a recipe."""

from crawler.config.patterns import AllowDenyPattern, problem_of
from crawler.config.remarks import Remarks
from crawler.config.sections import MlflowSource, Options, PatternOptions
from crawler.config.selection import Include, Selection
from crawler.config.strict import section
from crawler.errors import SettingsError

_PATH = "source.config"


def load_selection(source: MlflowSource, remarks: Remarks) -> Selection:
    """Return what is chosen. Errors are added to `remarks`."""
    return Selection(
        include=section(source.include, f"{_PATH}.include", Include, remarks=remarks),
        workspace_pattern=load_pattern(source.workspace_pattern, "workspace_pattern", remarks),
        experiment_pattern=load_pattern(source.experiment_pattern, "experiment_pattern", remarks),
        registered_model_pattern=load_pattern(source.registered_model_pattern, "registered_model_pattern", remarks),
        run_name_pattern=load_pattern(source.run_name_pattern, "run_name_pattern", remarks),
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


def load_pattern(options: Options | None, name: str, remarks: Remarks) -> AllowDenyPattern:
    """Return the pattern of an option. Errors are added to `remarks`."""
    path = f"{_PATH}.{name}"
    pattern = section(options, path, PatternOptions, remarks=remarks)
    for key, expressions in (("allow", pattern.allow), ("deny", pattern.deny)):
        for expression in expressions:
            if problem := problem_of(expression):
                remarks.error(
                    SettingsError(
                        f"{path}.{key}: {expression!r} is no regular expression: {problem}.",
                        "Names are matched by Python's re.match; put a backslash before a character that means itself.",
                    )
                )
    return AllowDenyPattern(allow=tuple(pattern.allow), deny=tuple(pattern.deny), ignore_case=pattern.ignoreCase)
