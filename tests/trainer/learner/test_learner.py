"""One optimizer step: the whole batch's gradient, nothing for nothing, and never a weight that is not a number."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.environments.loading import describe
from lachesis.rollout.config import ModelConfig, RolloutConfig
from lachesis.rollout.engines.engine import Sampling
from lachesis.rollout.engines.weight_transport.object_store import ObjectStoreSender
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.pool import InlinePool, PoolSpec
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.pair import Pair
from lachesis.trainer.learner.sample import Sample, samples_of
from lachesis.trainer.losses.config import LossConfig, PreferenceConfig
from lachesis.trainer.losses.objective import Objective
from lachesis.trainer.losses.terms import Tokens
from lachesis.verifiers.errors import ConfigError, DataError, InfrastructureError
from lachesis.verifiers.group import Group

LR = 1e-3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=1, context=64))


def learner(tiny: str, **settings: Any) -> LocalLearner:
    return LocalLearner(ModelConfig(path=tiny, context=64), TrainerConfig(**settings), longest=20)


def sample(seed: int, reply: int, advantage: float) -> Sample:
    rng = np.random.default_rng(seed)
    tokens = np.concatenate([np.arange(6), rng.integers(0, 250, reply)]).astype(np.int32)
    mask = np.arange(tokens.size) >= 6
    logprobs = np.where(mask, -5.5, np.nan).astype(np.float32)
    return Sample(tokens, mask, logprobs, np.full(tokens.size, advantage, np.float32))


LIVE = [sample(1, 3, 1.5), sample(2, 9, -0.5), sample(3, 1, -0.5)]
DEAD = [sample(4, 20, 0.0), sample(5, 2, 0.0)]


def write(found: LocalLearner, folder: Path) -> None:
    found.save(folder)
    while not found.saved():
        time.sleep(0.01)


def gradient(found: LocalLearner) -> torch.Tensor:
    grads = [parameter.grad for parameter in found.model.parameters()]
    return torch.cat([grad.flatten() for grad in grads if grad is not None])


def digest(found: LocalLearner) -> str:
    """Of the weights as they are sent to engines."""
    return found.send(ObjectStoreSender(), 0).digest


def flat(found: LocalLearner) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in found.model.parameters()])


def test_samples_without_advantage_count_in_the_number_and_cost_no_forward_pass(tiny: str) -> None:
    some, whole = learner(tiny, max_grad_norm=1e9), learner(tiny, max_grad_norm=1e9)
    without = some.policy_step(LIVE, LR).metrics
    metrics = whole.policy_step(LIVE + DEAD, LR).metrics
    assert (without["tokens/trained"], metrics["tokens/trained"]) == (13, 35)
    assert metrics["tokens/forward"] == without["tokens/forward"] == 6 * 3 + 13
    assert metrics["loss"] * 35 == pytest.approx(without["loss"] * 13, rel=1e-6)
    assert torch.allclose(gradient(whole) * 35, gradient(some) * 13, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_that_of_the_formula_over_the_whole_batch(tiny: str) -> None:
    found = learner(tiny, max_grad_norm=1e9)
    found.policy_step(LIVE + DEAD, LR)
    plain = learner(tiny)
    total: Any = 0.0
    for one in LIVE + DEAD:
        ids = torch.from_numpy(one.tokens.astype(np.int64))
        logprobs = plain.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
        ratio = torch.exp(logprobs[5:] + 5.5)
        advantage = float(one.advantages[0])
        total = total - torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).sum()
    plain.optimizer.zero_grad(set_to_none=False)
    (total / 35).backward()
    assert (gradient(found) - gradient(plain)).norm() < 1e-5 * gradient(plain).norm()


@pytest.mark.parametrize("micro_tokens", [1, 20, 64])
def test_micro_batches_add_up_to_the_same_step(tiny: str, micro_tokens: int) -> None:
    whole, split = learner(tiny), learner(tiny, micro_tokens=micro_tokens)
    expected, found = whole.policy_step(LIVE, LR).metrics, split.policy_step(LIVE, LR).metrics
    assert found == pytest.approx(expected, rel=1e-4)
    assert (gradient(split) - gradient(whole)).norm() < 1e-5 * gradient(whole).norm()


EVERY_LOSS = [
    {"kind": "clipped", "clip_dual": 3.0},
    {"kind": "gspo", "normalize": "sequence"},
    {"kind": "cispo", "normalize": "constant"},
    {"kind": "supervised"},
    {"importance_sampling": {"method": "tis"}},
    {"importance_sampling": {"method": "icepop"}, "entropy": 0.1},
    {"importance_sampling": {"method": "mis_sequence", "high": 30.0}},
    {"importance_sampling": {"method": "mis_geometric"}},
    {"kl": {"coef": 0.1, "estimator": "k1"}},
    {"kl": {"coef": 0.1, "estimator": "k2"}, "normalize": "sequence"},
    {"kl": {"coef": 0.1, "apply_to": "reward"}},
]


@pytest.mark.parametrize("loss", EVERY_LOSS, ids=str)
def test_every_loss_is_the_same_however_the_batch_is_split(tiny: str, tmp_path: Path, loss: dict[str, Any]) -> None:
    found = []
    for micro_tokens in (16384, 64, 1):
        one = learner(tiny, micro_tokens=micro_tokens, loss=loss, max_grad_norm=1e9)
        if one.objective.needs_reference:
            one.keep_reference(tmp_path / "reference")
            perturb(one)
        metrics = one.policy_step(LIVE + DEAD, LR).metrics
        found.append((metrics, gradient(one)))
    (expected, direction), *others = found
    assert direction.norm() > 0
    assert expected["tokens/forward"] == (6 * 5 + 35 if {"kl", "entropy"} & loss.keys() else 6 * 3 + 13)
    for metrics, other in others:
        assert metrics == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert (other - direction).norm() < 1e-5 * direction.norm()


def perturb(one: LocalLearner) -> None:
    """Move the policy away from its reference."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in one.model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))


