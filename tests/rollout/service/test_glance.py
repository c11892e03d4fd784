"""The glance: it lets pass only what the door lets pass, and what is usual."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.service.door import Door
from lachesis.rollout.service.glance import glance
from lachesis.rollout.service.posted import read_posted
from lachesis.rollout.service.wire import BadBody

ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=5).map(
        lambda pairs: ([t for t, _ in pairs], [-100 if given else t for t, given in pairs])
    ),
    min_size=1,
    max_size=3,
)


@given(
    rows=ROWS,
    change=st.sampled_from(
        [
            {},
            {"env_id": 2},
            {"scores": []},
            {"masks": []},
            {"messages": [], "overrides": [], "advantages": []},
            {"overrides": [{}]},
            {"messages": [[{"role": "user", "content": "[["}]]},
            {"generation_params": {"stop": ["]", "[", 1], "n": {"a": [[]]}}, "group_overrides": {}},
            {"generation_params": {"a": "\\\\", "b": "["}},
            {"group_overrides": {"weights_version": 1}},
            {"group_overrides": []},
            {"images": [1]},
            {"images": {}},
            {"env_id": True},
            {"env_id": 2**60},
            {"scores": [[0.5, 0.5], []]},
            {"scores": ["1"]},
            {"scores": [True]},
            {"scores": [None]},
            {"scores": [10**400]},
            {"advantages": [[0.5, float("nan")]]},
            {"advantages": [[0.5]]},
            {"inference_logprobs": [[0.5], [0.25, 1e-5]]},
            {"generation_params": {"weights_version": 9}},
            {"tokens": [[2**31]]},
            {"tokens": [[-1]]},
            {"tokens": [[]]},
            {"tokens": [[[1]]]},
            {"tokens": [[[1, 2], []]], "masks": [[1, 2]], "scores": [0]},
            {"tokens": [[1, 2]], "masks": [[[1, 2], []]], "scores": [0]},
            {"tokens": [[1.0]], "masks": [[1]], "scores": [0]},
            {"tokens": [[1, 2]], "masks": [[0, 1]], "scores": [0]},
            {"tokens": [[7, 8, 9]], "masks": [[7, -100, 9]], "scores": [0]},
            {"tokens": "ab", "masks": "ab", "scores": "ab"},
            {"tokens": {"a": [1]}, "masks": [[1]], "scores": [0]},
            {"tokens": [[1, 2]], "masks": [[-100, 2]], "scores": [0], "inference_logprobs": [[[1.0, -0.5], []]]},
        ]
    ),
    longest=st.integers(0, 4),
)
def test_a_glance_lets_pass_only_what_the_door_lets_pass(
    rows: list[tuple[list[int], list[int]]], change: dict[str, Any], longest: int
) -> None:
    door = Door(max_sequences=2)
    values = {"tokens": [row for row, _ in rows], "masks": [mask for _, mask in rows], "scores": [0.5] * len(rows)}
    text = json.dumps(values | change).encode()
    seen = glance(text, door, longest)
    if seen is not None:
        (posted,) = read_posted(text, many=False)
        door.check(posted.group, longest=longest)
        assert seen[:3] == (0, posted.group.env_id, len(posted.group.tokens))
        assert json.loads(seen.body) == json.loads(posted.body)


def test_a_usual_group_passes_at_a_glance() -> None:
    body = {"tokens": [[5, 6], [5, 7]], "masks": [[-100, 6], [-100, 7]], "scores": [0, 1], "env_id": 3}
    body["inference_logprobs"] = [[1.0, -0.5], [1.0, -1e-5]]
    seen = glance(json.dumps(body).encode(), Door(), 2)
    assert seen is not None
    assert seen[:3] == (0, 3, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[1]",
        b"5",
        b'{"tokens": [[1]], "masks": [[1]]}',
        b'{"tokens": [[1]], "masks": [[1]], "scores": [1], "x": 1}',
        b'{"tokens": [[1]], "masks": [[1]], "scores": [1], "scores": [2]}',
        b'{"tokens": [[1]], "masks": [[1]], "scores": [1e999]}',
        b'{"tokens": [[1]], "masks": [[1]], "scores": [1], "images": 1e999}',
        b'{"tokens": [[[1, 2], []]], "masks": [[1, 2]], "scores": [1], "group_overrides": {"a": "\\u005b\\u005b"}}',
        b'{"tokens": [[1]], "masks": [[1]], "scores": [1], "images": "\xff"}',
    ],
)
def test_whatever_is_unusual_is_left_to_the_door(body: bytes) -> None:
    assert glance(body, Door(), 0) is None


WHOLE = {"tokens": [[1, 2], [3]], "masks": [[-100, 2], [3]], "scores": [0.5, 1]}
REFUSED: dict[str, list[Any]] = {
    "tokens": [None, 0, {}, "ab", [], [[1, 2]], [[1, 2], []], [[1, 2], [2**31]], [[1, 2], [-3]], [[1, 2], [True]]],
    "masks": [None, 0, {}, "ab", [], [[-100, 2]], [[-100], [3]], [[-100, 3], [3]], [[-100, 2], [None]]],
    "scores": [None, 0, {}, "ab", [], [1], ["a", "b"], [None, 1], [10**400, 1], [[1, 2], []]],
    **{name: [0, {}, "", False, [[1.0, 2.0]], [[1], [2]], [[1, 2], ["a"]]] for name in ("advantages", "ref_logprobs")},
    "inference_logprobs": [0, {}, "", False, [[[1.0, -0.5], []], [1.0]]],
    **{name: [0, {}, "", False] for name in ("messages", "overrides", "distill_token_ids", "distill_logprobs")},
    **{name: [0, [], "", False, [1]] for name in ("generation_params", "group_overrides")},
    "env_id": ["a", [], {}, 1.5, 2**60],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in REFUSED.items() for value in values])
def test_what_the_door_refuses_does_not_pass(name: str, value: Any) -> None:
    text = json.dumps(WHOLE | {name: value}).encode()
    assert glance(text, Door(), 0) is None
    with pytest.raises(BadBody):
        Door().check(read_posted(text, many=False)[0].group)


SMALLEST = {"tokens": [[5]], "masks": [[5]], "scores": [1]}
OF_OTHER_SIZES = {
    **{name: [[], [[]], [[5], [5]], [[5, 5]]] for name in ("tokens", "masks")},
    "scores": [[], [1, 1]],
    **{name: [[[]], [[5], [5]], [[5, 5]]] for name in ("advantages", "ref_logprobs", "inference_logprobs")},
}


@pytest.mark.parametrize(("name", "value"), [(name, one) for name, values in OF_OTHER_SIZES.items() for one in values])
def test_sizes_are_compared_also_where_arrays_of_one_number_fit_all(name: str, value: Any) -> None:
    assert glance(json.dumps(SMALLEST).encode(), Door(), 0) is not None
    text = json.dumps(SMALLEST | {name: value}).encode()
    assert glance(text, Door(), 0) is None
    with pytest.raises(BadBody):
        Door().check(read_posted(text, many=False)[0].group)


USUAL: dict[str, list[Any]] = {
    **{name: [None, [], [[0.5, -1], [2]]] for name in ("advantages", "ref_logprobs", "inference_logprobs")},
    **{name: [None, []] for name in ("messages", "overrides", "distill_token_ids", "distill_logprobs")},
    **{name: [None, {}, {"stop": ["[", "]"], "a": {"b": [[]]}}] for name in ("generation_params", "group_overrides")},
    "images": [None, [], {}, 0],
    "env_id": [None, 0, -1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in USUAL.items() for value in values])
def test_what_is_usual_passes(name: str, value: Any) -> None:
    text = json.dumps(WHOLE | {name: value}).encode()
    seen = glance(text, Door(), 2)
    (posted,) = read_posted(text, many=False)
    assert seen is not None
    assert seen[:3] == (0, posted.group.env_id, 2)
    assert json.loads(seen.body) == json.loads(posted.body)


def test_a_long_body_is_left_to_the_door() -> None:
    row = [1] * 1_500_000
    assert (
        glance(json.dumps({"tokens": [row], "masks": [row], "scores": [0]}).encode(), Door(max_tokens=1 << 24), 0)
        is None
    )


def test_glances_follow_each_other_also_after_a_bad_body() -> None:
    good = json.dumps({"tokens": [[5, 6]], "masks": [[-100, 6]], "scores": [0.5], "messages": []}).encode()
    for body in (b'{"tokens": [[5], "', b'{"tokens": [["a"]], "masks": [[1]], "scores": [1]}'):
        assert glance(good, Door(), 0) is not None
        assert glance(body, Door(), 0) is None
    assert glance(good, Door(), 0) is not None
