"""From a recipe of `datahub ingest`, the environment and flags to the settings of a crawl."""

from crawler.config.flags import Flags
from crawler.config.load import load, load_delivery

__all__ = ["Flags", "load", "load_delivery"]