def test_the_divergence_from_the_reference_is_nothing_at_first_and_is_pulled_back(tiny: str, tmp_path: Path) -> None:
    one = learner(tiny, loss={"kl": {"coef": 1.0}})
    one.keep_reference(tmp_path / "reference")
    assert one.policy_step(DEAD, 0.0).metrics["reference_kl"] == 0.0
    perturb(one)
    away = [one.policy_step(DEAD, LR).metrics["reference_kl"] for _ in range(10)]
    assert 0 < away[-1] < away[0] / 2
    assert one.reference is not None
    assert not any(parameter.requires_grad for parameter in one.reference.parameters())
    again = learner(tiny, loss={"kl": {"coef": 1.0}})
    again.keep_reference(tmp_path / "reference")  # as a resumed run finds it
    for ours, theirs in zip(one.reference.parameters(), again.reference.parameters(), strict=True):  # type: ignore[union-attr]
        assert torch.equal(ours, theirs)


def test_a_bonus_of_entropy_raises_it(tiny: str) -> None:
    one = learner(tiny, loss={"entropy": 1.0})
    perturb(one)
    found = [one.policy_step(DEAD, LR).metrics["entropy"] for _ in range(5)]
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_a_divergence_inside_the_reward_charges_a_token_for_all_that_follows_in_its_sequence() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -1.5, -1.0], requires_grad=True)
    reference = torch.tensor([-1.5, -1.0, -1.0, -2.0])  # k1 = .5, −1, −.5, 1
    tokens = Tokens(logprobs, logprobs.detach(), torch.ones(4), torch.tensor([0, 0, 1, 1]))
    objective = Objective(LossConfig(kl={"coef": 0.1, "apply_to": "reward"}))
    objective(tokens, torch.zeros(4), reference).loss.sum().backward()
    assert logprobs.grad is not None
    assert (-logprobs.grad).tolist() == pytest.approx([1 + 0.05, 1 + 0.1, 1 - 0.05, 1 - 0.1])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"clip_dual": 1.1}, "above 1 \\+ clip_high = 1.2"),
        ({"importance_sampling": {"method": "tis", "low": 3.0}}, "low 3 is above high 2"),
        ({"kl": {"coef": 0.1}}, "needs a reference policy"),
    ],
)
def test_settings_of_a_loss_that_contradict_each_other_are_refused(tiny: str, loss: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        learner(tiny, loss=loss).policy_step(LIVE, LR)


def test_gradients_are_clipped_to_the_norm(tiny: str) -> None:
    found = learner(tiny, max_grad_norm=1e-3)
    assert found.policy_step(LIVE, LR).metrics["grad_norm"] > 1e-3
    assert gradient(found).norm().item() == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize("samples", [DEAD, []])
def test_a_step_that_teaches_nothing_changes_nothing_and_has_finite_metrics(tiny: str, samples: list[Sample]) -> None:
    found = learner(tiny)
    before = flat(found)
    metrics = found.policy_step(samples, LR).metrics
    assert all(np.isfinite(value) for value in metrics.values())
    assert (metrics["loss"], metrics["grad_norm"], metrics["mismatch_kl"]) == (0.0, 0.0, 0.0)
    assert torch.equal(flat(found), before)


def test_what_the_torch_engine_sampled_matches_the_trainer(tiny: str) -> None:
    spec = PoolSpec(ModelConfig(path=tiny, context=64), RolloutConfig(inline=True), (describe("arithmetic"),))
    found = learner(tiny)

    async def rollouts() -> list[Group]:
        pool = InlinePool(spec)
        await pool.publish(found.send(ObjectStoreSender(), 0))
        tasks = spec.environments[0].build().tasks("train", 0)
        sampling = Sampling(max_tokens=20, temperature=0.8)
        orders = [Order(n, 0, task, 4, (0, 0), sampling) for n, task in zip(range(4), tasks, strict=False)]
        return [outcome for outcome in await pool.run(orders) if isinstance(outcome, Group)]

    groups = asyncio.run(rollouts())
    samples = samples_of(groups, compute_advantages(groups, "grpo"), 64)
    ones = [Sample(one.tokens, one.mask, one.logprobs, one.advantages + 1, one.temperature) for one in samples]
    metrics = found.policy_step(ones, LR).metrics
    assert len(ones) == 16
    assert metrics["mismatch_kl"] < 1e-9
    assert metrics["mismatch_max"] < 1e-4
    assert metrics["ratio"] == pytest.approx(1.0, abs=1e-5)
    assert metrics["clip_fraction"] == 0.0
    assert 0 < metrics["entropy"] < np.log(300)


def test_supervised_steps_learn_their_demonstration(tiny: str) -> None:
    found = learner(tiny)
    shown = [Sample(one.tokens, one.mask, None, one.advantages) for one in LIVE]
    losses = [found.supervised_step(shown, 3e-3)["loss"] for _ in range(60)]
    assert losses[0] == pytest.approx(5.6, abs=0.5)
    assert losses[-1] < 0.5


@pytest.mark.parametrize("kind", ["clipped", "gspo", "cispo", "supervised"])
def test_tokens_that_nobody_sampled_are_learned_with_advantage_1_as_a_demonstration_is(tiny: str, kind: str) -> None:
    forced = [
        replace(one, logprobs=np.full(one.tokens.size, np.nan, np.float32), advantages=one.mask * 1.0, forced=one.mask)
        for one in LIVE
    ]
    policy, shown = learner(tiny, max_grad_norm=1e9, loss={"kind": kind}), learner(tiny, max_grad_norm=1e9)
    metrics = policy.policy_step(forced, LR).metrics
    shown.supervised_step([replace(one, logprobs=None) for one in LIVE], LR)
    if kind != "gspo":  # whose ratio is of the whole sequence
        assert torch.allclose(gradient(policy), gradient(shown), rtol=1e-4, atol=1e-6)
    assert metrics["mismatch_kl"] == 0.0
    with pytest.raises(DataError, match="only what the policy sampled"):
        replace(forced[0], forced=None)


@pytest.mark.parametrize("normalize", ["token", "sequence", "constant"])
def test_a_step_is_the_same_in_parts_of_which_one_may_be_empty_and_one_teach_nothing(tiny: str, normalize: str) -> None:
    whole, parted = (learner(tiny, loss={"normalize": normalize, "entropy": 0.0}, max_grad_norm=1e9) for _ in range(2))
    expected = whole.policy_step([*LIVE[:1], *DEAD, *LIVE[1:]], LR)
    for part in (LIVE[:1], [], DEAD):
        parted.add_gradient(part)
    found = parted.policy_step(LIVE[1:], LR)
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-5)
    assert (gradient(parted) - gradient(whole)).norm() < 1e-6 * gradient(whole).norm()
    assert [one is None for one in found.logprobs] == [False, True, True, False, False]
    for one, other in zip(found.logprobs, expected.logprobs, strict=True):
        assert one is other is None or np.allclose(one, other, rtol=1e-5)  # type: ignore[arg-type]
    assert parted.policy_step(LIVE, LR).metrics == pytest.approx(whole.policy_step(LIVE, LR).metrics, rel=1e-4)


