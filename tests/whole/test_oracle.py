"""The oracle: every advantage and every loss against numbers worked out by hand, and every gradient against autograd.

The numbers are computed in the comments beside them or published with the method; nothing here calls the code under
test to learn what to expect.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lachesis.trainer.advantages.estimator import ESTIMATORS, compute_advantages
from lachesis.trainer.advantages.relative import EPSILON
from lachesis.trainer.losses import importance_sampling as correction
from lachesis.trainer.losses import kl as divergence
from lachesis.trainer.losses.cispo import cispo
from lachesis.trainer.losses.clipped import clipped
from lachesis.trainer.losses.config import NORMALIZATIONS, ImportanceSamplingConfig, LossConfig
from lachesis.trainer.losses.gspo import gspo
from lachesis.trainer.losses.normalization import by_constant
from lachesis.trainer.losses.supervised import supervised
from lachesis.trainer.losses.terms import PolicyLoss, Tokens
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.group import Group
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.verdict import Verdict

TASK = Task("1+1=", answer="2", id="sum")


def config(dual: float = 0.0) -> LossConfig:
    return LossConfig(clip_low=LOW, clip_high=HIGH, clip_dual=dual)


def group(*scores: tuple[float, ...], weights: tuple[float, ...] = (1.0, 1.0), agent: str = "policy") -> Group:
    """Attempts whose components have these scores."""
    rewards = [
        Reward(tuple(Component(f"part{k}", weights[k], Verdict(score)) for k, score in enumerate(each)))
        for each in scores
    ]
    return Group(3, TASK, tuple(Trajectory(TASK, rewards={agent: reward}) for reward in rewards))


def estimated(name: str, *groups: Group) -> list[list[float]]:
    return [list(found.values()) for found in compute_advantages(groups, name).values]


ONE_OF_FOUR = group((1,), (0,), (0,), (0,))
TWO_REWARDS = group((1, 1), (0, 1), (0, 0), (0, 0))


@pytest.mark.parametrize(
    ("name", "groups", "expected"),
    [
        # μ = 1/4, σ = 1/2: (3/4) / (1/2 + 1e-4) = 1.4997
        ("grpo", [ONE_OF_FOUR], [[1.4997, -0.4999, -0.4999, -0.4999]]),
        ("dr_grpo", [ONE_OF_FOUR], [[0.75, -0.25, -0.25, -0.25]]),
        ("rloo", [ONE_OF_FOUR], [[1.0, -1 / 3, -1 / 3, -1 / 3]]),  # 1 − 0, 0 − 1/3
        ("maxrl", [ONE_OF_FOUR], [[3.0, -1.0, -1.0, -1.0]]),
        ("maxrl", [group((1,), (1,), (0,), (0,))], [[1.0, 1.0, -1.0, -1.0]]),
        # over both groups μ = 3/8, σ = sqrt((3·(5/8)² + 5·(3/8)²)/7) = 0.517549
        (
            "reinforce_pp",
            [ONE_OF_FOUR, group((1,), (1,), (0,), (0,))],
            [[1.20738, -0.72443, -0.72443, -0.72443], [1.20738, 1.20738, -0.72443, -0.72443]],
        ),
        # centred by group: [.75, −.25 ×3], [.5, .5, −.5, −.5]; mean 0, σ = sqrt((.5625 + .1875 + 1)/7) = 0.5
        (
            "reinforce_pp_baseline",
            [ONE_OF_FOUR, group((1,), (1,), (0,), (0,))],
            [[1.4997, -0.4999, -0.4999, -0.4999], [0.9998, 0.9998, -0.9998, -0.9998]],
        ),
        ("gdpo", [TWO_REWARDS], [[1.33203, 0.20608, -0.76905, -0.76905]]),
        # the same rewards, summed first: μ = 3/4, σ = 0.957427
        ("grpo", [TWO_REWARDS], [[1.30545, 0.26109, -0.78327, -0.78327]]),
        # with weights (2, 0) the second does not count; s = 2 · 1.4997, σ = 2 · 0.9998: 2.9994 / 1.9997 = 1.49992
        ("gdpo", [group((1, 1), (0, 1), (0, 0), (0, 0), weights=(2.0, 0.0))], [[1.49992, *[-0.49997] * 3]]),
    ],
)
def test_advantages(name: str, groups: list[Group], expected: list[list[float]]) -> None:
    for found, wanted in zip(estimated(name, *groups), expected, strict=True):
        assert found == pytest.approx(wanted, abs=1e-5)


def test_every_advantage_is_in_the_table() -> None:
    (mark,) = [mark for mark in test_advantages.pytestmark if mark.name == "parametrize"]  # type: ignore[attr-defined]
    assert {row[0] for row in mark.args[1]} == set(ESTIMATORS.names)


@pytest.mark.parametrize("name", sorted(ESTIMATORS.names))
@pytest.mark.parametrize("score", [0.0, 0.3, 1e9])
def test_equal_rewards_teach_exactly_nothing(name: str, score: float) -> None:
    assert estimated(name, group(*[(score,)] * 7)) == [[0.0] * 7]
    assert estimated(name, group((score,))) == [[0.0]]


@pytest.mark.parametrize("name", sorted(set(ESTIMATORS.names) - {"reinforce_pp"}))
def test_advantages_of_a_group_sum_to_nothing(name: str) -> None:
    for found in estimated(name, group((0.1, 0), (0.7, 1), (0.7, 0), (2.0, 0)), ONE_OF_FOUR):
        assert abs(sum(found)) < 1e-9


def test_each_agent_is_compared_with_itself_only() -> None:
    def reward(score: float) -> Reward:
        return Reward((Component("exact", 1.0, Verdict(score)),))

    attempts = [{"x": reward(1), "o": reward(9)}, {"x": reward(0), "o": reward(9)}, {"x": reward(0)}]
    one = Group(0, TASK, tuple(Trajectory(TASK, rewards=each) for each in attempts))
    (found,) = compute_advantages([one], "dr_grpo").values
    assert found == pytest.approx({(0, "x"): 2 / 3, (1, "x"): -1 / 3, (2, "x"): -1 / 3, (0, "o"): 0.0, (1, "o"): 0.0})


def test_a_gate_that_was_not_passed_earns_nothing_in_any_component() -> None:
    gated = Reward((Component("part0", 1.0, Verdict(1.0)),), gate="format", skipped=("format",))
    attempts = [*group((1.0,), (0.0,)).trajectories, Trajectory(TASK, rewards={"policy": gated})]
    ((first, *others),) = estimated("gdpo", Group(0, TASK, tuple(attempts)))
    assert others == pytest.approx([-first / 2] * 2)


@pytest.mark.parametrize("name", sorted(ESTIMATORS.names))
def test_a_reward_that_is_not_finite_is_refused_by_group_and_agent(name: str) -> None:
    one = group((1.0,), (10.0,), agent="x")
    reward = one.trajectories[1].rewards["x"]
    object.__setattr__(reward, "components", tuple(part._replace(weight=math.inf) for part in reward.components))
    with pytest.raises(DataError, match=r"group 3 \(task sum\).*'x'.*inf"):  # none can be made; none gets through
        compute_advantages([one], name)


def test_maxrl_refuses_negative_rewards() -> None:
    with pytest.raises(DataError, match="0 or more, found -1"):
        estimated("maxrl", group((1,), (-1,)))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def tokens(log_ratios: list[float], advantages: list[float], sequences: list[int] | None = None) -> Tokens:
    old = torch.full((len(log_ratios),), -1.0, dtype=torch.float64)
    logprobs = (old + tensor(*log_ratios)).requires_grad_()
    places = torch.tensor(sequences or [0] * len(log_ratios))
    return Tokens(logprobs, old, tensor(*advantages), places)


LOW, HIGH = 0.2, 0.28


@pytest.mark.parametrize(
    ("ratio", "advantage", "dual", "expected", "cut"),
    [
        (1.5, 1.0, 0.0, -1.28, True),  # further up would not pay
        (0.5, 1.0, 0.0, -0.5, False),  # the way back is free
        (1.1, 1.0, 0.0, -1.1, False),
        (1.5, -1.0, 0.0, 1.5, False),  # the pessimistic branch: a bad token that became likelier hurts in full
        (5.0, -1.0, 0.0, 5.0, False),
        (5.0, -1.0, 3.0, 3.0, True),  # the dual clip
        (2.0, -1.0, 3.0, 2.0, False),
        (5.0, 1.0, 3.0, -1.28, True),  # which leaves good tokens alone
        (0.5, -1.0, 0.0, 0.8, True),
        (0.9, -2.0, 0.0, 1.8, False),
        (1.5, 0.0, 3.0, 0.0, False),
    ],
)
def test_clipped(ratio: float, advantage: float, dual: float, expected: float, cut: bool) -> None:
    terms = clipped(tokens([math.log(ratio)], [advantage]), config(dual))
    assert terms.loss.item() == pytest.approx(expected, abs=1e-12)
    assert (terms.ratio.item(), terms.clipped.item()) == (pytest.approx(ratio), cut)


@pytest.mark.parametrize(
    ("log_ratios", "advantages", "sequences", "expected"),
    [
        ([0.1, -0.3, 0.2], [1.0, 1.0, 1.0], None, [-1.0] * 3),  # the mean of the logs is 0
        ([0.3, 0.3], [1.0, 2.0], None, [-1.28, -2.56]),  # e^0.3 = 1.35 is cut
        ([0.1, 0.3, -0.2], [-1.0, -1.0, 1.0], [0, 0, 1], [math.exp(0.2)] * 2 + [-math.exp(-0.2)]),
    ],
)
def test_gspo(
    log_ratios: list[float], advantages: list[float], sequences: list[int] | None, expected: list[float]
) -> None:
    terms = gspo(tokens(log_ratios, advantages, sequences), config())
    assert terms.loss.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [(1.5, 1.0, 1.28), (1.1, -2.0, -2.2), (0.5, 1.0, 0.8)],  # the weight times the advantage, times −log π
)
def test_cispo(ratio: float, advantage: float, expected: float) -> None:
    given = tokens([math.log(ratio)], [advantage])
    terms = cispo(given, config())
    assert terms.loss.item() == pytest.approx(-expected * given.logprobs_N.item())


def plain_clipped(given: Tokens, dual: float = 0.0) -> Tensor:
    total = tensor(0.0).sum()
    for logprob, old, advantage in zip(given.logprobs_N, given.old_N, given.advantages_N, strict=True):
        ratio = (logprob - old).exp()
        gain = torch.min(ratio * advantage, ratio.clip(1 - LOW, 1 + HIGH) * advantage)
        total = total - (torch.max(gain, dual * advantage) if dual and advantage < 0 else gain)
    return total


def plain_gspo(given: Tokens) -> Tensor:
    """Without stop-gradients: of equal advantages within a sequence the gradient is that of the paper's equation 5."""
    total = tensor(0.0).sum()
    for sequence in given.sequences_N.unique():
        own = given.sequences_N == sequence
        ratio = (given.logprobs_N[own] - given.old_N[own]).mean().exp()
        advantage = given.advantages_N[own][0]
        total = total - own.sum() * torch.min(ratio * advantage, ratio.clip(1 - LOW, 1 + HIGH) * advantage)
    return total


