from types import SimpleNamespace

import pytest
import torch

from lachesis.rollout.engines.gpu_memory import GIB, MemoryNeed
from lachesis.verifiers.errors import ConfigError

NEED = MemoryNeed(weights=16 * GIB, token=GIB // 8192)  # with 2 GiB to work in, and a context of 8192 tokens: 19 GiB


def test_it_counts_parameters_and_the_keys_and_values_of_a_token() -> None:
    text = SimpleNamespace(num_hidden_layers=28, num_key_value_heads=8, head_dim=128)  # Qwen3 0.6B
    config = SimpleNamespace(get_text_config=lambda: text)
    model = torch.nn.Linear(10, 10, bias=False)
    assert MemoryNeed.of(model, config, "bfloat16") == MemoryNeed(200, 2 * 28 * 8 * 128 * 2)
    assert MemoryNeed.of(model, config, "float32", gpus=2) == MemoryNeed(200, 2 * 28 * 8 * 128 * 2)


def test_what_fits_passes() -> None:
    NEED.check(8192, 0.85, 80 * GIB, 79 * GIB)
    NEED.check(8192, 0.25, 80 * GIB, 20 * GIB)


@pytest.mark.parametrize(
    ("context", "share", "total", "free", "message"),
    [
        (8192, 0.2, 80, 60, r"0.2 is 16.0 GiB .* needs 19.0 GiB: 16.0 GiB of weights, .* set it to 0.24 at least"),
        (32768, 0.25, 80, 21, r"needs 22.0 GiB: .* 4.0 GiB for a context of 32768 tokens; set model.context to 16384"),
        (
            8192,
            0.85,
            80,
            50,
            r"0.85 is 68.0 GiB of the GPU's 80.0 GiB, and only 50.0 GiB are free.*set it to 0.62 at most",
        ),
        (8192, 0.85, 80, 18.5, r"only 18.5 GiB are free.*; set model.context to 4096 at most"),
        (8192, 0.85, 80, 10, r"10.0 GiB hold no context of this model: take a smaller model, or more GPUs"),
        (8192, 1, 16, 16, r"16.0 GiB hold no context of this model"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(
    context: int, share: float, total: float, free: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        NEED.check(context, share, int(total * GIB), int(free * GIB))


@pytest.mark.parametrize(
    ("slots", "context", "free", "message"),
    [
        (
            64,
            8192,
            50,
            r"needs 82.0 GiB .* 64.0 GiB for rollout.slots = 64 .*; 50.0 GiB are free, so set "
            r"rollout.slots to 32 or model.context to 4096 at most",
        ),
        (64, 8192, 20, r"set model.context to 256 at most"),
        (64, 8192, 10, r"10.0 GiB are free, so take a smaller model, or a larger GPU"),
    ],
)
def test_an_engine_that_reserves_the_context_of_every_slot_says_which_would_fit(
    slots: int, context: int, free: int, message: str
) -> None:
    NEED.check_slots(32, 8192, 50 * GIB)
    with pytest.raises(ConfigError, match=message):
        NEED.check_slots(slots, context, free * GIB)