def test_parts_of_a_step_that_is_not_taken_are_forgotten(tiny: str) -> None:
    found, plain = learner(tiny, loss={"kl": {"coef": 0.1}}), learner(tiny)
    with pytest.raises(ConfigError, match="keep_reference"):
        found.add_gradient(LIVE)
    assert found.policy_step([], LR).metrics["tokens/trained"] == 0
    found = learner(tiny)
    found.add_gradient(LIVE[:1])
    for one in (found, plain):
        one.supervised_step(LIVE, LR)
    assert found.policy_step(LIVE, LR).metrics == plain.policy_step(LIVE, LR).metrics


def test_a_step_without_samples_leaves_the_weights(tiny: str) -> None:
    found = learner(tiny)
    before = flat(found)
    assert found.policy_step([], LR).metrics["loss"] == 0.0
    assert torch.equal(flat(found), before)


@pytest.mark.parametrize(("momentum", "offload"), [(False, False), (True, False), (True, True)])
def test_saved_and_loaded_the_next_steps_are_the_same_to_the_bit(
    tiny: str, tmp_path: Path, momentum: bool, offload: bool
) -> None:
    first = learner(tiny, offload=offload)
    if momentum:
        first.policy_step(LIVE, LR)
    write(first, tmp_path)
    second = learner(str(tmp_path))
    second.load(tmp_path)
    assert digest(second) == digest(first)
    for samples in (DEAD, LIVE):  # a step that teaches nothing still moves on by momentum
        assert first.policy_step(samples, LR).metrics == second.policy_step(samples, LR).metrics
        assert digest(second) == digest(first)


