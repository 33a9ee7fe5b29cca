"""What may be found in comparing MLflow with DataHub, and in a plan."""

from crawler.telemetry.findings.kind import FindingKind

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
    "Mend what the other warnings and failures name, or choose all of them in the recipe (docs/choosing.md), then "
    "compare again.",
)
