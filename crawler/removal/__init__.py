"""Stale removal: what MLflow no longer has is marked as removed in DataHub (`stateful_ingestion`).

Absence is a guess, so it counts only after a crawl that read everything; docs/freshness.md has the rules.
"""
