"""The oracle of ratios that overflow: losses, weights, divergences and gradients beyond ``MAX_LOG_RATIO``, by hand."""

import math
from typing import Any

import pytest
import torch

from lachesis.trainer.losses import importance_sampling as correction
from lachesis.trainer.losses import kl as divergence
from lachesis.trainer.losses.clipped import clipped
from lachesis.trainer.losses.config import IMPORTANCE_SAMPLING, KL_ESTIMATORS, ImportanceSamplingConfig, LossConfig
from lachesis.trainer.losses.objective import Objective
from lachesis.trainer.losses.terms import MAX_LOG_RATIO, Tokens

LOW, HIGH = 0.2, 0.28
BOUND = math.exp(MAX_LOG_RATIO)
BEYOND = [21.0, 88.0, 89.0, 100.0, 710.0, math.inf]  # e^88.8 overflows float32, e^709.8 float64


def beyond(log_ratio: float, advantage: float, dtype: torch.dtype) -> Tokens:
    """Two tokens of one sequence: the first is on policy, the second has the log ratio."""
    own = torch.tensor([-0.5, -1.0], dtype=dtype, requires_grad=True)
    old = torch.tensor([-0.5, -1.0 - log_ratio], dtype=dtype)
    return Tokens(own, old, torch.full((2,), advantage, dtype=dtype), torch.zeros(2, dtype=torch.int64))


def step(given: Tokens, settings: dict[str, Any]) -> tuple[list[float], list[float]]:
    """The losses of the tokens, and the gradient of each logprob."""
    terms = Objective(LossConfig(clip_low=LOW, clip_high=HIGH, **settings))(given, torch.zeros_like(given.old_N))
    terms.loss.sum().backward()  # type: ignore[no-untyped-call]
    assert given.logprobs_N.grad is not None
    assert all(map(math.isfinite, [*terms.ratio.tolist(), *terms.weight.tolist()]))
    return terms.loss.tolist(), given.logprobs_N.grad.tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("log_ratio", BEYOND)
@pytest.mark.parametrize(
    ("settings", "advantage", "losses", "gradient"),
    [
        ({}, 1.0, [-1.0, -1.28], [-1.0, 0.0]),
        ({}, -1.0, [1.0, BOUND], [1.0, BOUND]),  # a bad token that became likelier is still pushed back
        ({}, 0.0, [0.0, 0.0], [0.0, 0.0]),  # and nothing times infinity is no NaN
        ({"clip_dual": 3.0}, -1.0, [1.0, 3.0], [1.0, 0.0]),
        ({"kind": "cispo"}, 1.0, [0.5, 1.28], [-1.0, -1.28]),  # −weight · A · log π
        ({"kind": "cispo"}, -1.0, [-0.5, -1.28], [1.0, 1.28]),
        ({"kind": "gspo"}, 1.0, [-1.28, -1.28], [0.0, 0.0]),
        ({"kind": "supervised"}, 1.0, [0.5, 1.0], [-1.0, -1.0]),
        ({"importance_sampling": {"method": "tis"}}, 1.0, [-1.0, -2.0], [-1.0, -2.0]),
        ({"importance_sampling": {"method": "icepop"}}, 1.0, [-1.0, 0.0], [-1.0, 0.0]),
        ({"importance_sampling": {"method": "icepop"}}, -1.0, [1.0, 0.0], [1.0, 0.0]),
        ({"importance_sampling": {"method": "mis_sequence"}}, 1.0, [0.0, 0.0], [0.0, 0.0]),
        ({"importance_sampling": {"method": "mis_geometric"}}, -1.0, [0.0, 0.0], [0.0, 0.0]),
        ({"kind": "cispo", "importance_sampling": {"method": "icepop"}}, 1.0, [0.5, 0.0], [-1.0, 0.0]),
        ({"kind": "gspo", "importance_sampling": {"method": "icepop"}}, 1.0, [-1.0, 0.0], [-1.0, 0.0]),
        ({"kind": "supervised", "importance_sampling": {"method": "mis_sequence"}}, 1.0, [0.0, 0.0], [0.0, 0.0]),
    ],
)
def test_log_ratios_beyond_the_bound(
    settings: dict[str, Any],
    advantage: float,
    losses: list[float],
    gradient: list[float],
    log_ratio: float,
    dtype: torch.dtype,
) -> None:
    found = step(beyond(log_ratio, advantage, dtype), settings)
    assert found[0] == pytest.approx(losses, rel=1e-5)
    assert found[1] == pytest.approx(gradient, rel=1e-5)


