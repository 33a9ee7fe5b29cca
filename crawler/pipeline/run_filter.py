"""`run_filter` is tried once before anything is read: a server that refuses it says why."""

from crawler.errors import RequestRefused, SettingsError
from crawler.mlflow.client import MlflowClient


async def try_run_filter(client: MlflowClient, filter_text: str) -> None:
    """Raise SettingsError with the server's words where it refuses the filter, rather than any search of runs."""
    if not filter_text:
        return
    try:
        await client.runs.try_filter(filter_text)
    except RequestRefused as refused:
        if not await _answers_without(client):
            return
        raise SettingsError(
            f"source.config.run_filter: MLflow refuses it: {(refused.answer or refused.message).rstrip('.')}.",
            "It is in MLflow's own search language, whose conditions can be joined by AND only: "
            "metrics.accuracy > 0.9 AND tags.team = 'fraud'.",
        ) from None


async def _answers_without(client: MlflowClient) -> bool:
    try:
        await client.runs.try_filter("")
    except RequestRefused:
        return False
    return True
