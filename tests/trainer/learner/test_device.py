"""The device that a learner takes, and models that do not fit into its memory."""

import pytest
import torch

from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.device import check_compiler, check_memory, choose_device, memory_told
from lachesis.verifiers.errors import ConfigError, InfrastructureError

WIDE, HALF = torch.float32, torch.bfloat16
GIB = 2**30


def gpus(monkeypatch: pytest.MonkeyPatch, count: int, capability: tuple[int, int] = (9, 0)) -> None:
    """Let torch find ``count`` GPUs."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda _: capability)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda _: "Tesla T4")


def test_a_gpu_is_taken_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    assert choose_device(TrainerConfig(), HALF) == torch.device("cpu")
    gpus(monkeypatch, 2)
    assert choose_device(TrainerConfig(), HALF) == torch.device("cuda")
    assert choose_device(TrainerConfig(device="cuda:1"), HALF) == torch.device("cuda:1")
    assert choose_device(TrainerConfig(device="cpu", ranks=2), HALF) == torch.device("cpu")


@pytest.mark.parametrize(
    ("count", "capability", "settings", "dtype", "message"),
    [
        (0, (9, 0), {"device": "cuda"}, WIDE, r'trainer.device = "cuda", but torch finds no GPU.*; set .* = "auto"'),
        (2, (9, 0), {"device": "cuda:2"}, WIDE, r'trainer.device = "cuda:2", but torch finds 2 GPUs here'),
        (1, (7, 5), {}, HALF, r'Tesla T4 does not compute in bfloat16; set model.dtype = "float32"'),
        (
            2,
            (9, 0),
            {"ranks": 2},
            HALF,
            r"trainer.ranks = 2 would share one GPU, because .*gpus_per_rank = 0; set it to 1",
        ),
    ],
    ids=["none", "too few", "dtype", "shared"],
)
def test_a_device_that_is_not_there_or_cannot_do_it_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    capability: tuple[int, int],
    settings: dict[str, object],
    dtype: torch.dtype,
    message: str,
) -> None:
    gpus(monkeypatch, count, capability)
    with pytest.raises(ConfigError, match=message):
        choose_device(TrainerConfig.model_validate(settings), dtype)


def test_a_model_that_does_not_fit_is_refused_with_what_would() -> None:
    one = TrainerConfig()
    check_memory(4 * GIB, HALF, one, reference=False, free=64 * GIB)
    with pytest.raises(
        ConfigError, match=r"4.3 billion parameters takes 64.0 GiB .*\(16 bytes a parameter.* and 40.0 GiB"
    ):
        check_memory(4 * GIB, HALF, one, reference=False, free=40 * GIB)
    with pytest.raises(
        ConfigError, match=r"what fits is trainer.ranks = 2 .*, or trainer.lora.rank = 32, or .* most 2.7"
    ):
        check_memory(4 * GIB, HALF, one, reference=False, free=40 * GIB)
    with pytest.raises(
        ConfigError, match=r"\(20 bytes a parameter.*what fits is trainer.ranks = 27 on as many GPUs, or a"
    ):
        check_memory(4 * GIB, HALF, one, reference=True, free=3 * GIB)


def test_ranks_and_adapters_make_room() -> None:
    check_memory(4 * GIB, HALF, TrainerConfig(ranks=2), reference=False, free=32 * GIB)
    check_memory(4 * GIB, HALF, TrainerConfig.model_validate({"lora": {"rank": 8}}), reference=False, free=8 * GIB)
    with pytest.raises(ConfigError, match=r"\(2 bytes a parameter"):
        check_memory(4 * GIB, HALF, TrainerConfig.model_validate({"lora": {"rank": 8}}), reference=False, free=7 * GIB)


def test_compilation_without_a_compiler_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        ConfigError, match=r"trainer.compile needs a compiler, and none of g\+\+, clang\+\+ is on the PATH"
    ):
        check_compiler(torch.device("cpu"), "trainer.compile")
    monkeypatch.setattr("lachesis.trainer.learner.device.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"trainer\.compile needs Triton"):
        check_compiler(torch.device("cuda"), "trainer.compile")


@pytest.mark.parametrize(
    ("settings", "cures"),
    [
        ({"micro_tokens": 16384}, r"; set trainer.micro_tokens = 8192, .*, or set .* = true, or train adapters"),
        ({"micro_tokens": 1, "gradient_checkpointing": True, "lora": {"rank": 8}}, r"; take a smaller model"),
    ],
)
def test_a_step_for_which_the_memory_is_too_small_says_what_to_change(settings: dict[str, object], cures: str) -> None:
    class Learner:
        config, device = TrainerConfig.model_validate(settings), torch.device("cuda:0")

        @memory_told
        def step(self, tokens: int) -> None:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {tokens} GiB. GPU 0 has a total of 79")

    with pytest.raises(
        InfrastructureError, match=rf"the memory of cuda:0 is full .*CUDA out of memory.*{cures}"
    ) as told:
        Learner().step(3)
    assert "\n" not in str(told.value)
