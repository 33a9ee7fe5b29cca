"""mlflow-datahub-crawler: a whole MLflow server in DataHub, asynchronously, in batches, without losing anything.

Example:
    import asyncio
    from crawler import crawl, load

    report = asyncio.run(crawl(load("recipe.yml")))
    print(report.status, report.delivered)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crawler.comparison.differences import Differences
    from crawler.comparison.run import diff
    from crawler.config.load import load
    from crawler.datahub.proposals import Entity
    from crawler.errors import CrawlerError, Interrupted, ServerError, SettingsError
    from crawler.pipeline.check import check
    from crawler.pipeline.crawl import crawl
    from crawler.pipeline.entities import open_entities
    from crawler.pipeline.replay import replay
    from crawler.settings.crawl import Settings
    from crawler.telemetry.events import Listener, Outcome, Outcomes
    from crawler.telemetry.findings.kind import Finding
    from crawler.telemetry.report import Report

__version__ = "0.1.0"

__all__ = [
    "CrawlerError",
    "Differences",
    "Entity",
    "Finding",
    "Interrupted",
    "Listener",
    "Outcome",
    "Outcomes",
    "Report",
    "ServerError",
    "Settings",
    "SettingsError",
    "check",
    "crawl",
    "diff",
    "load",
    "open_entities",
    "replay",
]

_MODULES = {
    "CrawlerError": "crawler.errors",
    "Differences": "crawler.comparison.differences",
    "Entity": "crawler.datahub.proposals",
    "Finding": "crawler.telemetry.findings.kind",
    "Interrupted": "crawler.errors",
    "Listener": "crawler.telemetry.events",
    "Outcome": "crawler.telemetry.events",
    "Outcomes": "crawler.telemetry.events",
    "Report": "crawler.telemetry.report",
    "ServerError": "crawler.errors",
    "Settings": "crawler.settings.crawl",
    "SettingsError": "crawler.errors",
    "check": "crawler.pipeline.check",
    "crawl": "crawler.pipeline.crawl",
    "diff": "crawler.comparison.run",
    "load": "crawler.config.load",
    "open_entities": "crawler.pipeline.entities",
    "replay": "crawler.pipeline.replay",
}


def __getattr__(name: str) -> object:
    """Import an exported name when it is first used: the command's --help must not wait for aiohttp."""
    if name not in _MODULES:
        raise AttributeError(f"module 'crawler' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