def plain_cispo(given: Tokens) -> Tensor:
    ratio = (given.logprobs_N - given.old_N).exp().detach().clip(1 - LOW, 1 + HIGH)
    return -(ratio * given.advantages_N * given.logprobs_N).sum()


@pytest.mark.parametrize(
    ("loss", "plain"),
    [
        (lambda given: clipped(given, config()), plain_clipped),
        (lambda given: clipped(given, config(3.0)), lambda given: plain_clipped(given, 3.0)),
        (lambda given: gspo(given, config()), plain_gspo),
        (lambda given: cispo(given, config()), plain_cispo),
        (lambda given: supervised(given, config()), lambda given: -(given.advantages_N * given.logprobs_N).sum()),
    ],
    ids=["clipped", "dual", "gspo", "cispo", "supervised"],
)
def test_gradients(loss: Callable[[Tokens], PolicyLoss], plain: Callable[[Tokens], Tensor]) -> None:
    torch.manual_seed(0)
    sequences = torch.arange(300).div(6, rounding_mode="floor")
    by_sequence = torch.randn(50, dtype=torch.float64)[sequences]
    old = -torch.rand(300, dtype=torch.float64) * 4
    start = old + torch.randn(300, dtype=torch.float64)
    gradients = []
    for formula in (lambda given: loss(given).loss.sum(), plain):
        logprobs = start.clone().requires_grad_()
        formula(Tokens(logprobs, old, by_sequence, sequences)).backward()  # type: ignore[no-untyped-call]
        assert logprobs.grad is not None
        gradients.append(logprobs.grad)
    assert torch.allclose(*gradients, atol=1e-12)
    assert gradients[0].count_nonzero() > 30


