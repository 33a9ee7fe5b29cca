"""A crawl, a replay and a check: the plan, the stream of entities, and the wiring."""
