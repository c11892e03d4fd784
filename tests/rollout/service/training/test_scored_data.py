import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lachesis.rollout.service.training.scored_data import FIELDS, Arrival, Limits, group_of, scored_data_of
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.trajectory import POLICY


def scored_data(**fields: Any) -> dict[str, Any]:
    """Two sequences: a prompt of two tokens, and replies of two and one."""
    return {
        "tokens": [[5, 6, 7, 8], [5, 6, 9]],
        "masks": [[-100, -100, 7, 8], [-100, -100, 9]],
        "scores": [1.0, -1.0],
        "inference_logprobs": [[1.0, 1.0, -0.5, -0.25], [1.0, 1.0, -2.0]],
        **fields,
    }


def segments(data: dict[str, Any], arrival: Arrival | None = None) -> list[Segment]:
    return [attempt.segments[0] for attempt in group_of(data, arrival or Arrival()).trajectories]


def test_masks_logprobs_and_scores_become_segments_and_rewards() -> None:
    group = group_of(scored_data(env_id=2), Arrival(number=7, version=3), index=11, environment="remote")
    first, second = (attempt.segments[0] for attempt in group.trajectories)
    assert group.index == 11
    assert group.task.info == {"number": 7, "version": 3, "env_id": 2}
    assert {attempt.environment for attempt in group.trajectories} == {"remote"}
    assert first.tokens.tolist() == [5, 6, 7, 8]
    assert first.mask.tolist() == first.sampled.tolist() == [False, False, True, True]
    np.testing.assert_array_equal(first.logprobs, np.array([np.nan, np.nan, -0.5, -0.25], np.float32))
    assert first.versions.tolist() == [-1, -1, 3, 3]
    assert not first.extra
    assert len(second) == 3
    rewards = [attempt.rewards[POLICY] for attempt in group.trajectories]
    assert [reward.total for reward in rewards] == [1.0, -1.0]
    assert [reward.success for reward in rewards] == [None, None], "a plain number has no pass mark"


@pytest.mark.parametrize("logprobs", [None, [], [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]])
def test_a_trained_token_without_a_logprob_counts_with_the_trainers_own(logprobs: Any) -> None:
    first, _ = segments(scored_data(inference_logprobs=logprobs))
    assert first.mask.tolist() == first.extra["forced"].tolist() == [False, False, True, True]
    assert not first.sampled.any()


def test_the_first_token_is_never_trained_since_nothing_predicts_it() -> None:
    first, _ = segments(scored_data(masks=[[5, 6, 7, 8], [-100, -100, 9]], inference_logprobs=None))
    assert first.mask.tolist() == [False, True, True, True]


def test_a_mask_of_zeros_and_ones_is_a_mask_too() -> None:
    first, second = segments(scored_data(masks=[[0, 0, 1, 1], [-100, -100, 9]]))
    assert first.mask.tolist() == [False, False, True, True]
    assert second.mask.tolist() == [False, False, True]


def test_remembered_versions_count_more_than_the_version_at_arrival() -> None:
    arrival = Arrival(version=9, versions=([-1, -1, 4, 5], None))
    first, second = segments(scored_data(), arrival)
    assert first.versions.tolist() == [-1, -1, 4, 5]
    assert second.versions.tolist() == [-1, -1, 9]


def test_advantages_are_used_as_they_are() -> None:
    first, _ = segments(scored_data(advantages=[[0, 0, 0.5, -0.5], [0, 0, 2]]))
    assert first.advantages is not None
    assert first.advantages.tolist() == [0.0, 0.0, 0.5, -0.5]


def test_an_advantage_set_to_zero_takes_part_in_the_comparison_and_teaches_nothing() -> None:
    overrides = [{"set_advantage_to_zero": True}]
    first, second = segments(scored_data(overrides=overrides))
    assert (first.trainable, second.trainable) == (False, True)
    first, second = segments(scored_data(overrides=overrides, advantages=[[1, 1, 1, 1], [2, 2, 2]]))
    assert first.advantages is not None
    assert (first.trainable, first.advantages.any()) == (True, False)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [1.0, 1.0]),
        ({"group_overrides": {"temperature": 0.5}}, [0.5, 0.5]),
        ({"group_overrides": {"temperature": 0.5}, "generation_params": {"temperature": 0.7}}, [0.7, 0.7]),
        ({"generation_params": {"temperature": 0.7}, "overrides": [{"temperature": 2}]}, [2.0, 0.7]),
    ],
)
def test_the_temperature_is_the_nearest_one(fields: dict[str, Any], expected: list[float]) -> None:
    assert [segment.temperature for segment in segments(scored_data(**fields))] == expected


