"""Delivered means verified: what DataHub took counts once it was seen to have it.

A 200 proves nothing: GMS drops proposals behind it, and what goes through its queue may fail there
(docs/decisions/0010-delivered-means-confirmed.md).
"""
