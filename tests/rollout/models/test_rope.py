"""Scaled rotary positions: one folder that trainer and every engine load, so that none of them knows about it."""

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.rollout.config import ModelConfig
from lachesis.rollout.engines.embedded.engine import TorchEngine
from lachesis.rollout.engines.local import LocalEngine
from lachesis.rollout.engines.vllm.engine import VllmEngine
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.rope import scaled_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.run.model import prepare_model
from lachesis.verifiers.errors import ConfigError

TOKENS = np.random.default_rng(0).integers(0, 250, 120).astype(np.int32)
"""More than the 64 that the model was made for."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("base") / "tiny", hidden=128, layers=2, context=64)


def settings(base: Path, kind: str = "yarn", factor: float = 2.0, context: int = 128) -> ModelConfig:
    return ModelConfig.model_validate({"path": str(base), "context": context, "rope": {"kind": kind, "factor": factor}})


def score(path: str, context: int = 128) -> Any:
    return LocalLearner(ModelConfig(path=path, context=context), TrainerConfig()).compute_logprobs(TOKENS)


@pytest.mark.parametrize("kind", ["yarn", "linear"])
def test_trainer_and_engine_have_the_same_scaled_positions(base: Path, tmp_path: Path, kind: str) -> None:
    model = prepare_model(settings(base, kind), 0, tmp_path, resumed=False)
    trained = score(model.path)
    engine = LocalEngine(TorchEngine.from_path(model.path, context=128, slots=16, version=0))
    assert np.nanmax(np.abs(asyncio.run(engine.compute_logprobs(TOKENS)) - trained)) < 1e-4
    changed: Any = load_model(model.path, torch.float32, "cpu")
    plain: Any = load_model(str(base), torch.float32, "cpu")
    assert not torch.equal(changed.model.rotary_emb.inv_freq, plain.model.rotary_emb.inv_freq)
    assert changed.config.max_position_embeddings == 128
    assert load_tokenizer(model.path).chat_template == load_tokenizer(str(base)).chat_template


@pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None, reason="vLLM is not installed; `make setup VLLM=cpu` installs it"
)
def test_vllm_has_them_too(base: Path, tmp_path: Path) -> None:
    model = prepare_model(settings(base), 0, tmp_path, resumed=False)
    engine = VllmEngine(model.path, context=128, slots=8, version=0)
    try:
        found = asyncio.run(LocalEngine(engine).compute_logprobs(TOKENS))
    finally:
        engine.close()
    assert np.nanmax(np.abs(found - score(model.path))) < 1e-3


def test_checkpoints_keep_them(base: Path, tmp_path: Path) -> None:
    model = prepare_model(settings(base), 0, tmp_path, resumed=False)
    learner = LocalLearner(model, TrainerConfig())
    learner.save(tmp_path / "saved")
    while not learner.saved():
        pass
    assert np.array_equal(score(str(tmp_path / "saved")), score(model.path), equal_nan=True)


def test_the_tiny_model_is_made_smaller_and_scaled(tmp_path: Path) -> None:
    tiny = ModelConfig.model_validate({"context": 128, "tiny": {"hidden": 32, "layers": 1}, "rope": {"factor": 2.0}})
    model = prepare_model(tiny, 0, tmp_path, resumed=False)
    rope = json.loads((Path(model.path) / "config.json").read_text())["rope_parameters"]
    assert (rope["rope_type"], rope["factor"], rope["original_max_position_embeddings"]) == ("yarn", 2.0, 64)
    assert prepare_model(tiny, 0, tmp_path, resumed=True).path == model.path
    assert np.isfinite(score(model.path)[1:]).all()


def test_a_crash_leaves_no_half_of_it_and_other_positions_are_another_run(base: Path, tmp_path: Path) -> None:
    (tmp_path / "scaled.draft").mkdir()
    (tmp_path / "scaled.draft" / "config.json").write_text("{")
    prepare_model(settings(base), 0, tmp_path, resumed=False)
    with pytest.raises(ConfigError, match="began with other positions"):
        prepare_model(settings(base, factor=4.0), 0, tmp_path, resumed=True)
    with pytest.raises(ConfigError, match="began with other positions"):
        prepare_model(settings(base, kind="linear"), 0, tmp_path, resumed=True)


def test_a_run_whose_positions_changed_is_not_resumed(base: Path, tmp_path: Path) -> None:
    plain, other = settings(base, factor=1.0), settings(base, factor=2.0)
    (tmp_path / "plain").mkdir()
    prepare_model(plain, 0, tmp_path / "plain", resumed=False)
    with pytest.raises(ConfigError, match="began without scaled positions"):
        prepare_model(other, 0, tmp_path / "plain", resumed=True)
    (tmp_path / "scaled-run").mkdir()
    prepare_model(other, 0, tmp_path / "scaled-run", resumed=False)
    with pytest.raises(ConfigError, match="began with scaled positions"):
        prepare_model(plain, 0, tmp_path / "scaled-run", resumed=True)


@pytest.mark.parametrize(
    ("config", "theta"),
    [
        ({"model_type": "smollm3"}, 2_000_000.0),
        ({"model_type": "smollm3", "rope_theta": 7.0}, 7.0),
        ({"model_type": "smollm3", "rope_parameters": {"rope_type": "default", "rope_theta": 9.0}}, 9.0),
    ],
)
def test_theta_is_the_config_s_own_or_the_architecture_s_default(
    tmp_path: Path, config: dict[str, Any], theta: float
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({"max_position_embeddings": 64, **config}))
    model = scaled_model(settings(tmp_path / "other"), tmp_path)
    assert json.loads((Path(model.path) / "config.json").read_text())["rope_parameters"]["rope_theta"] == theta


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0}}, r"scaled positions already \(yarn\)"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "no rotary positions of one kind"),
        ({"max_position_embeddings": None}, "no rotary positions of one kind"),
    ],
)
def test_models_whose_positions_cannot_be_scaled_are_refused(
    base: Path, tmp_path: Path, config: dict[str, Any], says: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text(json.dumps({**json.loads((base / "config.json").read_text()), **config}))
    with pytest.raises(ConfigError, match=says):
        prepare_model(settings(other), 0, tmp_path, resumed=False)


def test_what_is_neither_a_folder_nor_on_the_hub_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ConfigError, match="is no folder, and the Hub does not give it"):
        prepare_model(settings(Path("nobody/nothing")), 0, tmp_path, resumed=False)