def test_reference_and_teacher_are_kept_where_a_loss_finds_them() -> None:
    distill = {
        "distill_token_ids": [[[], [], [7, 8], [8]], [[], [], [9]]],
        "distill_logprobs": [[[], [], [-0.1, -3.0], [-0.2]], [[], [], [-0.3]]],
    }
    first, second = segments(scored_data(ref_logprobs=[[0, 0, -1, -2], [0, 0, -3]], **distill))
    assert first.extra["ref_logprobs"].tolist() == [0, 0, -1, -2]
    np.testing.assert_array_equal(first.extra["distill_token_0"], np.array([np.nan, np.nan, 7, 8], np.float32))
    np.testing.assert_array_equal(first.extra["distill_token_1"], np.array([np.nan, np.nan, 8, np.nan], np.float32))
    np.testing.assert_allclose(first.extra["distill_logprob_1"], np.array([np.nan, np.nan, -3, np.nan], np.float32))
    assert all(values.dtype == np.float32 for values in (*first.extra.values(), *second.extra.values()))


def test_messages_and_everything_else_stay_with_the_trajectory() -> None:
    said = [
        [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}],
        [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "3"}],
    ]
    data = scored_data(messages=said, images=["a", None], overrides=[{}, {"own": 1}], group_overrides={"sft": True})
    group = group_of(data, Arrival())
    assert [attempt.completion() for attempt in group.trajectories] == ["2", "3"]
    assert group.task.messages == said[0][:1]
    assert dict(group.trajectories[0].artifacts) == {"group_overrides": {"sft": True}, "images": "a"}
    assert dict(group.trajectories[1].artifacts) == {"overrides": {"own": 1}}


def test_messages_that_no_record_of_ours_can_hold_are_kept_as_they_are() -> None:
    said = [[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]}]] * 2
    attempt = group_of(scored_data(messages=said), Arrival()).trajectories[0]
    assert attempt.artifacts["messages"] == said[0]
    assert attempt.messages[POLICY] == ()


@pytest.mark.parametrize("size", [1, 3, 7])
def test_groups_of_any_size_are_taken(size: int) -> None:
    data = {"tokens": [[1, 2]] * size, "masks": [[-100, 2]] * size, "scores": list(range(size))}
    assert len(group_of(data, Arrival()).trajectories) == size


