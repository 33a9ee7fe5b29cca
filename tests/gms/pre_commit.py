"""What GMS looks at beside what is stored already, before it stores: ExecutionRequestResultValidator."""

from collections.abc import Mapping
from typing import Any

from tests.gms.answers import Refusal
from tests.gms.intake import Batch, Verdict

RESULT = "dataHubExecutionRequestResult"
IMMUTABLE = frozenset({"ABORTED", "CANCELLED", "SUCCESS", "DUPLICATE"})


def commit(verdict: Verdict, stored: Mapping[tuple[str, str], dict[str, Any]], batch: Batch) -> None:
    """A run that has ended stays as it ended, unless it is rolled back: the same status again is passed over, another
    one refuses the batch; behind the queue the consumer fails at it.
    """
    for item in list(verdict.stored):
        before = stored.get((item.urn, item.aspect_name), {}).get("status")
        status = item.value.get("status")
        if item.aspect_name != RESULT or before not in IMMUTABLE or status == "ROLLING_BACK":
            continue
        if status != before and not batch.is_async:
            raise Refusal(
                422,
                f"Invalid update to immutable state for aspect {RESULT}. Execution urn: {item.urn} "
                f"Requested status: {before} => {status}. Denied update.",
            )
        verdict.stored.remove(item)
        if status != before:
            verdict.dropped.append((item.urn, "the run has ended"))
