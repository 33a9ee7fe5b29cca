"""Benchmarks beside the official connector, beside the floor, and by size; `README.md` says what each measures."""
