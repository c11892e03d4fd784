"""The door: what a group must satisfy, each rule by a group that breaks it alone."""

from typing import Any

import pytest

from lachesis.rollout.service.door import Door, check_all
from lachesis.rollout.service.wire import BadBody, ScoredData, place


def scored(**changes: Any) -> ScoredData:
    values = {"tokens": [[5, 6, 7], [5, 8]], "masks": [[-100, 6, 7], [-100, 8]], "scores": [1.0, 0.0]}
    return ScoredData(**(values | changes))


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"masks": [[5, -100, 7], [-100, -100]]},
        {"masks": [[0, 1, 1], [1, 1]]},
        {key: [] for key in ["advantages", "ref_logprobs", "messages", "overrides", "images", "distill_logprobs"]},
        {"advantages": [[0.0] * 3, [0.0] * 2], "ref_logprobs": [[0.0] * 3, [0.0] * 2]},
        {"distill_token_ids": [[[], [1], [2, 3]], [[], []]], "distill_logprobs": [[[], [0.0], [0.0, -1.0]], [[], []]]},
        {"generation_params": {"weights_version": 8}},
    ],
)
def test_a_good_group_passes(good: dict[str, Any]) -> None:
    Door(max_staleness=2).check(scored(**good), longest=3, version=10)


@pytest.mark.parametrize(
    ("bad", "where"),
    [
        ({"tokens": [], "masks": [], "scores": []}, "tokens"),
        ({"tokens": [[5, 6, 7], []]}, "tokens[1]"),
        ({"tokens": [[5, 6, 7, 8], [5, 8]]}, "tokens[0]"),
        ({"tokens": [[1]] * 5}, "tokens"),
        ({"masks": [[-100, 6, 7]]}, "masks"),
        ({"masks": [[-100, 6, 7], [-100]]}, "masks[1]"),
        ({"masks": [[-100, 6, 7], [-100, 9]]}, "masks[1][1]"),
        ({"masks": [[0, 1, 2], [-100, 8]]}, "masks[0][0]"),
        ({"scores": [1.0]}, "scores"),
        ({"advantages": [[0.0] * 3]}, "advantages"),
        ({"ref_logprobs": [[0.0] * 3, [0.0] * 3]}, "ref_logprobs[1]"),
        ({"inference_logprobs": [[0.0] * 2, [0.0] * 2]}, "inference_logprobs[0]"),
        ({"messages": [[{"role": "user", "content": ""}]]}, "messages"),
        ({"messages": [[{"role": "user", "content": ""}], [{"role": "user"}]]}, "messages[1][0]"),
        ({"overrides": [{}]}, "overrides"),
        ({"distill_token_ids": [[[1]] * 3, [[1]] * 2]}, "distill_logprobs"),
        ({"distill_logprobs": [[[0.0]] * 3, [[0.0]] * 2]}, "distill_token_ids"),
        (
            {"distill_token_ids": [[[1]] * 3, [[1]] * 2], "distill_logprobs": [[[0.0]] * 3, [[0.0], []]]},
            "distill_logprobs[1][1]",
        ),
        ({"generation_params": {"weights_version": 7}}, "generation_params.weights_version"),
        ({"generation_params": {"weights_version": 11}}, "generation_params.weights_version"),
        ({"generation_params": {"weights_version": [1]}}, "generation_params.weights_version"),
    ],
)
def test_a_bad_group_is_refused_with_its_place(bad: dict[str, Any], where: str) -> None:
    door = Door(max_sequences=4, max_staleness=2)
    with pytest.raises(BadBody) as caught:
        door.check(scored(**bad), longest=3, version=10)
    assert place(caught.value.detail[0]["loc"]) == where
    with pytest.raises(BadBody) as caught:
        check_all(door, [scored(), scored(**bad)], True, longest=3, version=10)
    assert caught.value.detail[0]["loc"][:2] == ["body", 1]
