"""How many examples a property is tried with: as many as it asks for, or a tenth of them in the fast tests."""

from collections.abc import Collection

from hypothesis import HealthCheck, settings

DEFAULT = 100
"""What Hypothesis and the profile `tests` try; the profile `fast` tries fewer (tests/conftest.py)."""


def examples(count: int, suppress_health_check: Collection[HealthCheck] = ()) -> settings:
    """Return settings with `count` examples, scaled by the profile that is loaded."""
    scaled = max(1, count * settings().max_examples // DEFAULT)
    return settings(
        max_examples=scaled, suppress_health_check=[*settings().suppress_health_check, *suppress_health_check]
    )
