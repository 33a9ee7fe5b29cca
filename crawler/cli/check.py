"""`check`: prints what a crawl would find on both servers, or what is wrong."""

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import UNSET

from crawler.cli.settings import settings_of
from crawler.cli.standard_streams import write_output
from crawler.errors import ExitCode
from crawler.pipeline.check import CheckResult, DatahubCheck, check
from crawler.pipeline.check_mlflow import MlflowCheck
from crawler.pipeline.privileges import NEEDED
from crawler.telemetry.logs import configure_logging, encodable, printable
from crawler.telemetry.summary import shortened
from crawler.telemetry.tally import FindingSummary


def check_command(arguments: argparse.Namespace) -> ExitCode:
    """Check both sides, print what was found, and return the exit code of the worst."""
    configure_logging("text", arguments.log_level)
    result = asyncio.run(check(settings_of(arguments)))
    if arguments.json:
        write_output(f"{msgspec.json.encode(result, enc_hook=_as_text).decode()}\n")
    else:
        write_output("".join(f"{printable(line)}\n" for line in _lines(result)))
    return result.exit_code


def _as_text(value: object) -> str:
    return encodable(str(value))


def _lines(result: CheckResult) -> Iterator[str]:
    yield from _mlflow_lines(result.mlflow)
    yield from _output_lines(result.output)
    for title, findings in (("warning", result.warnings), ("wrong", result.failures)):
        for finding in findings:
            yield f"  {title}: {finding.message}{_samples(finding)}"


def _samples(finding: FindingSummary) -> str:
    return f" ({finding.count}: {', '.join(finding.samples)})" if finding.samples else ""


def _mlflow_lines(mlflow: MlflowCheck) -> Iterator[str]:
    if mlflow.url is not UNSET:
        yield f"MLflow at {mlflow.url}"
    if mlflow.version is not UNSET:
        yield f"  version {mlflow.version or 'not told (older than 2.0)'}"
    if mlflow.workspaces is not UNSET and mlflow.workspaces is not None:
        chosen = mlflow.workspaces
        yield f"  workspaces: {shortened(chosen.read)}"
        if chosen.left_out:
            yield f"  left out: {shortened(chosen.left_out)}"
    if mlflow.registered_models is None and mlflow.model_versions is None:
        yield "  no model registry: it lists no models and versions"
    elif mlflow.model_versions is not UNSET:
        models, versions = _count(mlflow, "registered_models"), _count(mlflow, "model_versions")
        yield f"  {models} registered models, {versions} model versions"
    yield from _newer_lines(mlflow, ("prompts", "prompt_versions"), ("evaluation_datasets",))
    if mlflow.experiments is None and mlflow.version is None:
        yield "  older than 1.28.0: experiments and runs cannot be listed and would be skipped"
    elif mlflow.experiments is None:
        yield "  experiments and runs cannot be listed and would be skipped"
    elif mlflow.experiments is not UNSET:
        yield f"  {_count(mlflow, 'experiments')} experiments, deleted ones included"
    yield from _newer_lines(mlflow, ("logged_models",), ("traces",))
    if mlflow.left_out:
        counts = (f"{count:,} {_words(name)}" for name, count in mlflow.left_out.items())
        yield f"  of these the recipe leaves out {', '.join(counts)}"
    if mlflow.error is not None:
        yield f"  wrong: {mlflow.error}"


def _newer_lines(mlflow: MlflowCheck, *lines: tuple[str, ...]) -> Iterator[str]:
    """Yield a line for listings that older servers lack, where this one has them."""
    for names in lines:
        if isinstance(getattr(mlflow, names[0]), int):
            yield f"  {', '.join(f'{_count(mlflow, name)} {_words(name)}' for name in names)}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _count(mlflow: MlflowCheck, name: str) -> str:
    """Return how many rows a listing has, as far as one page tells."""
    count = getattr(mlflow, name)
    if count is None:
        return "an unknown number of"
    return f"at least {count:,}" if name in mlflow.more else f"{count:,}"


def _output_lines(output: DatahubCheck | Path) -> Iterator[str]:
    if isinstance(output, Path):
        yield from ("Output", f"  {output}")
        return
    if output.url is not UNSET:
        yield f"DataHub at {output.url}"
    if output.version is not UNSET:
        yield f"  version {output.version or 'not told'}"
    if output.token_accepted is not UNSET:
        yield "  credentials accepted" if output.token_accepted else "  no token needed"
    if output.queue_lag is None:
        yield "  does not tell how long its queue is (that takes the privilege Manage System Operations)"
    elif output.queue_lag is not UNSET:
        yield f"  {output.queue_lag:,} proposals in its queue"
    for missing in output.missing_privileges:
        what = "wrong" if missing.to in NEEDED else "warning"
        yield f"  {what}: may not {missing.to} {', '.join(missing.entity_types)}: {missing.answer}"
    if output.error is not None:
        yield f"  wrong: {output.error}"
