"""Metric values read as Python's `str` gives them, as the official connector writes them."""

import math

from hypothesis import example, given
from hypothesis import strategies as st

from crawler.mapping.metric_values import python_texts
from tests.support.examples import examples

of_any_size = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-60, 60))


@examples(2_000)
@given(st.lists(st.floats() | of_any_size, max_size=5))
@example([1e-4, 9.9e-5, 1e-5, 1e-6, 9999999999999998.0, 1e16, 1e17, 1e22])
@example([math.nan])
@example([-math.inf, 0.0, -0.0, 5.0])
@example([5e-324, 1.7976931348623157e308])
def test_texts_are_python_s(values: list[float]) -> None:
    assert python_texts(values) == [str(value) for value in values]
    assert [python_texts([value]) for value in values] == [[str(value)] for value in values]
