"""Segments: bad arrays are refused where they are made, and JSON changes nothing."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.verifiers.errors import DataError
from lachesis.verifiers.segment import Segment

NAN = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tokens": np.array([[5, 6, 7]])}, "one non-empty row"),
        ({"tokens": np.array([], dtype=np.int32)}, "one non-empty row"),
        ({"tokens": np.array([5.0, 6.0, 7.0])}, "tokens are integers"),
        ({"tokens": np.array([True, False, True])}, "tokens are integers"),
        ({"tokens": np.array([5, 6, 2**40])}, "fit int32"),
        ({"tokens": np.array([-1, 6, 7])}, "not negative"),
        ({"sampled": np.array([0, 1, 1])}, "sampled are bool"),
        ({"mask": np.array([False, True])}, "one length"),
        ({"logprobs": np.array([NAN, -0.5])}, "one length"),
        ({"logprobs": np.array([NAN, 0.5, -1.0])}, "0 or less"),
        ({"logprobs": np.array([NAN, NAN, -1.0])}, "finite"),
        ({"logprobs": np.array([NAN, -math.inf, -1.0])}, "finite"),
        ({"logprobs": np.array([-0.1, -0.5, -1.0])}, "logprob NaN"),
        ({"logprobs": np.array([None, -0.5, -1.0])}, "float32"),
        ({"versions": np.array([-1, -1, 3])}, "0 or more"),
        ({"versions": np.array([-1, 4, 3])}, "never decrease"),
        ({"versions": np.array([3, 3, 3])}, "version -1"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": NAN}, "temperature"),
        ({"advantages": np.array([0.0, NAN, 0.0])}, "advantages are finite"),
        ({"advantages": np.array([0.0, math.inf, 0.0])}, "advantages are finite"),
        ({"advantages": np.array([0.0])}, "one length"),
        ({"extra": {"reference": [0.0]}}, "one length"),
    ],
)
def test_a_segment_refuses_invalid_arrays(
    make_segment: Callable[..., Segment], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        make_segment(**changes)


def test_a_segment_keeps_its_dtypes_whatever_it_is_given(make_segment: Callable[..., Segment]) -> None:
    made = make_segment(tokens=[5, 6, 7], advantages=[0, 1, 2], extra={"reference": [0.0, 1.0, 2.0]})
    assert (made.tokens.dtype, made.logprobs.dtype, made.versions.dtype) == (np.int32, np.float32, np.int32)
    assert made.advantages is not None
    assert made.advantages.dtype == np.float32
    assert len(made) == 3


@given(st.data())
def test_any_segment_survives_json(
    make_segment: Callable[..., Segment], same_segment: Callable[[Segment, Segment], bool], data: st.DataObject
) -> None:
    sampled = data.draw(st.lists(st.booleans(), min_size=1, max_size=20))
    n = len(sampled)
    logprob = st.floats(-50, 0, width=32)
    version = iter(sorted(data.draw(st.lists(st.integers(0, 99), min_size=n, max_size=n))))
    optional = st.none() | st.lists(st.floats(-9, 9, width=32), min_size=n, max_size=n)
    made = make_segment(
        tokens=data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=n, max_size=n)),
        sampled=np.array(sampled),
        mask=np.array(sampled),
        logprobs=np.array([data.draw(logprob) if is_sampled else NAN for is_sampled in sampled]),
        versions=np.array([next(version) if is_sampled else -1 for is_sampled in sampled]),
        temperature=data.draw(st.floats(0, 5)),
        advantages=data.draw(optional),
        extra={"reference": np.arange(n, dtype=np.float16), "route": np.full(n, 3, dtype=np.int64)},
        agent=data.draw(st.text()),
        trainable=data.draw(st.booleans()),
    )
    assert same_segment(made, Segment.from_json(json.loads(json.dumps(made.to_json(), allow_nan=False))))