def test_gspo_gives_each_token_the_gradient_of_its_own_advantage() -> None:
    given = tokens([0.1, -0.1], [1.0, -3.0])
    gspo(given, config()).loss.sum().backward()  # type: ignore[no-untyped-call]
    assert given.logprobs_N.grad is not None
    assert given.logprobs_N.grad.tolist() == pytest.approx([-1.0, 3.0])


@pytest.mark.parametrize("loss", [clipped, gspo, cispo])
def test_an_on_policy_gradient_is_the_score_function_s(loss: Callable[[Tokens, LossConfig], PolicyLoss]) -> None:
    given = tokens([0.0, 0.0, 0.0], [1.5, -0.5, 0.0])
    loss(given, config()).loss.sum().backward()  # type: ignore[no-untyped-call]
    assert given.logprobs_N.grad is not None
    assert given.logprobs_N.grad.tolist() == pytest.approx([-1.5, 0.5, 0.0])


@pytest.mark.parametrize("loss", [clipped, gspo, cispo])
def test_no_tokens_are_a_loss_of_nothing(loss: Callable[[Tokens, LossConfig], PolicyLoss]) -> None:
    empty = torch.empty(0, requires_grad=True)
    terms = loss(Tokens(empty, empty.detach(), empty.detach(), torch.empty(0, dtype=torch.int64)), config())
    assert terms.loss.sum().item() == 0.0


