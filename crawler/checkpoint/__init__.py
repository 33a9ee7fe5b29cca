"""What a crawl leaves for the one that goes on with it (docs/decisions/0009-resume.md)."""
