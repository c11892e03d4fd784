"""The losses against numbers worked out by hand, and their gradients against the plain formula."""

import math

import pytest
import torch

from lachesis.trainer.losses import clipped_policy_loss, kl_estimate

LOW, HIGH = 0.2, 0.28


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "clipped"),
    [
        (1.5, 1.0, -1.28, True),  # further up would not pay
        (0.5, 1.0, -0.5, False),  # the way back is free
        (1.1, 1.0, -1.1, False),
        (1.5, -1.0, 1.5, False),  # the pessimistic branch: a bad token that became likelier hurts in full
        (5.0, -1.0, 5.0, False),
        (0.5, -1.0, 0.8, True),
        (0.9, -2.0, 1.8, False),
        (1.5, 0.0, 0.0, False),
    ],
)
def test_the_clipped_loss_takes_the_worse_of_both(
    ratio: float, advantage: float, expected: float, clipped: bool
) -> None:
    old = tensor(-1.0)
    terms = clipped_policy_loss(old + math.log(ratio), old, tensor(advantage), LOW, HIGH)
    assert terms.loss.item() == pytest.approx(expected, abs=1e-12)
    assert terms.ratio.item() == pytest.approx(ratio)
    assert terms.clipped.item() == clipped


def test_the_gradient_is_that_of_the_plain_formula() -> None:
    torch.manual_seed(0)
    old, advantages = -torch.rand(500, dtype=torch.float64) * 4, torch.randn(500, dtype=torch.float64)
    logprobs = (old + torch.randn(500, dtype=torch.float64) * 0.4).requires_grad_()
    terms = clipped_policy_loss(logprobs, old, advantages, LOW, HIGH)
    terms.loss.sum().backward()
    ratio = torch.exp(logprobs.detach() - old)
    # d/dlogπ of −ρA is −ρA, and of what the clip cut off 0
    cut = ((advantages > 0) & (ratio > 1 + HIGH)) | ((advantages < 0) & (ratio < 1 - LOW))
    assert torch.equal(terms.clipped, cut)
    assert 50 < int(cut.sum()) < 450
    assert torch.allclose(logprobs.grad, torch.where(cut, 0.0, -ratio * advantages), atol=1e-12)  # type: ignore[arg-type]


def test_an_on_policy_gradient_is_the_score_function_s() -> None:
    logprobs = tensor(-0.5, -2.0, -3.0).requires_grad_()
    clipped_policy_loss(logprobs, logprobs.detach(), tensor(1.5, -0.5, 0.0), LOW, HIGH).loss.sum().backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1.5, 0.5, 0.0]


def test_k3_is_never_negative_and_has_the_published_value() -> None:
    assert kl_estimate(tensor(math.log(2) - 3), tensor(-3.0)).item() == pytest.approx(0.30685, abs=1e-5)
    assert kl_estimate(tensor(-1.0, -2.0), tensor(-1.0, -2.0)).tolist() == [0.0, 0.0]
    assert (kl_estimate(torch.randn(100), torch.randn(100)) >= 0).all()


def test_k3_averages_to_the_divergence_of_the_sampler_from_the_trainer() -> None:
    sampler, trainer = tensor(0.1, 0.2, 0.7), tensor(0.3, 0.3, 0.4)
    expectation = (sampler * kl_estimate(trainer.log(), sampler.log())).sum()
    assert expectation.item() == pytest.approx((sampler * (sampler / trainer).log()).sum().item())
