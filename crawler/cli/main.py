"""The parser of the command line: which commands and flags there are, and how a command ends."""

import argparse
import logging
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from crawler import __version__
from crawler.cli.standard_streams import standard_streams, write_message
from crawler.errors import CrawlerError, ExitCode

DESCRIPTION = "Reads a whole MLflow server through its REST API and writes it to DataHub."
EPILOG = """\
exit codes:
  0  everything was delivered
  1  something failed and is named in the summary and the report; or, of `diff`: something differs
  2  wrong usage or settings
  3  a server cannot be reached, refuses the credentials or refuses everything
  4  everything was taken, but some of it could not be confirmed in time: `replay FILE --unconfirmed` looks again
  130, 143  interrupted (SIGINT, SIGTERM) after a clean stop
"""
CRAWL = """\
Reads every registered model, model version, experiment and run of an MLflow server and writes them to DataHub.

Settings come from flags, then a recipe of `datahub ingest` (-c), then environment variables, then ~/.datahubenv: the
first that names one counts (see --show-config). With no DataHub configured anywhere, the proposals are written to a
file that `datahub ingest` can load.
"""
CRAWL_EPILOG = """\
environment:
  MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN,
  MLFLOW_TRACKING_INSECURE_TLS, MLFLOW_TRACKING_SERVER_CERT_PATH, MLFLOW_WORKSPACE and ~/.mlflow/credentials;
  DATAHUB_GMS_URL, DATAHUB_GMS_TOKEN, DATAHUB_AUTH_TYPE, DATAHUB_AUTH_TOKEN_FILE, DATAHUB_SYSTEM_CLIENT_ID,
  DATAHUB_SYSTEM_CLIENT_SECRET, DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT and ~/.datahubenv; MLFLOW_TRACKING_PASSWORD_FILE,
  MLFLOW_TRACKING_TOKEN_FILE and DATAHUB_GMS_TOKEN_FILE name files that hold the secret in their first line;
  REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY and ~/.netrc, as
  requests reads them

durations:
  90 or 90s, 5m, 1h30m, 500ms

examples:
  mlflow-datahub-crawler crawl --mlflow-uri http://localhost:5000 --datahub-url http://localhost:8080
  mlflow-datahub-crawler crawl -c recipe.yml --report report.json
  mlflow-datahub-crawler crawl -c recipe.yml --state crawl.state --max-duration 2h
  mlflow-datahub-crawler crawl --mlflow-uri http://localhost:5000 -o proposals.json
"""
REPLAY = """\
Sends the proposals of a file to DataHub: the dead letters of a crawl, or what a crawl with -o wrote. MLflow is not
needed. What fails again goes to a new file of dead letters.
"""
REPLAY_EPILOG = """\
examples:
  mlflow-datahub-crawler replay mlflow-datahub-dead-letters-RUN_ID.jsonl --datahub-url http://localhost:8080
  mlflow-datahub-crawler replay dead-letters.jsonl -c recipe.yml --type mlModel --code not_sent
  gunzip < proposals.json.gz | mlflow-datahub-crawler replay - --datahub-url http://localhost:8080
"""
DIFF = """\
Compares what a crawl would write with what DataHub has: what is missing there, what is different, and what is there
and not in MLflow. It asks MLflow for no more than a crawl does. Nothing is written without --fix.
"""
DIFF_EPILOG = """\
exit codes:
  0 equal, or with --fix: all was delivered; 1 something differs or failed; the others are those of crawl

examples:
  mlflow-datahub-crawler diff -c recipe.yml
  mlflow-datahub-crawler diff -c recipe.yml --json | jq .kinds.mlModel
  mlflow-datahub-crawler diff -c recipe.yml --fix
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    with standard_streams():
        arguments = _parser().parse_args(argv)
        try:
            return int(_command(arguments.command)(arguments))
        except CrawlerError as error:
            _report_error(error, log_format=getattr(arguments, "log_format", "text"))
            return int(error.exit_code)
        except KeyboardInterrupt:
            return int(ExitCode.INTERRUPTED)


def _command(name: str) -> Callable[[argparse.Namespace], ExitCode]:
    """Import a command when it is run: --help must not wait for aiohttp."""
    command: Callable[[argparse.Namespace], ExitCode] = getattr(import_module(f"crawler.cli.{name}"), f"{name}_command")
    return command


def _report_error(error: CrawlerError, *, log_format: str) -> None:
    from crawler.telemetry.logs import printable  # noqa: PLC0415  --help must not wait for msgspec

    if log_format == "json":
        logging.getLogger("crawler").error(error)
    else:
        lines = f"mlflow-datahub-crawler: error: {error}".split("\n")
        write_message("\n".join(map(printable, lines)) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mlflow-datahub-crawler", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    crawl = commands.add_parser(
        "crawl", help="read MLflow and write it to DataHub", description=CRAWL, epilog=CRAWL_EPILOG
    )
    servers = _add_servers(crawl)
    _add_mlflow(servers)
    servers.add_argument(
        "--show-config", action="store_true", help="print each setting and where it is from, secrets hidden, and end"
    )
    _add_output(crawl)
    _add_limits(crawl, "crawl")
    _add_tuning(crawl)
    replay = commands.add_parser(
        "replay", help="send dead letters, or a file of proposals", description=REPLAY, epilog=REPLAY_EPILOG
    )
    _add_replay(replay)
    diff = commands.add_parser(
        "diff", help="say what differs between MLflow and DataHub", description=DIFF, epilog=DIFF_EPILOG
    )
    _add_diff(diff)
    check = commands.add_parser(
        "check",
        help="connect to both servers and say what a crawl would read, or what is wrong",
        description="Connects to MLflow and DataHub as a crawl would, prints versions and counts, and writes nothing.",
    )
    _add_mlflow(_add_servers(check))
    check.add_argument("--json", action="store_true", help="print what was found as JSON, for programs")
    demo = commands.add_parser(
        "demo",
        help="crawl a sample MLflow server into an embedded catalog: no DataHub needed",
        description="Starts a real MLflow server with sample data, crawls it into DataHub Lite and shows the result.",
    )
    demo.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep everything here (default: a temporary folder)"
    )
    return parser


class _Parser(argparse.ArgumentParser):
    """A parser that keeps the lines of help texts and takes no abbreviated flags: a new flag could change them."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False} | options)  # type: ignore[arg-type]


