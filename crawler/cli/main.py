"""The command line: commands and flags → settings → crawl → exit code."""

import argparse
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from crawler import __version__
from crawler.errors import CrawlerError, ExitCode, OutputError

DESCRIPTION = "Reads a whole MLflow server through its REST API and writes it to DataHub."
EPILOG = """\
exit codes:
  0  everything was delivered
  1  something failed; it is named in the summary and the report
  2  wrong usage or settings
  3  a server cannot be reached, refuses the credentials or refuses everything
  130, 143  interrupted (SIGINT, SIGTERM) after a clean stop
"""
CRAWL = """\
Reads every registered model, model version, experiment and run of an MLflow server and writes them to DataHub.

Settings come from a recipe of `datahub ingest` (-c), environment variables and flags; later ones win. With no DataHub
configured anywhere the proposals are written to a file that `datahub ingest` can load.
"""
CRAWL_EPILOG = """\
environment:
  MLFLOW_TRACKING_URI, MLFLOW_REGISTRY_URI, MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_TOKEN,
  MLFLOW_TRACKING_INSECURE_TLS, MLFLOW_TRACKING_SERVER_CERT_PATH, DATAHUB_GMS_URL, DATAHUB_GMS_TOKEN,
  DATAHUB_REST_EMITTER_DEFAULT_ENDPOINT and ~/.datahubenv; MLFLOW_TRACKING_PASSWORD_FILE, MLFLOW_TRACKING_TOKEN_FILE
  and DATAHUB_GMS_TOKEN_FILE name files that hold the secret in their first line

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
  mlflow-datahub-crawler replay mlflow-datahub-dead-letters.jsonl --datahub-url http://localhost:8080
  mlflow-datahub-crawler replay dead-letters.jsonl -c recipe.yml --type mlModel --code not_sent
  gunzip < proposals.json.gz | mlflow-datahub-crawler replay - --datahub-url http://localhost:8080
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; gives the process's exit code."""
    with _standard_streams():
        return _run(_parser().parse_args(argv))


@contextmanager
def _standard_streams() -> Iterator[None]:
    """Lets it be closed or full: what cannot be said there must not change the exit code."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                if stream is not None:
                    stream.flush()
            except OSError:
                # Python would try again, and end with 120.
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _run(arguments: argparse.Namespace) -> int:
    try:
        return _with_output(int(_COMMANDS[arguments.command](arguments)))
    except CrawlerError as error:
        if getattr(arguments, "log_format", "text") == "json":
            logging.getLogger("crawler").error(error)  # noqa: TRY400  a message for a user, without a traceback
        else:
            from crawler.telemetry.logs import printable  # noqa: PLC0415  --help must not wait for msgspec

            lines = f"mlflow-datahub-crawler: error: {error}".split("\n")
            with suppress(OSError):
                print("\n".join(map(printable, lines)), file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        return int(ExitCode.INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has gone; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(ExitCode.FAILURES)


def _with_output(exit_code: int) -> int:
    """What is still buffered goes out as long as its failure can be told: Python itself would end with 120."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"Standard output cannot be written: {error.strerror}.", "Make room there.") from None
    return exit_code


def _crawl(arguments: argparse.Namespace) -> ExitCode:
    from crawler.cli.crawl import crawl_command  # noqa: PLC0415  --help must not wait for aiohttp

    return crawl_command(arguments)


def _replay(arguments: argparse.Namespace) -> ExitCode:
    from crawler.cli.replay import replay_command  # noqa: PLC0415

    return replay_command(arguments)


def _check(arguments: argparse.Namespace) -> ExitCode:
    from crawler.cli.check import check_command  # noqa: PLC0415

    return check_command(arguments)


def _demo(arguments: argparse.Namespace) -> ExitCode:
    from crawler.cli.demo import demo_command  # noqa: PLC0415

    return demo_command(arguments)