@pytest.mark.parametrize("log_ratio", [100.0, 710.0, math.inf])
def test_a_bad_sequence_beyond_the_bound_is_pushed_back(log_ratio: float) -> None:
    losses, gradient = step(beyond(log_ratio, -1.0, torch.float32), {"kind": "gspo"})  # the mean is 50 or more
    assert losses == pytest.approx([BOUND] * 2, rel=1e-5)
    assert gradient == pytest.approx([BOUND] * 2, rel=1e-5)


@pytest.mark.parametrize("method", ["mis_sequence", "mis_geometric"])
def test_weights_beyond_the_bound_that_cancel_in_their_sequence_are_bounded(method: str) -> None:
    own = torch.tensor([-1.0, -1.0], dtype=torch.float64)
    given = Tokens(own, own, torch.ones(2), torch.zeros(2, dtype=torch.int64))
    sampler = own - torch.tensor([100.0, -100.0], dtype=torch.float64)
    weights = IMPORTANCE_SAMPLING.load(method)(given, sampler, ImportanceSamplingConfig())
    assert weights.tolist() == pytest.approx([BOUND, math.exp(-100.0)])


@pytest.mark.parametrize(
    ("estimator", "log_ratio"),
    [
        *(("k3", log_ratio) for log_ratio in [*BEYOND, -21.0, -100.0, -710.0]),
        *((estimator, log_ratio) for estimator in ("k1", "k2") for log_ratio in (710.0, -710.0)),
    ],
)
def test_divergences_beyond_the_bound_are_finite_and_pull_back(estimator: str, log_ratio: float) -> None:
    own = torch.tensor([-1.0], requires_grad=True)
    kl = KL_ESTIMATORS.load(estimator)(own, own.detach() + log_ratio)
    kl.sum().backward()
    assert own.grad is not None
    assert math.isfinite(kl.item())
    assert math.isfinite(own.grad.item())
    if estimator != "k1":
        assert (own.grad.item() < 0) == (log_ratio > 0)


@pytest.mark.parametrize("log_ratio", [21.0, 100.0, math.inf])
def test_the_divergence_from_the_sampler_is_finite(log_ratio: float) -> None:
    found = divergence.sampler_divergence(torch.tensor([-1.0]), torch.tensor([-1.0 - log_ratio]))
    assert found.item() == pytest.approx(BOUND - 21)


def test_log_ratios_within_the_bound_keep_their_bits() -> None:
    torch.manual_seed(0)
    old, places = -torch.rand(4000) * 4, torch.arange(4000) // 8
    own = (old + torch.randn(4000) * 3).requires_grad_()
    given = Tokens(own, old, torch.randn(4000), places)
    ratio = torch.exp(own - old)
    plain = torch.minimum(ratio * given.advantages_N, ratio.clamp(1 - LOW, 1 + HIGH) * given.advantages_N)
    (expected,) = torch.autograd.grad(-plain.sum(), own)
    terms = clipped(given, LossConfig(clip_low=LOW, clip_high=HIGH))
    (found,) = torch.autograd.grad(terms.loss.sum(), own)
    assert torch.equal(terms.loss, -plain)
    assert torch.equal(found, expected)
    log_weights = (own - old).detach()
    weights, within = torch.exp(log_weights), given.mean_by_sequence(log_weights).exp()
    on = Tokens(own, own.detach(), given.advantages_N, places)
    for method, tested in ((correction.masked, weights), (correction.masked_geometric, within)):
        assert torch.equal(method(on, old, ImportanceSamplingConfig()), weights * ((tested >= 0.5) & (tested <= 2.0)))
    assert torch.equal(divergence.k3(own, old), torch.expm1(old - own) - (old - own))
