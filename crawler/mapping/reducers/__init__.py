"""The memory of a crawl: what depends on more than one row.

Each reducer takes rows in any order and returns the entities that these complete (`take`, or `merge` where several rows
contribute to one entity); `finish` yields the rest. One whose content a resumed crawl cannot read again has `snapshot`
and `restore`.
"""
