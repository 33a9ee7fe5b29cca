"""Groups of flags that several commands share."""

import argparse
from pathlib import Path


def add_servers(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add where both servers are, and return their group."""
    group = parser.add_argument_group("servers")
    group.add_argument("-c", "--config", type=Path, metavar="FILE", help="recipe (YAML) of `datahub ingest`")
    group.add_argument("--datahub-url", metavar="URL", help="DataHub's metadata service (GMS)")
    group.add_argument(
        "--endpoint",
        choices=("restli", "openapi"),
        help="DataHub API to write to (default restli; openapi needs DataHub >= 1.0.1)",
    )
    level = parser.add_mutually_exclusive_group()
    level.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="log lines of this level or above (default info)",
    )
    for flags, value, what in (
        (("-v", "--verbose"), "debug", "log more, such as each retry"),
        (("-q", "--quiet"), "error", "log errors only, show no progress, and no summary unless something failed"),
    ):
        level.add_argument(*flags, dest="log_level", action="store_const", const=value, help=what)
    return group


def add_mlflow(group: argparse._ArgumentGroup) -> None:
    """Add which MLflow is read."""
    group.add_argument("--mlflow-uri", metavar="URL", help="MLflow tracking server")
    group.add_argument(
        "--workspace", metavar="NAME", help="only MLflow workspace to read (MLflow >= 3.10; default: all)"
    )


def add_checks(group: argparse._ArgumentGroup) -> None:
    """Add what writes nothing, or less."""
    group.add_argument(
        "--dry-run", action="store_true", help="read and check everything, say what would be sent, write nothing"
    )
    group.add_argument(
        "--validate", action="store_true", help="check each proposal with acryl-datahub's classes first (slow)"
    )


def add_sink(group: argparse._ArgumentGroup, *, dead_letters: str) -> None:
    """Add where all goes, and what is told of it."""
    group.add_argument("--sink", choices=("rest", "file", "lite"), help="DataHub's REST API, a file, or DataHub Lite")
    group.add_argument("-o", "--output", type=Path, metavar="PATH", help="file to write, `-` for standard output")
    group.add_argument("--report", type=Path, metavar="PATH", help="write a report (JSON), even if the crawl fails")
    group.add_argument("--profile", type=Path, metavar="PATH", help="write where the time went (JSON)")
    add_dead_letters(group, dead_letters)
    add_confirm(group)
    add_logs(group)


def add_dead_letters(group: argparse._ArgumentGroup, default: str) -> None:
    """Add where dead letters are kept."""
    group.add_argument(
        "--dead-letters",
        type=Path,
        metavar="PATH",
        help=f"where to keep proposals that DataHub did not take, for `replay` (default: {default})",
    )


def add_confirm(group: argparse._ArgumentGroup) -> None:
    """Add how deliveries are verified."""
    group.add_argument(
        "--confirm",
        choices=("entities", "stored", "none"),
        help="how deliveries are verified: look up each entity (default) or each aspect, or trust the answer's status",
    )
    group.add_argument(
        "--confirm-wait",
        metavar="DURATION",
        help="how long to wait for what DataHub took while nothing moves in its queue (default 15m)",
    )
    group.add_argument(
        "--max-unconfirmed",
        metavar="SIZE",
        help="how much of what DataHub took and has not stored yet may be kept on the disk (default 1GB)",
    )


def add_logs(group: argparse._ArgumentGroup) -> None:
    """Add how progress is told."""
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="log lines for people or for programs"
    )
    group.add_argument("--no-progress", action="store_true", help="log progress instead of showing a live view")


def add_limits(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the limits of time."""
    group = parser.add_argument_group("limits")
    group.add_argument("--patience", metavar="DURATION", help="how long to wait for a server that is down (default 5m)")
    group.add_argument(
        "--max-duration",
        metavar="DURATION",
        help=f"stop the {what} cleanly after this time; it ends within --grace then",
    )
    group.add_argument(
        "--grace",
        metavar="DURATION",
        help="how long a clean stop after a signal or --max-duration may take (default 25s)",
    )


def add_tuning(parser: argparse.ArgumentParser) -> None:
    """Add how fast both servers are asked."""
    group = parser.add_argument_group("tuning")
    group.add_argument(
        "--page-size", type=int, metavar="N", help="runs per page, fewer if they are large (default 1024)"
    )
    group.add_argument(
        "--mlflow-concurrency", type=int, metavar="N", help="maximum requests in flight to MLflow (default 16)"
    )
    group.add_argument("--mlflow-rps", type=float, metavar="N", help="maximum requests per second to MLflow")
    add_datahub_tuning(group)


def add_datahub_tuning(group: argparse._ArgumentGroup) -> None:
    """Add how fast DataHub is written to."""
    group.add_argument(
        "--datahub-concurrency", type=int, metavar="N", help="maximum requests in flight to DataHub (default 16)"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="proposals per request to DataHub (at most 200)")
