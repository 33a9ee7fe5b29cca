"""Dead letters as the tests read them."""

import json
from pathlib import Path
from typing import Any


def letters(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """By (URN, aspect), each of which must have one letter only; none where there is no file."""
    read = [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
    found = {(letter["proposal"]["entityUrn"], letter["proposal"]["aspectName"]): letter for letter in read}
    assert len(found) == len(read), "a proposal has two letters"
    return found