_COMMANDS = {"crawl": _crawl, "replay": _replay, "check": _check, "demo": _demo}


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mlflow-datahub-crawler", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    crawl = commands.add_parser(
        "crawl", help="read MLflow and write it to DataHub", description=CRAWL, epilog=CRAWL_EPILOG
    )
    _add_mlflow(_add_servers(crawl))
    _add_output(crawl)
    _add_limits(crawl, "crawl")
    _add_tuning(crawl)
    replay = commands.add_parser(
        "replay", help="send dead letters, or a file of proposals", description=REPLAY, epilog=REPLAY_EPILOG
    )
    _add_replay(replay)
    check = commands.add_parser(
        "check",
        help="reach both servers and say what a crawl would read, or what is wrong",
        description="Reaches MLflow and DataHub as a crawl would, tells versions and counts, and writes nothing.",
    )
    _add_mlflow(_add_servers(check))
    demo = commands.add_parser(
        "demo",
        help="crawl a sample MLflow server into an embedded catalog: no DataHub needed",
        description="Starts a real MLflow server with sample data, crawls it into DataHub Lite and shows the result.",
    )
    demo.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep everything here (default: a temporary folder)"
    )
    demo.set_defaults(verbose=False)
    return parser


class _Parser(argparse.ArgumentParser):
    """Help as it is written, and no abbreviated flags, so that a new flag never changes an old script."""

    def __init__(self, **options: object) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False} | options)  # type: ignore[arg-type]


def _add_replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="dead letters or proposals, `-` for standard input")
    parser.add_argument(
        "--type", action="append", metavar="ENTITY_TYPE", help="only these entities, mlModel for example; repeatable"
    )
    parser.add_argument(
        "--code", action="append", metavar="CODE", help="only dead letters with this failure code; repeatable"
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
        help="how DataHub is written to (default restli; openapi: >= 1.0.1)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, such as each retry")
    return group


def _add_mlflow(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--mlflow-uri", metavar="URL", help="MLflow tracking server")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    _add_sink(group, dead_letters="mlflow-datahub-dead-letters.jsonl")
    group.add_argument(
        "--state", type=Path, metavar="PATH", help="keep here what was delivered; a crawl that was cut off goes on"
    )
    _add_checks(group)


def _add_checks(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")
    group.add_argument(
        "--validate", action="store_true", help="pass each proposal through acryl-datahub's classes first (slow)"
    )


def _add_sink(group: argparse._ArgumentGroup, *, dead_letters: str) -> None:
    group.add_argument("--sink", choices=("rest", "file", "lite"), help="DataHub's REST API, a file, or DataHub Lite")
    group.add_argument("-o", "--output", type=Path, metavar="PATH", help="file to write, `-` for standard output")
    group.add_argument("--report", type=Path, metavar="PATH", help="write a report (JSON), also when the crawl fails")
    group.add_argument("--profile", type=Path, metavar="PATH", help="write where the time went (JSON)")
    group.add_argument(
        "--dead-letters",
        type=Path,
        metavar="PATH",
        help=f"keep here what DataHub did not take, for `replay` (default: {dead_letters})",
    )
    group.add_argument(
        "--confirm",
        choices=("entities", "stored", "none"),
        help="what proves a delivery: each entity is in DataHub (default), each aspect, or the status of the answer",
    )
    group.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="log lines for people or programs"
    )
    group.add_argument("--no-progress", action="store_true", help="log lines instead of a live view")


def _add_limits(parser: argparse.ArgumentParser, what: str) -> None:
    group = parser.add_argument_group("limits")
    group.add_argument("--patience", metavar="DURATION", help="sit out an outage of a server (default 5m)")
    group.add_argument("--max-duration", metavar="DURATION", help=f"end the {what} cleanly after this time")
    group.add_argument("--grace", metavar="DURATION", help="time for a clean stop after a signal (default 25s)")


def _add_tuning(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("tuning")
    group.add_argument(
        "--page-size", type=int, metavar="N", help="runs a page, fewer where they are heavy (default 1024)"
    )
    group.add_argument(
        "--mlflow-concurrency", type=int, metavar="N", help="requests to MLflow at once, at most (default 16)"
    )
    group.add_argument("--mlflow-rps", type=float, metavar="N", help="requests to MLflow a second, at most")
    _add_datahub_tuning(group)


def _add_datahub_tuning(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--datahub-concurrency", type=int, metavar="N", help="requests to DataHub at once, at most (default 16)"
    )
    group.add_argument("--batch-size", type=int, metavar="N", help="proposals a request to DataHub (at most 200)")
