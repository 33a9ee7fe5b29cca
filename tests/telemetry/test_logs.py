"""Log lines for programs."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from crawler.telemetry.logs import configure_logging
configure_logging("json")
try:
    raise ValueError("two\\nlines")
except ValueError:
    logging.getLogger("crawler").exception("It went %s.", "wrong")
"""


def test_an_error_nobody_expected_is_one_line_with_its_traceback() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (line,) = map(json.loads, ended.stderr.splitlines())
    assert (line["level"], line["message"]) == ("ERROR", "It went wrong.")
    assert line["traceback"].endswith("ValueError: two\nlines")
