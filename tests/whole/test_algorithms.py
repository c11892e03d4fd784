"""Every algorithm teaches a tiny model to add: from the same warm start, on tasks that it never trained on.

Each takes minutes, so all of them are slow. In ``make test`` the first part of the main job shows that GRPO works.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import latest
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.train import train

ALGORITHMS: dict[str, dict[str, Any]] = {
    "grpo": {"loss": {"normalize": "sequence"}},
    "dr_grpo": {"advantage": "dr_grpo", "loss": {"normalize": "constant"}},
    "rloo": {"advantage": "rloo"},
    "maxrl": {"advantage": "maxrl"},
    "reinforce_pp": {"advantage": "reinforce_pp"},
    "reinforce_pp_baseline": {"advantage": "reinforce_pp_baseline"},
    "gdpo": {"advantage": "gdpo"},
    "dapo": {"dynamic_sampling": 2.0, "loss": {"clip_high": 0.28, "clip_dual": 3.0, "overlong": "filter"}},
    "gspo": {"loss": {"kind": "gspo", "normalize": "sequence"}},
    "cispo": {"loss": {"kind": "cispo"}},
    "supervised": {"loss": {"kind": "supervised"}},
    "tis": {"loss": {"importance_sampling": {"method": "tis"}}},
    "icepop": {"loss": {"importance_sampling": {"method": "icepop"}}},
    "mis_sequence": {"loss": {"importance_sampling": {"method": "mis_sequence"}}},
    "mis_geometric": {"loss": {"importance_sampling": {"method": "mis_geometric"}}},
    "kl_in_loss": {"loss": {"kl": {"coef": 0.001}}},
    "kl_in_reward": {"loss": {"kl": {"coef": 0.001, "apply_to": "reward"}}},
    "entropy": {"loss": {"entropy": 0.001}},
    "stale": {"loss": {"importance_sampling": {"method": "tis"}}},
}
"""What each changes of ``[trainer]``. ``stale`` learns from weights that are two steps old."""


def job(out: Path, name: str, **parts: Any) -> tuple[Path, dict[str, Any]]:
    """A run on sums of two digits, in this process."""
    settings: dict[str, Any] = {
        "name": name,
        "out": str(out),
        "environments": [{"use": "arithmetic", "group_size": 8}],
        "rollout": {"inline": True, "slots": 256, "sampling": {"max_tokens": 5}},
        "eval": {"every": 10, "tasks": 500, "stop_at": 0.9},
        "model": {"path": "tiny", "context": 64},
    }
    config = RunConfig.model_validate({**settings, **parts})
    folder = RunFolder.create(config)
    try:
        return folder.path, asyncio.run(
            train(config, config.build_environments(), folder, Progress(config.trainer.steps, quiet=True))
        )
    finally:
        folder.close()


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that adds right about four times in ten."""
    start = {"steps": 500, "target": 0.4}
    run, summary = job(tmp_path_factory.mktemp("warm"), "warm", warm_start=start, trainer={"steps": 0})
    assert 0.4 <= summary["heldout_start"] < 0.7
    found = latest(run / "checkpoints")
    assert found is not None
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_it_learns_to_add(tmp_path: Path, warm: Path, name: str) -> None:
    trainer = {"steps": 250, "prompts": 64, "lr": 6e-4, "schedule": "linear", "warmup": 10, **ALGORITHMS[name]}
    rollout = {"inline": True, "slots": 256, "sampling": {"max_tokens": 5}, "staleness": 2 * (name == "stale")}
    _, summary = job(tmp_path, name, model={"path": str(warm), "context": 64}, trainer=trainer, rollout=rollout)
    print(f"{name}: {summary['heldout_start']:.3f} to {summary['heldout_final']:.3f} in {summary['steps']} steps")
    assert summary["heldout_final"] >= 0.9
