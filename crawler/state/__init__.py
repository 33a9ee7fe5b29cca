"""What a crawl leaves for the one that goes on with it (docs/decisions/0009-resume.md)."""

from crawler.state.fingerprint import fingerprint
from crawler.state.journal import Journal

__all__ = ["Journal", "fingerprint"]