W = [3.0, 1.5, 0.25]  # π_old/π_sampler of three tokens of one sequence: product 1.125, geometric mean 1.04


@pytest.mark.parametrize(
    ("method", "bounds", "expected"),
    [
        (correction.truncated, {"high": 2.0}, [2.0, 1.5, 0.25]),
        (correction.masked, {"low": 0.5, "high": 2.0}, [0.0, 1.5, 0.0]),
        (correction.masked_sequence, {"low": 0.5, "high": 2.0}, W),
        (correction.masked_sequence, {"low": 0.5, "high": 1.1}, [0.0, 0.0, 0.0]),
        (correction.masked_geometric, {"low": 0.5, "high": 1.1}, W),
        (correction.masked_geometric, {"low": 0.5, "high": 1.03}, [0.0, 0.0, 0.0]),
    ],
)
def test_corrections(method: Callable[..., Tensor], bounds: dict[str, float], expected: list[float]) -> None:
    given = tokens([0.0] * 3, [1.0] * 3)
    found = method(given, given.old_N - tensor(*W).log(), ImportanceSamplingConfig(**bounds))
    assert found.tolist() == pytest.approx(expected)
    assert not found.requires_grad


def test_a_sequence_out_of_bounds_leaves_the_others_alone() -> None:
    given = tokens([0.0] * 4, [1.0] * 4, [0, 0, 1, 1])
    sampler = given.old_N - tensor(4.0, 4.0, 1.0, 1.2).log()
    bounds = ImportanceSamplingConfig()
    assert correction.masked_geometric(given, sampler, bounds).tolist() == pytest.approx([0, 0, 1.0, 1.2])
    assert correction.masked_sequence(given, sampler, bounds).tolist() == pytest.approx([0, 0, 1.0, 1.2])


