"""Shared fixtures of the record tests: segments to vary and compare, and arbitrary JSON."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from lachesis.verifiers.segment import Segment


@pytest.fixture(scope="session")
def make_segment() -> Callable[..., Segment]:
    """``make_segment(**changes)``: one context token, then two sampled ones."""

    def make(**changes: Any) -> Segment:
        fields: dict[str, Any] = {
            "tokens": np.array([5, 6, 7]),
            "sampled": np.array([False, True, True]),
            "mask": np.array([False, True, True]),
            "logprobs": np.array([np.nan, -0.5, -1.5]),
            "versions": np.array([-1, 3, 3]),
        }
        return Segment(**(fields | changes))

    return make


@pytest.fixture(scope="session")
def same_segment() -> Callable[[Segment, Segment], bool]:
    """Whether two segments have equal values and dtypes, NaN equal to itself."""

    def same(left: Segment, right: Segment) -> bool:
        names = ("tokens", "sampled", "mask", "logprobs", "versions", "advantages")
        for name in names:
            a, b = getattr(left, name), getattr(right, name)
            if (a is None) != (b is None):
                return False
            if a is not None and (a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=a.dtype == np.float32)):
                return False
        extra = left.extra.keys() == right.extra.keys() and all(
            left.extra[k].dtype == right.extra[k].dtype
            and np.array_equal(left.extra[k], right.extra[k], equal_nan=True)
            for k in left.extra
        )
        scalars = ("temperature", "agent", "trainable")
        return extra and all(getattr(left, name) == getattr(right, name) for name in scalars)

    return same


@pytest.fixture(scope="session")
def json_values() -> st.SearchStrategy[Any]:
    """Any JSON value, as Python has it."""
    return st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
