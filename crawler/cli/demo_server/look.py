"""What the demo leaves behind, so that DataHub's own command can look at it."""

import json
from pathlib import Path

import yaml


def make_home(folder: Path, catalog: Path) -> None:
    """Make the folder a home for `datahub lite`, which looks for its catalog and its telemetry's setting at home."""
    lite = {"type": "sqlite", "config": {"file": str(catalog)}}
    # The command wants a server's name, also where it asks none.
    (folder / ".datahubenv").write_text(yaml.safe_dump({"gms": {"server": ""}, "lite": lite}))
    (folder / ".datahub").mkdir()
    (folder / ".datahub" / "telemetry-config.json").write_text(json.dumps({"client_id": "", "enabled": False}))