def test_divergences() -> None:
    policy, other = tensor(-3.0), tensor(math.log(2) - 3.0)  # d = ln 2
    assert divergence.k1(policy, other).item() == pytest.approx(-0.69315, abs=1e-5)
    assert divergence.k2(policy, other).item() == pytest.approx(0.24023, abs=1e-5)
    assert divergence.k3(policy, other).item() == pytest.approx(0.30685, abs=1e-5)


def test_k1_and_k3_average_to_the_divergence_and_the_gradient_of_k2_does() -> None:
    logits = tensor(0.3, -1.0, 0.5).requires_grad_()
    other = tensor(0.1, 0.2, 0.7).log()
    logprobs = logits.log_softmax(-1)
    exact = (logprobs.exp() * (logprobs - other)).sum()
    drawn = logprobs.detach().exp()
    for estimate in (divergence.k1, divergence.k3):
        assert (drawn * estimate(logprobs, other)).sum().item() == pytest.approx(exact.item())
    (wanted,) = torch.autograd.grad(exact, logits, retain_graph=True)
    (found,) = torch.autograd.grad((drawn * divergence.k2(logprobs, other)).sum(), logits, retain_graph=True)
    assert torch.allclose(found, wanted)
    (nothing,) = torch.autograd.grad((drawn * divergence.k1(logprobs, other)).sum(), logits)
    assert torch.allclose(nothing, torch.zeros(3, dtype=torch.float64), atol=1e-12)


def test_the_divergence_from_the_sampler_is_never_negative_and_averages_to_it() -> None:
    sampler, trainer = tensor(0.1, 0.2, 0.7), tensor(0.3, 0.3, 0.4)
    expectation = (sampler * divergence.sampler_divergence(trainer.log(), sampler.log())).sum()
    assert expectation.item() == pytest.approx((sampler * (sampler / trainer).log()).sum().item())
    assert divergence.sampler_divergence(tensor(-1.0, -2.0), tensor(-1.0, -2.0)).tolist() == [0.0, 0.0]
    assert (divergence.sampler_divergence(torch.randn(100), torch.randn(100)) >= 0).all()


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [("token", [1 / 6] * 3), ("sequence", [1 / 3, 1 / 6, 1 / 9]), ("constant", [1 / 30] * 3)],
)
def test_normalisations(normalize: str, expected: list[float]) -> None:
    weights = NORMALIZATIONS.load(normalize)
    whole, *parts = (weights(lengths, 10) for lengths in ([1, 2, 3], [1], [2, 3]))
    assert (whole.weights_S / whole.divisor).tolist() == pytest.approx(expected)
    divisor = sum(part.divisor for part in parts)
    assert [weight / divisor for part in parts for weight in part.weights_S] == pytest.approx(expected)


def test_a_constant_has_to_be_given() -> None:
    with pytest.raises(ConfigError, match="at least 1 token, found 0"):
        by_constant([1], 0)


def test_the_epsilon_is_the_one_that_the_numbers_above_are_made_with() -> None:
    assert EPSILON == 1e-4
