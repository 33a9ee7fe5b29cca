"""Writes docs/comparison.md: what the official connector and this crawler deliver from the same servers."""
