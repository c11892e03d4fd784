"""Packed rows against each sample alone in a plain Hugging Face forward: the same numbers in whatever company."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.packing.micro_batch import ROW, micro_batches
from lachesis.trainer.learner.sample import Sample, samples_of
from lachesis.verifiers.errors import DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory
from lachesis.verifiers.verdict import Verdict

CPU = torch.device("cpu")
TASK = Task("1+1=", answer="2", id="sum")


def made_of(groups: list[Group], advantage: str, context: int, **options: Any) -> list[Sample]:
    return samples_of(groups, compute_advantages(groups, advantage), context, **options)


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> LocalLearner:
    path = build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=2)
    return LocalLearner(ModelConfig(path=str(path)), TrainerConfig())


def ids(rng: np.random.Generator, count: int) -> Any:
    return rng.integers(0, 250, count).astype(np.int32)


def sample(
    prompt: Any, reply: Any, *, gap: slice = slice(0), temperature: float = 1.0, advantage: float = 1.0
) -> Sample:
    """A reply to a prompt; ``gap`` of the reply is context (a tool's result, say)."""
    tokens = np.concatenate([prompt, reply])
    mask = np.arange(tokens.size) >= prompt.size
    mask[prompt.size :][gap] = False
    logprobs = np.where(mask, -3.0, np.nan).astype(np.float32)
    return Sample(tokens, mask, logprobs, np.full(tokens.size, advantage, np.float32), temperature)


@pytest.fixture
def samples() -> list[Sample]:
    """Three prompts; unequal replies; several trained spans; two temperatures; one prompt that begins another."""
    rng = np.random.default_rng(0)
    first, second = ids(rng, 20), ids(rng, 1)
    longer = np.concatenate([first, ids(rng, 5)])
    return [
        sample(first, ids(rng, 7)),
        sample(second, ids(rng, 3)),
        sample(first, ids(rng, 12), gap=slice(3, 8)),
        sample(first, ids(rng, 1), temperature=0.7),
        sample(longer, ids(rng, 30), gap=slice(10, 11)),
        sample(second, ids(rng, 9), gap=slice(1, 8), advantage=-2.0),
        sample(first, ids(rng, 7)),
    ]


def alone(learner: LocalLearner, one: Sample) -> torch.Tensor:
    """Logprobs of the trained tokens by a forward pass of nothing but this sample."""
    tokens = torch.from_numpy(one.tokens.astype(np.int64))
    logits = learner.model(input_ids=tokens[None]).logits[0, :-1] / one.temperature
    logprobs = logits.log_softmax(-1).gather(-1, tokens[1:, None])[:, 0]
    return logprobs[torch.from_numpy(one.mask[1:])]


def packed(learner: LocalLearner, samples: Sequence[Sample], micro_tokens: int = 16384) -> dict[bytes, torch.Tensor]:
    """The same by the packed path; by advantages, which mark each sample here."""
    marked = [
        Sample(one.tokens, one.mask, one.logprobs, np.full(one.tokens.size, number, np.float32), one.temperature)
        for number, one in enumerate(samples)
    ]
    found: dict[Any, torch.Tensor] = {}
    for micro in micro_batches(marked, micro_tokens, CPU):
        logprobs, _, _ = learner._policy(micro)
        for number in micro.advantages_N.unique():
            chosen = micro.advantages_N == number
            found[int(number)] = logprobs[chosen]
            wanted = samples[int(number)]
            assert micro.targets_N[chosen].tolist() == wanted.tokens[wanted.mask].tolist()
    assert len(found) == len(samples)
    return found


def gradients(learner: LocalLearner) -> torch.Tensor:
    grads = [parameter.grad for parameter in learner.model.parameters()]
    return torch.cat([grad.flatten().clone() for grad in grads if grad is not None])


@pytest.mark.parametrize("micro_tokens", [16384, 128, 40, 1])
def test_packed_samples_have_the_logprobs_and_gradients_of_samples_alone(
    learner: LocalLearner, samples: list[Sample], micro_tokens: int
) -> None:
    learner.model.zero_grad(set_to_none=False)
    torch.cat([alone(learner, one) for one in samples]).sum().backward()
    expected = gradients(learner)

    learner.model.zero_grad(set_to_none=False)
    found = packed(learner, samples, micro_tokens)
    for number, one in enumerate(samples):
        assert torch.allclose(found[number], alone(learner, one), atol=1e-5), number
    torch.cat(list(found.values())).sum().backward()
    assert (gradients(learner) - expected).norm() < 1e-5 * expected.norm()


def test_a_continuation_changes_nothing_at_all_of_its_neighbours(learner: LocalLearner, samples: list[Sample]) -> None:
    before = packed(learner, samples)
    other = samples[2].tokens.copy()
    other[20:] = (other[20:] + 1) % 250
    samples[2] = Sample(other, samples[2].mask, samples[2].logprobs, samples[2].advantages)
    after = packed(learner, samples)
    assert not torch.equal(before[2], after[2])
    for number in set(range(len(samples))) - {2}:
        assert torch.equal(before[number], after[number]), number


def test_one_prompt_stands_once_in_its_row(samples: list[Sample]) -> None:
    (micro,) = micro_batches([samples[0], samples[2], samples[3]], 16384, CPU)
    assert micro.tokens_RT.shape == (1, 20 + 7 + 12 + 1)
    assert micro.positions_RT[0, :20].tolist() == list(range(20))
    assert sorted(micro.positions_RT[0, 20:].tolist()) == sorted([20, *range(20, 27), *range(20, 32)])


@pytest.mark.parametrize("micro_tokens", [1, 60, 300, 1000])
def test_rows_stay_within_their_bounds(micro_tokens: int) -> None:
    rng = np.random.default_rng(1)
    prompts = [ids(rng, length) for length in (4, 30, 30)]
    samples = [sample(prompts[number % 3], ids(rng, int(rng.integers(1, 80)))) for number in range(60)]
    longest = max(one.tokens.size for one in samples)
    micros = list(micro_batches(samples, micro_tokens, CPU))
    assert sum(micro.targets_N.numel() for micro in micros) == sum(int(one.mask.sum()) for one in samples)
    for micro in micros:
        rows, width = micro.tokens_RT.shape
        assert width <= max(min(ROW, micro_tokens), longest)
        if rows * width > micro_tokens:  # a single sample that no packing makes shorter
            assert rows == 1
            assert (micro.positions_RT[0].diff() == 1).all()


@pytest.mark.parametrize(
    ("mask", "logprobs", "message"),
    [
        ([1, 1, 0], [-1.0, -1.0, np.nan], "first token"),
        ([0, 0, 0], [np.nan] * 3, "at least one"),
        ([0, 1, 1], [np.nan, -1.0, np.nan], "token 2 .*logprob nan"),
    ],
)
def test_samples_that_cannot_be_trained_are_refused(mask: list[int], logprobs: list[float], message: str) -> None:
    ones = np.ones(3, np.float32)
    with pytest.raises(DataError, match=message):
        Sample(np.arange(3, dtype=np.int32), np.array(mask, bool), np.array(logprobs, np.float32), ones)


def segment(sampled: Sequence[int], mask: Sequence[int] | None = None, **more: Any) -> Segment:
    drawn = np.array(sampled, bool)
    return Segment(
        tokens=np.arange(len(sampled)),
        sampled=drawn,
        mask=drawn if mask is None else np.array(mask, bool),
        logprobs=np.where(drawn, -1.0, np.nan).astype(np.float32),
        versions=np.where(drawn, 0, -1),
        **more,
    )


def group(*attempts: tuple[float, tuple[Segment, ...]]) -> Group:
    rewards = [{"policy": Reward((Component("exact", 1.0, Verdict(score)),))} for score, _ in attempts]
    pairs = zip(attempts, rewards, strict=True)
    return Group(5, TASK, tuple(Trajectory(TASK, segments=parts, rewards=each) for (_, parts), each in pairs))


def test_every_trainable_segment_of_an_attempt_has_its_advantage() -> None:
    turns = (segment([0, 1, 0, 1]), segment([0, 0, 1]), segment([0, 1], trainable=False), segment([0, 1], mask=[0, 0]))
    first, second, third = made_of([group((1.0, turns), (0.0, (segment([0, 1]),)))], "grpo", context=16)
    assert np.allclose(first.advantages, 0.7071, atol=1e-3)
    assert np.array_equal(first.advantages[:3], second.advantages)
    assert np.allclose(third.advantages, -0.7071, atol=1e-3)
    assert first.mask.tolist() == [False, True, False, True]


def test_advantages_that_the_environment_gives_are_used_as_they_are() -> None:
    given = np.array([0, 3.5, -2.0], np.float32)
    made = group((1.0, (segment([0, 1, 1], advantages=given),)), (0.0, (segment([0, 1, 1], advantages=-given),)))
    found = made_of([made], "grpo", context=16)
    assert [one.advantages.tolist() for one in found] == [given.tolist(), (-given).tolist()]


def test_attempts_that_ran_into_a_limit_are_compared_and_then_left_out() -> None:
    cut = replace(group((0.0, (segment([0, 1]),))).trajectories[0], stop=StopReason.LENGTH)
    made = Group(5, TASK, (group((1.0, (segment([0, 1, 1]),))).trajectories[0], cut))
    assert len(made_of([made], "dr_grpo", 16)) == 2
    (kept,) = made_of([made], "dr_grpo", 16, overlong="filter")
    assert kept.advantages.tolist() == [0.5] * 3


def test_greedy_samples_count_as_temperature_1() -> None:
    made = group((1.0, (segment([0, 1], temperature=0.0), segment([0, 1], temperature=0.5))))
    assert [one.temperature for one in made_of([made], "grpo", context=16)] == [1.0, 0.5]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (segment([1, 1, 0]), "first token"),
        (segment([0, 1, 0], mask=[0, 1, 1]), "token 2"),
        (segment([0] * 16 + [1]), "17 tokens is longer than model.context = 16"),
    ],
)
def test_a_bad_segment_is_refused_by_its_group(bad: Segment, message: str) -> None:
    with pytest.raises(DataError, match=rf"group 5 \(task sum\).*{message}"):
        made_of([group((1.0, (bad,)))], "grpo", context=16)
