"""How many examples a property is tried with: half of what it asks for, all with the profile `thorough`, or a tenth."""

from collections.abc import Collection

from hypothesis import HealthCheck, settings

DEFAULT = 100
"""What Hypothesis and the profile `thorough` try; `tests` and `fast` try fewer (tests/conftest.py)."""


def examples(count: int, suppress_health_check: Collection[HealthCheck] = ()) -> settings:
    """Return settings with `count` examples, scaled by the profile that is loaded."""
    scaled = max(1, count * settings().max_examples // DEFAULT)
    return settings(
        max_examples=scaled, suppress_health_check=[*settings().suppress_health_check, *suppress_health_check]
    )
