"""The losses of ``lachesis sft`` and ``lachesis dpo`` are TRL's, on the same tiny model and the same rows.

Importing TRL takes many seconds, so these tests are slow. They are skipped if it is not installed.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import ModelConfig
from lachesis.rollout.models.loading import load_model
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.trainer.config import TrainerConfig
from lachesis.trainer.datasets.demonstration import read_demonstration
from lachesis.trainer.datasets.preference import read_pair
from lachesis.trainer.datasets.reference import with_reference
from lachesis.trainer.learner.local import LocalLearner
from lachesis.trainer.learner.pair import Pair, samples_of_pairs
from lachesis.trainer.losses.config import PreferenceConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = [
    (f"{a}+{b}=", str(a + b), str(a + b + 1) * (1 + a % 3)) for a, b in zip(range(3, 11), range(90, 98), strict=True)
]
CPU: dict[str, Any] = {"use_cpu": True, "report_to": [], "bf16": False, "max_length": 64}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A reference model, and one that some steps have moved away from it."""
    folder = tmp_path_factory.mktemp("models")
    path = str(build_tiny_model(folder / "tiny", hidden=32, layers=2, context=64))
    learner = LocalLearner(ModelConfig(path=path, context=64), TrainerConfig())
    for _ in range(10):
        learner.supervised_step([one for pair in pairs(path) for one in pair.chosen], 3e-3)
    learner.model.save_pretrained(folder / "moved")
    load_tokenizer(path).save_pretrained(folder / "moved")
    return path, str(folder / "moved")


def pairs(path: str) -> list[Pair]:
    renderer = Renderer.load(path)
    return [read_pair({"prompt": asked, "chosen": good, "rejected": bad}, renderer) for asked, good, bad in ROWS]


def test_the_loss_token_accuracy_and_gradient_of_sft_are_trl_s(models: tuple[str, str], tmp_path: Path) -> None:
    trl = pytest.importorskip("trl", reason="trl is not installed")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    path, renderer = models[1], Renderer.load(models[1])
    examples = [read_demonstration({"prompt": asked, "completion": good}, renderer) for asked, good, _ in ROWS]
    samples = [one for example in examples for one in example.samples]
    rows = [
        {"input_ids": one.tokens.tolist(), "labels": np.where(one.mask, one.tokens, -100).tolist()} for one in samples
    ]
    config = trl.SFTConfig(output_dir=str(tmp_path), per_device_train_batch_size=len(rows), max_steps=1, **CPU)
    model = load_model(path, torch.float32, "cpu")
    peer = trl.SFTTrainer(
        model, args=config, train_dataset=datasets.Dataset.from_list(rows), processing_class=load_tokenizer(path)
    )
    loss = peer.compute_loss(model.train(), peer.data_collator(rows))
    loss.backward()
    norm = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None]).norm()

    learner = LocalLearner(ModelConfig(path=path, context=64), TrainerConfig(micro_tokens=64))
    metrics = learner.supervised_step(samples, 0.0)
    print(f"sft: loss {metrics['loss']:.7f}, TRL {float(loss):.7f}; gradient {metrics['grad_norm']:.6f}, {norm:.6f}")
    assert metrics["loss"] == pytest.approx(float(loss), abs=1e-5)
    assert metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    assert metrics["token_accuracy"] == pytest.approx(peer._metrics["train"]["mean_token_accuracy"][-1], abs=1e-6)


@pytest.mark.parametrize("loss_type", ["sigmoid", "sigmoid_norm", "ipo"])
@pytest.mark.parametrize("beta", [0.1, 0.7])
def test_the_loss_figures_and_gradient_of_dpo_are_trl_s(
    models: tuple[str, str], tmp_path: Path, loss_type: str, beta: float
) -> None:
    trl = pytest.importorskip("trl", reason="trl is not installed")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    rows = [{"prompt": asked, "chosen": good, "rejected": bad} for asked, good, bad in ROWS]
    config = trl.DPOConfig(output_dir=str(tmp_path), loss_type=[loss_type], beta=beta, **CPU)
    model, reference = (load_model(path, torch.float32, "cpu") for path in reversed(models))
    peer = trl.DPOTrainer(
        model,
        ref_model=reference,
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=load_tokenizer(models[0]),
    )
    examples = [
        {
            "prompt_ids": pair.chosen[0].tokens[~pair.chosen[0].mask].tolist(),
            "chosen_ids": pair.chosen[0].tokens[pair.chosen[0].mask].tolist(),
            "rejected_ids": pair.rejected[0].tokens[pair.rejected[0].mask].tolist(),
        }
        for pair in pairs(models[0])
    ]
    loss = peer._compute_loss(model.train(), peer.data_collator(examples), False)
    loss.backward()
    norm = torch.cat([one.grad.flatten() for one in model.parameters() if one.grad is not None]).norm()
    figures = {name: values[-1] for name, values in peer._metrics["train"].items()}

    first, learner = (
        LocalLearner(ModelConfig(path=path, context=64), TrainerConfig(micro_tokens=64)) for path in models
    )
    known = with_reference(pairs(models[0]), first, tmp_path / "reference.npy")
    metrics = learner.preference_step(known, PreferenceConfig(loss=loss_type, beta=beta), 0.0)
    print(f"{loss_type}, beta {beta}: loss {metrics['loss']:.7f}, TRL {float(loss):.7f}")
    assert metrics["loss"] == pytest.approx(float(loss), abs=1e-5)
    assert metrics["grad_norm"] == pytest.approx(float(norm), rel=1e-4)
    for name in ("rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"):
        assert metrics[name] == pytest.approx(figures[name], abs=1e-5)
    assert abs(metrics["rewards/margins"]) > 0.01, "the models are equal, so nothing is proved"
    assert len(samples_of_pairs(known)) == 2 * len(ROWS)
