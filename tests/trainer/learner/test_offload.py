"""Moments that are put away between steps: nothing but their place changes."""

from typing import Any

import pytest
import torch

from lachesis.trainer.learner.offload import Offload


def optimizer() -> torch.optim.AdamW:
    torch.manual_seed(0)
    return torch.optim.AdamW([torch.nn.Parameter(torch.randn(5)) for _ in range(3)], lr=0.1)


def step(adam: torch.optim.AdamW, scale: float) -> None:
    parameters = adam.param_groups[0]["params"]
    sum((scale * one).exp().sum() for one in parameters).backward()
    adam.step()


def values(adam: torch.optim.AdamW) -> list[torch.Tensor]:
    parameters = adam.param_groups[0]["params"]
    return [*parameters, *(tensor for one in parameters for tensor in adam.state[one].values())]


def test_steps_with_moments_put_away_between_them_are_the_same_to_the_bit() -> None:
    kept, moved = optimizer(), optimizer()
    offload = Offload(moved)
    for scale in (1.0, -0.5, 2.0):
        kept.zero_grad()
        step(kept, scale)
        offload.restore()
        step(moved, scale)
        offload.put_away()
        assert all(parameter.grad is None for parameter in moved.param_groups[0]["params"])
    assert all(torch.equal(one, other) for one, other in zip(values(kept), values(moved), strict=True))


def test_every_gradient_is_there_before_a_step_even_if_nothing_is_learned() -> None:
    adam = optimizer()
    Offload(adam).restore()
    assert all(not parameter.grad.any() for parameter in adam.param_groups[0]["params"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_moments_are_in_the_host_s_memory_between_steps() -> None:
    parameter: Any = torch.nn.Parameter(torch.ones(1000, device="cuda"))
    adam = torch.optim.AdamW([parameter], fused=True)
    offload = Offload(adam)
    offload.restore()
    parameter.sum().backward()
    adam.step()
    offload.put_away()
    assert {tensor.device.type for tensor in adam.state[parameter].values()} == {"cpu"}
    offload.restore()
    assert {tensor.device.type for tensor in adam.state[parameter].values()} == {"cuda"}
