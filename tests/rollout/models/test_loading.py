"""Loading models: never cuDNN's attention, and one clear line where the memory of a GPU is too small."""

from pathlib import Path

import pytest
import torch

from lachesis.rollout.models import loading
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError


def test_a_process_that_has_loaded_a_model_never_takes_cudnns_attention(tmp_path: Path) -> None:
    torch.backends.cuda.enable_cudnn_sdp(True)
    loading.load_model(str(build_tiny_model(tmp_path, hidden=32, layers=1)), torch.float32, "cpu")
    assert not torch.backends.cuda.cudnn_sdp_enabled()  # type: ignore[no-untyped-call]


def test_a_gpu_that_is_too_small_for_the_weights_is_told_with_what_would_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    path = str(build_tiny_model(tmp_path, hidden=32, layers=1))
    monkeypatch.setattr("transformers.PreTrainedModel.to", full)
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (2**30, 80 * 2**30))
    with pytest.raises(ConfigError, match=r"weights, and 1.0 of 80.0 GiB are free on cuda: .* at most 0.27 billion"):
        loading.load_model(path, torch.float32, "cuda")
