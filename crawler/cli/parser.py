"""The parser of the command line: which commands there are, and their flags."""

import argparse
from pathlib import Path

from crawler import __version__
from crawler.cli.flag_groups import (
    add_checks,
    add_confirm,
    add_datahub_tuning,
    add_dead_letters,
    add_limits,
    add_logs,
    add_mlflow,
    add_servers,
    add_sink,
    add_tuning,
)

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


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = _Parser(prog="mlflow-datahub-crawler", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    crawl = commands.add_parser(
        "crawl", help="read MLflow and write it to DataHub", description=CRAWL, epilog=CRAWL_EPILOG
    )
    servers = add_servers(crawl)
    add_mlflow(servers)
    servers.add_argument(
        "--show-config", action="store_true", help="print each setting and where it is from, secrets hidden, and end"
    )
    _add_output(crawl)
    add_limits(crawl, "crawl")
    add_tuning(crawl)
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
    add_mlflow(add_servers(check))
    check.add_argument("--json", action="store_true", help="print what was found as JSON, for programs")
    config = commands.add_parser(
        "config", help="print the JSON Schema of a recipe", description="What a recipe may have, for programs."
    )
    config.add_argument(
        "what", choices=("schema",), help="schema: the JSON Schema of a recipe, for editors and checks before a crawl"
    )
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


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    add_sink(group, dead_letters="mlflow-datahub-dead-letters-RUN_ID.jsonl")
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
    add_checks(group)


def _add_diff(parser: argparse.ArgumentParser) -> None:
    add_mlflow(add_servers(parser))
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print what differs as JSON, for programs")
    output.add_argument("--fix", action="store_true", help="send what is missing or different, and nothing else")
    add_dead_letters(output, "mlflow-datahub-dead-letters-RUN_ID.jsonl")
    add_confirm(output)
    add_logs(output)
    add_limits(parser, "diff")
    add_tuning(parser)


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
    add_servers(parser)
    output = parser.add_argument_group("output")
    add_sink(output, dead_letters="the next free FILE.N.jsonl")
    add_checks(output)
    add_limits(parser, "replay")
    add_datahub_tuning(parser.add_argument_group("tuning"))
