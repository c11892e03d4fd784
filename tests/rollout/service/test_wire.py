"""Bodies: what is accepted, what is refused and where, and what goes out again."""

import json
from typing import Any

import pytest

from lachesis.rollout.service.wire import (
    ENVIRONMENT_REGISTRATION,
    SCORED_DATA,
    SCORED_DATA_LIST,
    BadBody,
    encode,
    place,
)

KEYS = [
    "tokens",
    "masks",
    "scores",
    "advantages",
    "ref_logprobs",
    "messages",
    "generation_params",
    "inference_logprobs",
    "overrides",
    "group_overrides",
    "images",
    "env_id",
    "distill_token_ids",
    "distill_logprobs",
]
LEAST = {"tokens": [[1, 2]], "masks": [[-100, 2]], "scores": [0.5]}


def refusal(value: Any) -> tuple[list[str | int], str]:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    with pytest.raises(BadBody) as caught:
        SCORED_DATA.decode(body)
    return caught.value.detail[0]["loc"], str(caught.value)


def test_all_fourteen_keys_go_out() -> None:
    (group,) = SCORED_DATA.decode(json.dumps(LEAST).encode())
    out = json.loads(encode(group))
    assert list(out) == KEYS
    assert {key: value for key, value in out.items() if value is not None} == LEAST


def test_everything_that_comes_in_goes_out_again() -> None:
    full = {
        **LEAST,
        "advantages": [[0.0, -1.5]],
        "ref_logprobs": [[0.0, -1.5]],
        "messages": [[{"role": "user", "content": [{"type": "text", "text": "\u00e9\U0001f600"}], "reward": None}]],
        "generation_params": {"temperature": 0.7, "big": 2**63},
        "inference_logprobs": [[1.0, -0.25]],
        "overrides": [{"set_advantage_to_zero": True}],
        "group_overrides": {"sft": True},
        "images": [["aGVsbG8="]],
        "env_id": 3,
        "distill_token_ids": [[[1, 2], [3, 4]]],
        "distill_logprobs": [[[-0.1, -0.2], [-0.3, -0.4]]],
    }
    (group,) = SCORED_DATA.decode(json.dumps(full).encode())
    assert json.loads(encode(group)) == full


def test_numbers_in_strings_booleans_and_unknown_fields_are_taken_as_the_reference_takes_them() -> None:
    body = {"tokens": [["1", 2.0]], "masks": [[False, True]], "scores": ["0.5"], "unknown": 1}
    (group,) = SCORED_DATA.decode(json.dumps(body).encode())
    assert (group.tokens, group.masks, group.scores) == ([[1, 2]], [[0, 1]], [0.5])


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"scores": [float("nan")]}, "scores[0]"),
        ({"scores": [0.0, float("-inf")]}, "scores[1]"),
        ({"tokens": [[1, 1.5]]}, "tokens[0][1]"),
        ({"tokens": [[1, -1]]}, "tokens[0][1]"),
        ({"tokens": [[1, 2**31]]}, "tokens[0][1]"),
        ({"tokens": [[1, 10**30]]}, "tokens[0][1]"),
        ({"masks": [[-101, 2]]}, "masks[0][0]"),
        ({"masks": None}, "masks"),
        ({"overrides": [{"a": {"b": [1, float("inf")]}}]}, "overrides[0].a.b[1]"),
        ({"messages": [[{"role": "user", "content": "", "reward": float("nan")}]]}, "messages[0][0].reward"),
        ({"env_id": "one"}, "env_id"),
        ({"distill_logprobs": [[[0.0, "x"]]]}, "distill_logprobs[0][0][1]"),
    ],
)
def test_a_bad_value_is_refused_with_its_place(change: dict[str, Any], where: str) -> None:
    loc, message = refusal({**LEAST, **change})
    assert place(loc) == where
    assert message.startswith(f"{where}: ")


def test_a_list_names_the_group_too() -> None:
    with pytest.raises(BadBody) as caught:
        SCORED_DATA_LIST.decode(json.dumps([LEAST, {**LEAST, "scores": [float("nan")]}]).encode())
    assert caught.value.detail[0]["loc"] == ["body", 1, "scores", 0]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"null", b"[]", b"1e999", b"\xff\xfe", b'"\\ud800"', b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000],
)
def test_what_is_no_object_is_refused(body: bytes) -> None:
    refusal(body)


@pytest.mark.parametrize(
    "odd", ['{"x": "\\ud800"}', '{"x": ' + "9" * 400 + "}", '{"x": ' + "[" * 150 + "]" * 150 + "}"]
)
def test_odd_values_in_free_fields_are_kept_or_refused_but_never_crash(odd: str) -> None:
    body = json.dumps(LEAST)[:-1] + f', "generation_params": {odd}}}'
    try:
        (group,) = SCORED_DATA.decode(body.encode())
        encode(group)
    except BadBody as error:
        assert error.detail  # noqa: PT017 - either way is right


def test_an_environment_without_a_name_is_refused() -> None:
    body = {"max_token_length": 1, "desired_name": None, "weight": 1.0, "group_size": 1}
    with pytest.raises(BadBody, match="desired_name"):
        ENVIRONMENT_REGISTRATION.decode(json.dumps(body).encode())
