"""Oddities of MLflow versions, each in a file of its own that can be removed."""