def test_what_is_trained_while_it_is_written_is_not_in_it(tiny: str, tmp_path: Path) -> None:
    first = learner(tiny)
    first.policy_step(LIVE, LR)
    before = digest(first)
    first.save(tmp_path)
    for _ in range(5):
        first.policy_step(LIVE, 0.1)
    write_end = time.monotonic() + 60
    while not first.saved():
        assert time.monotonic() < write_end
        time.sleep(0.01)
    again = learner(tiny)
    again.load(tmp_path)
    assert digest(again) == before == digest(learner(str(tmp_path)))
    assert {int(state["step"]) for state in again.optimizer.state.values()} == {1}


def test_settings_are_the_run_s_own_and_not_the_checkpoint_s(tiny: str, tmp_path: Path) -> None:
    first = learner(tiny)
    first.policy_step(LIVE, LR)
    write(first, tmp_path)
    second = learner(tiny, betas=(0.5, 0.6), weight_decay=0.1)
    second.load(tmp_path)
    (group,) = second.optimizer.param_groups
    assert (group["betas"], group["weight_decay"]) == ((0.5, 0.6), 0.1)


def test_moments_of_another_model_are_refused(tiny: str, tmp_path: Path) -> None:
    other = learner(str(build_tiny_model(tmp_path / "other", hidden=64, layers=2)))
    other.policy_step(LIVE, LR)
    write(other, tmp_path)
    with pytest.raises(ConfigError, match="another model"):
        learner(tiny).load(tmp_path)


