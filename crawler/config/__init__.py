"""Settings of a crawl, from a recipe of `datahub ingest`, the environment and flags."""
