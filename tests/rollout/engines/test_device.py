import pytest
import torch

from lachesis.rollout.config import RolloutConfig
from lachesis.rollout.engines.device import check_dtype, choose_device
from lachesis.verifiers.errors import ConfigError


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_auto_is_the_cpu_and_who_asks_for_a_gpu_is_told() -> None:
    assert [choose_device(wanted) for wanted in ("auto", "cpu")] == ["cpu", "cpu"]
    for wanted, gpus, asked in (("cuda", 0, "rollout.device = 'cuda'"), ("auto", 0.5, "rollout.gpus_per_engine = 0.5")):
        with pytest.raises(ConfigError, match=f"{asked} asks for a GPU, but torch .*: install a CUDA build .* or set"):
            choose_device(wanted, gpus)


def test_bfloat16_is_refused_where_the_card_lacks_it() -> None:
    with pytest.raises(ConfigError, match=r"compute capability 8.0, and Tesla T4 has 7.5; set model.dtype = 'float32'"):
        check_dtype("bfloat16", "Tesla T4", (7, 5))
    check_dtype("float32", "Tesla T4", (7, 5))
    check_dtype("bfloat16", "H100", (9, 0))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cpu", "gpus_per_engine": 1}, "exclude each other"),
        ({"sleep": 2, "engine": "torch"}, "sleep is vLLM's"),
        ({"sleep": 1, "engine": "vllm", "staleness": 1}, "sleep = 1 needs staleness = 0"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RolloutConfig(**settings)  # type: ignore[arg-type]
