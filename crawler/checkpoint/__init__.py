"""What a crawl leaves for the one that goes on with it (docs/decisions/0009-resume.md)."""

from crawler.checkpoint.checkpoint import Checkpoint
from crawler.checkpoint.fingerprint import fingerprint

__all__ = ["Checkpoint", "fingerprint"]