def _add_diff(parser: argparse.ArgumentParser) -> None:
    _add_mlflow(_add_servers(parser))
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print what differs as JSON, for programs")
    output.add_argument("--fix", action="store_true", help="send what is missing or different, and nothing else")
    _add_dead_letters(output, "mlflow-datahub-dead-letters-RUN_ID.jsonl")
    _add_confirm(output)
    _add_logs(output)
    _add_limits(parser, "diff")
    _add_tuning(parser)


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="dead letters or proposals, `-` for standard input")
    parser.add_argument(
        "--type", action="append", metavar="ENTITY_TYPE", help="only these entities, mlModel for example; repeatable"
    )
    parser.add_argument(
        "--code", action="append", metavar="CODE", help="only dead letters with this failure code; repeatable"
    )
    parser.add_argument(
        "--unconfirmed", action="store_true", help="ask DataHub first, and send only what it does not have by now"
    )
    parser.add_argument(
        "--any-target", action="store_true", help="send dead letters that were kept for another DataHub, too"
    )
    _add_servers(parser)
    output = parser.add_argument_group("output")
    _add_sink(output, dead_letters="the next free FILE.N.jsonl")
    _add_checks(output)
    _add_limits(parser, "replay")
    _add_datahub_tuning(parser.add_argument_group("tuning"))


def _add_servers(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
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


def _add_mlflow(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--mlflow-uri", metavar="URL", help="MLflow tracking server")
    group.add_argument(
        "--workspace", metavar="NAME", help="MLflow workspace to read (MLflow >= 3.10; default: default)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    _add_sink(group, dead_letters="mlflow-datahub-dead-letters-RUN_ID.jsonl")
    group.add_argument(
        "--state", type=Path, metavar="PATH", help="keep a checkpoint here: the next crawl resumes one that was cut off"
    )
    group.add_argument(
        "--no-default-report",
        action="store_true",
        help="do not show the crawl on DataHub's Ingestion page, unless the recipe's reporting asks for it",
    )
    group.add_argument(
        "--removal",
        choices=("auto", "confirm"),
        help="stateful_ingestion: confirm that what MLflow does not list was deleted, not hidden from this account",
    )
    group.add_argument(
        "--changed-only",
        action="store_true",
        default=None,
        help="send only what has changed since the last crawl with this --state",
    )
    group.add_argument(
        "--incremental",
        action="store_true",
        default=None,
        help="also read only what may have changed since then (docs/freshness.md says what is seen when)",
    )
    group.add_argument(
        "--verify-every",
        metavar="DURATION",
        help="how often to ask DataHub whether it still has what the state says (default never)",
    )
    _add_checks(group)


def _add_checks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dry-run", action="store_true", help="read and check everything, say what would be sent, write nothing"
    )
    group.add_argument(
        "--validate", action="store_true", help="check each proposal with acryl-datahub's classes first (slow)"
    )


def _add_sink(group: argparse._ArgumentGroup, *, dead_letters: str) -> None:
    group.add_argument("--sink", choices=("rest", "file", "lite"), help="DataHub's REST API, a file, or DataHub Lite")
    group.add_argument("-o", "--output", type=Path, metavar="PATH", help="file to write, `-` for standard output")
    group.add_argument("--report", type=Path, metavar="PATH", help="write a report (JSON), even if the crawl fails")
    group.add_argument("--profile", type=Path, metavar="PATH", help="write where the time went (JSON)")
    _add_dead_letters(group, dead_letters)
    _add_confirm(group)
    _add_logs(group)


def _add_dead_letters(group: argparse._ArgumentGroup, default: str) -> None:
    group.add_argument(
        "--dead-letters",
        type=Path,
        metavar="PATH",
        help=f"where to keep proposals that DataHub did not take, for `replay` (default: {default})",
    )


def _add_confirm(group: argparse._ArgumentGroup) -> None:
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


def _add_logs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="log lines for people or for programs"
    )
    group.add_argument("--no-progress", action="store_true", help="log progress instead of showing a live view")


def _add_limits(parser: argparse.ArgumentParser, what: str) -> None:
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


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    group.add_argument(
        "--page-size", type=int, metavar="N", help="runs per page, fewer if they are large (default 1024)"
    )
    group.add_argument(
        "--mlflow-concurrency", type=int, metavar="N", help="maximum requests in flight to MLflow (default 16)"
    )
    group.add_argument("--mlflow-rps", type=float, metavar="N", help="maximum requests per second to MLflow")
    _add_datahub_tuning(group)


def _add_datahub_tuning(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--datahub-concurrency", type=int, metavar="N", help="maximum requests in flight to DataHub (default 16)"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="proposals per request to DataHub (at most 200)")
