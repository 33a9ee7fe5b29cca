"""Dead letters as the tests read them."""

import json
from pathlib import Path
from typing import Any

from crawler.delivery.dead_letters import Origin

ORIGIN = Origin("r", "http://gms:8080")


def kept_in(folder: Path, what: str = "dead-letters") -> Path:
    """The one file of a crawl that was given no path, or a path that is not there where it kept nothing."""
    found = list(folder.glob(f"mlflow-datahub-{what}-*.jsonl"))
    assert len(found) <= 1, found
    return found[0] if found else folder / "none"


def letters(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By (URN, aspect), each of which must have one letter only; none where there is no file."""
    read = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    found = {(letter["proposal"]["entityUrn"], letter["proposal"]["aspectName"]): letter for letter in read}
    assert len(found) == len(read), "a proposal has two letters"
    return found