def test_what_base_env_leaves_empty_is_absent() -> None:
    empty: dict[str, Any] = {key: [] for key in ("advantages", "ref_logprobs", "messages", "overrides", "images")}
    assert segments(scored_data(**empty, group_overrides={}))[0].advantages is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tokens": []}, "tokens: a group has at least one sequence"),
        ({"tokens": [[5, 6, 7, 8], []]}, r"tokens\[1\]: one or more values, found 0"),
        ({"tokens": [[5, 6, 7, 8], [5, 6, 2000]]}, r"tokens\[1\]\[2\]: a token id is 0 to 999, found 2000"),
        ({"tokens": [[5, 6, 7, 8], [5, 6.5, 9]]}, r"tokens\[1\]: a list of integers"),
        ({"tokens": [[5, 6, 7, 8], [5] * 65]}, r"tokens\[1\]: 65 tokens are more than the context of 64"),
        ({"masks": [[-100, -100, 7, 8]]}, "masks: one value for each of the 2 sequences, found 1"),
        ({"masks": [[-100, -100, 7, 8], [-100, 9]]}, r"masks\[1\]: 3 values, found 2"),
        ({"masks": [[-100, -100, 7, 9], [-100, -100, 9]]}, r"masks\[0\]\[3\]: -100 or the token 8"),
        ({"masks": [[-100] * 4, [-100] * 3]}, "masks: no token of the group is to be trained"),
        ({"scores": [1.0]}, "scores: one value for each of the 2 sequences, found 1"),
        ({"scores": [1.0, math.nan]}, r"scores\[1\]: a finite number"),
        ({"scores": [1.0, 1e300]}, r"scores\[1\]: a finite number within"),
        ({"inference_logprobs": [[1, 1, -1], [1, 1, -1]]}, r"inference_logprobs\[0\]: 4 values, one a token, found 3"),
        ({"inference_logprobs": [[1, 1, -1, 0.5], [1, 1, -1]]}, r"inference_logprobs\[0\]\[3\]: 0 or less"),
        ({"inference_logprobs": [[1, 1, -1, -math.inf], [1, 1, -1]]}, r"inference_logprobs\[0\]\[3\]: a finite"),
        ({"advantages": [[0, 0, 1, 1], [0, 0, math.inf]]}, r"advantages\[1\]\[2\]: a finite number"),
        ({"advantages": [[1.0], [1.0]]}, r"advantages\[0\]: 4 values, one a token, found 1"),
        ({"ref_logprobs": [[1, 2]]}, "ref_logprobs: one value for each of the 2 sequences"),
        ({"overrides": [{}, {}, {}]}, "overrides: at most one object for each of the 2 sequences"),
        ({"overrides": [{"temperature": "hot"}]}, r"overrides\[0\].temperature: a number from 0 to 100"),
        ({"generation_params": {"temperature": math.nan}}, "generation_params.temperature: a number"),
        ({"distill_token_ids": [[[1]] * 4, [[1]] * 3]}, "distill_logprobs: missing"),
        ({"distill_token_ids": [[[1]] * 4, [[1]] * 3], "distill_logprobs": [[[-1]] * 4, [[]] * 3]}, r"\[1\]\[0\]"),
    ],
)
def test_what_no_record_can_hold_is_refused_with_field_and_index(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        group_of(scored_data(**fields), Arrival(), limits=Limits(context=64, vocabulary=1000))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*FIELDS]), JSON), st.booleans())
def test_whatever_is_posted_becomes_a_group_or_is_refused(fields: dict[str, Any], whole: bool) -> None:
    try:
        group = group_of(scored_data(**fields) if whole else fields, Arrival(), limits=Limits(64, 1000))
    except DataError:
        return
    json.dumps([attempt.to_json() for attempt in group.trajectories], allow_nan=False)


def test_a_group_survives_the_way_to_a_trainer_and_back() -> None:
    data = scored_data(
        advantages=[[0, 0, 0.5, -0.5], [0, 0, 2]],
        ref_logprobs=[[0, 0, -1, -2], [0, 0, -3]],
        distill_token_ids=[[[], [], [7, 8], [8]], [[], [], [9]]],
        distill_logprobs=[[[], [], [-0.5, -3.0], [-0.25]], [[], [], [-0.125]]],
        messages=[[{"role": "user", "content": "hi"}]] * 2,
        generation_params={"temperature": 0.5},
        overrides=[{}, {"temperature": 2.0}],
        images=["a", "b"],
    )
    (sent,) = scored_data_of(group_of(data, Arrival()))
    assert set(sent) == set(FIELDS)
    assert sent == {**dict.fromkeys(FIELDS), **data}
    assert json.loads(json.dumps(sent, allow_nan=False)) == sent


def test_tokens_without_logprobs_and_untrained_attempts_survive_it_too() -> None:
    data = scored_data(inference_logprobs=[[1, 1, 1, 1], [1, 1, -1]], overrides=[{"set_advantage_to_zero": True}, {}])
    (sent,) = scored_data_of(group_of(data, Arrival()))
    assert sent["inference_logprobs"] == data["inference_logprobs"]
    assert sent["overrides"] == data["overrides"]


def test_each_agent_that_learns_has_a_group_of_its_own() -> None:
    group = group_of(scored_data(), Arrival())
    both = []
    for attempt in group.trajectories:
        (segment,) = attempt.segments
        other = Segment(**{**vars(segment), "agent": "other"})
        rewards = {POLICY: attempt.rewards[POLICY], "other": attempt.rewards[POLICY]}
        both.append(type(attempt)(group.task, segments=(segment, other), rewards=rewards))
    sent = scored_data_of(Group(0, group.task, tuple(both)))
    assert [len(one["tokens"]) for one in sent] == [2, 2]
