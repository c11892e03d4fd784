"""Loading by shards: the bits of the whole model, a part of its memory, and models whose files cannot be read so."""

import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, Qwen3MoeConfig

from lachesis.rollout.models.loading import load_empty_model, load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.learner.sharded.shard_loading import open_model
from lachesis.verifiers.errors import ConfigError

from ....ports import free_port

PROGRAM = Path(__file__).with_name("shard_ranks.py")
RANKS = 3
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A model with uneven shards, one with tied embeddings in several files, a large one, one that has other files."""
    root = tmp_path_factory.mktemp("models")
    found = {name: str(root / name) for name in ("plain", "tied", "large", "pickled")}
    build_tiny_model(root / "plain", hidden=40, heads=4)
    model = load_model(str(build_tiny_model(root / "tied", hidden=32, tied=True)), torch.float32, "cpu")
    (root / "tied" / "model.safetensors").unlink()
    model.save_pretrained(root / "tied", max_shard_size="60KB")
    build_tiny_model(root / "large", hidden=512, layers=4)
    build_tiny_model(root / "pickled", hidden=32)
    state = load_model(found["pickled"], torch.float32, "cpu").state_dict()
    (root / "pickled" / "model.safetensors").unlink()
    torch.save(state, root / "pickled" / "pytorch_model.bin")
    return found


@pytest.fixture(scope="module")
def ranks(folders: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What every rank found."""
    out = str(tmp_path_factory.mktemp("ranks") / "rank")
    command = [sys.executable, str(PROGRAM), str(RANKS), str(free_port()), out, *folders.values()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(f"{out}{number}", weights_only=False) for number in range(RANKS)]


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", ["plain", "tied", "large", "pickled"])
def test_ranks_that_read_shards_hold_the_bits_of_the_whole_model(
    folders: dict[str, str], ranks: list[Any], name: str, lora: bool
) -> None:
    whole = runpy.run_path(str(PROGRAM))["loaded"](folders[name], lora, None)
    for found in ranks:
        assert found[folders[name], lora]["digests"] == whole["digests"]
        assert found[folders[name], lora]["by shards"] is (name != "pickled")
        torch.testing.assert_close(found[folders[name], lora]["adapters"], whole["adapters"], rtol=0, atol=0)
        assert found[folders[name], lora]["base"] == whole["base"]


def test_a_rank_takes_the_memory_of_its_shards_and_not_of_the_model(folders: dict[str, str], ranks: list[Any]) -> None:
    size = (Path(folders["large"]) / "model.safetensors").stat().st_size / 2**20
    assert size > 60
    for found in ranks:
        assert found[folders["large"], False]["took"] < 0.6 * size  # of which its shards are a third


def test_an_empty_model_has_the_settings_of_a_loaded_one_and_no_weights(folders: dict[str, str]) -> None:
    loaded, empty = (
        load_model(folders["tied"], torch.bfloat16, "cpu"),
        load_empty_model(folders["tied"], torch.bfloat16),
    )
    assert empty.config.to_dict() == loaded.config.to_dict()
    assert empty.generation_config.to_dict() == loaded.generation_config.to_dict()
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    assert [name for name, _ in empty.named_parameters()] == [name for name, _ in loaded.named_parameters()]
    assert {parameter.dtype for parameter in empty.parameters()} == {torch.bfloat16}
    assert not any(parameter.is_meta for parameter in torch.nn.Linear(2, 2).parameters())


def test_models_whose_weights_are_converted_are_loaded_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 64}
    config = Qwen3MoeConfig(**shape, num_experts=4, moe_intermediate_size=16, intermediate_size=32)
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path)
    found = open_model(str(tmp_path), torch.float32, CPU, 2)
    assert "transformers converts the weights of qwen3_moe" in caplog.text
    for name, tensor in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


def test_a_cut_off_file_is_refused_by_every_rank(tmp_path: Path) -> None:
    path = build_tiny_model(tmp_path / "model", hidden=32)
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ConfigError, match="holds no causal language model that can be loaded"):
        open_model(str(path), torch.float32, CPU, 2)
