"""Posted groups: the strict way reads what the lenient way reads, and keeps bytes that say the same."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.service.posted import read_posted
from lachesis.rollout.service.wire import SCORED_DATA, BadBody, encode

IDS = st.lists(st.integers(0, 300), max_size=5)


def pair(tokens: list[int], given: list[bool]) -> tuple[list[int], list[int]]:
    return tokens, [-100 if is_given else token for token, is_given in zip(tokens, given, strict=False)]


ROWS = st.lists(st.builds(pair, IDS, st.lists(st.booleans(), min_size=5, max_size=5)), min_size=1, max_size=3)


@given(rows=ROWS, compact=st.booleans(), cut=st.integers(0, 2), extra=st.sampled_from([{}, {"env_id": 2}, {"x": 1}]))
def test_a_body_means_the_same_both_ways(
    rows: list[tuple[list[int], list[int]]], compact: bool, cut: int, extra: dict[str, Any]
) -> None:
    masks = [mask for _, mask in rows]
    body = {"tokens": [row for row, _ in rows], "masks": masks[cut:] if cut < len(masks) else masks} | extra
    body["scores"] = [0.5] * len(rows)
    text = json.dumps(body, separators=(",", ":") if compact else None).encode() + b" \n"
    (slow,) = SCORED_DATA.decode(text)
    (fast,) = read_posted(text, many=False)
    assert fast.group == slow
    assert json.loads(fast.body) == json.loads(encode(slow))
    assert len(json.loads(fast.body)) == 14
    assert read_posted(b"[" + text + b"]", many=True) == [(fast.group, fast.body)]


@pytest.mark.parametrize(
    ("tokens", "mask"),
    [
        ([127, 88], [-100, 27, 88]),
        ([127, 88], [27, 88]),
        ([1127, 88], [127, 88]),
        ([5, 127, 88], [-100, 27, 88]),
        ([1, 2], [-100, -100]),
        ([1, 2], []),
        ([], [1]),
        ([-100, 2], [-100, 2]),
    ],
)
def test_a_mask_is_never_taken_for_another(tokens: list[int], mask: list[int]) -> None:
    text = json.dumps({"tokens": [tokens], "masks": [mask], "scores": [0]}).encode()
    if -100 in tokens:
        with pytest.raises(BadBody):
            read_posted(text, many=False)
        return
    (found,) = read_posted(text, many=False)
    assert (found.group.tokens, found.group.masks) == ([tokens], [mask])


def test_integers_written_as_floats_go_out_as_integers() -> None:
    (found,) = read_posted(b'{"tokens": [[1.0, 2]], "masks": [[1, 2]], "scores": [0]}', many=False)
    assert b"1.0" not in found.body