def test_forgotten_moments_are_those_of_the_beginning(tiny: str) -> None:
    found = learner(tiny)
    found.policy_step(LIVE, 0.0)
    found.reset_optimizer()
    fresh = learner(tiny)
    assert found.policy_step(LIVE, LR).metrics == fresh.policy_step(LIVE, LR).metrics
    assert digest(found) == digest(fresh)


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e38])
def test_a_gradient_that_is_not_finite_leaves_the_weights_and_says_so(tiny: str, bad: float) -> None:
    found = learner(tiny, max_nonfinite_steps=0)
    before = flat(found)
    with pytest.raises(InfrastructureError, match="diverged: the gradient's norm is"):
        found.policy_step([*LIVE, sample(9, 4, bad), sample(8, 4, -bad)], LR)
    assert torch.equal(flat(found), before)
    assert not found.optimizer.state


def test_such_steps_are_skipped_and_counted_until_there_are_too_many_in_a_row(tiny: str) -> None:
    found, clean = learner(tiny, max_nonfinite_steps=2), learner(tiny)
    bad = [*LIVE, sample(9, 4, np.nan)]
    clean.policy_step(LIVE, LR)
    assert [found.policy_step(batch, LR).metrics["skipped"] for batch in (bad, bad, LIVE, bad)] == [1.0, 1.0, 0.0, 1.0]
    assert torch.equal(flat(found), flat(clean))
    found.policy_step(bad, LR)
    with pytest.raises(
        InfrastructureError, match=r"3 steps in a row, trainer\.max_nonfinite_steps = 2\); lower the learning rate"
    ):
        found.policy_step(bad, LR)


def test_scores_are_those_of_a_plain_forward_pass(tiny: str) -> None:
    found = learner(tiny)
    (logprobs,) = [found.compute_logprobs(LIVE[1].tokens)]
    ids = torch.from_numpy(LIVE[1].tokens.astype(np.int64))
    expected = found.model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
    assert np.isnan(logprobs[0])
    assert np.allclose(logprobs[1:], expected.detach().numpy(), atol=1e-6)


@pytest.mark.parametrize("micro_tokens", [16384, 24, 1])
def test_a_preference_step_has_the_gradient_of_the_loss_over_whole_pairs(tiny: str, micro_tokens: int) -> None:
    pairs = [
        Pair((sample(1, 9, 1.0),), (sample(2, 4, 1.0), sample(3, 5, 1.0)), (-51.0, -49.0)),
        Pair((sample(4, 2, 1.0),), (sample(5, 30, 1.0),), (-12.0, -166.0)),
    ]
    found = learner(tiny, max_grad_norm=1e9, micro_tokens=micro_tokens)
    metrics = found.preference_step(pairs, PreferenceConfig(beta=0.7), lr=0.0)
    taken = gradient(found)

    found.model.zero_grad(set_to_none=False)
    losses = []
    for pair in pairs:
        ratios = []
        for side, known in zip(pair.sides, pair.reference, strict=True):
            for number, one in enumerate(side):
                tokens = torch.from_numpy(one.tokens.astype(np.int64))
                logits = found.model(input_ids=tokens[None]).logits[0, :-1]
                logprobs = logits.log_softmax(-1).gather(-1, tokens[1:, None])[:, 0][torch.from_numpy(one.mask[1:])]
                ratios.append(logprobs.sum() - (known if number == 0 else 0))
        losses.append(-torch.nn.functional.logsigmoid(0.7 * (ratios[0] - sum(ratios[1:]))))
    loss = torch.stack(losses).mean()
    loss.backward()
    assert metrics["loss"] == pytest.approx(float(loss.detach()), rel=1e-5)
    assert (taken - gradient(found)).norm() <= 1e-5 * taken.norm()
