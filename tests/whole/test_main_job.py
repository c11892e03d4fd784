"""The jobs as shipped reach their goals, through Ray: ``configs/arithmetic.toml`` and ``configs/calculator.toml``."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run_job(name: str, out: Path, *overrides: str) -> dict[str, Any]:
    """The summary of the job that ``configs/NAME.toml`` describes."""
    words = [sys.executable, "-m", "lachesis.commands.cli", "train", str(CONFIGS / f"{name}.toml"), "--out", str(out)]
    done = subprocess.run([*words, *overrides], capture_output=True, text=True, timeout=1150)
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads((out / f"{name}-1" / "summary.json").read_text())
    return summary


def main_job(out: Path, *overrides: str) -> dict[str, Any]:
    return run_job("arithmetic", out, *overrides)


def reached(summary: dict[str, Any]) -> None:
    assert 0.40 <= summary["heldout_start"] < 0.70, "the warm start alone must not be what reaches the goal"
    assert summary["heldout_final"] >= 0.90
    assert summary["mismatch_kl"] < 1e-6
    assert summary["tokens_generated"] > 0


@pytest.mark.timeout(1200)
def test_the_main_job_gets_better_on_tasks_that_it_never_trained_on(tmp_path: Path) -> None:
    """The first part of the way, with half the prompts; the slow tests go the whole way as shipped, with four seeds."""
    fewer = ("--rollout.engines=1", "--rollout.workers=1", "--eval.tasks=200", "--warm_start.every=20")
    summary = main_job(tmp_path, "--eval.stop_at=0.65", "--trainer.prompts=32", *fewer)
    assert 0.40 <= summary["heldout_start"] < 0.60
    assert summary["heldout_final"] >= 0.65
    assert summary["mismatch_kl"] < 1e-6


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_every_seed_reaches_it(tmp_path: Path, seed: int) -> None:
    reached(main_job(tmp_path, f"--seed={seed}"))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_it_is_reached_through_vllm(tmp_path: Path) -> None:
    pytest.importorskip("vllm", reason="vllm is not installed")
    summary = main_job(tmp_path, "--rollout.engine=vllm")
    assert summary["engine"] == "vllm"
    reached(summary)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_use_of_a_tool_over_several_turns_is_learned(tmp_path: Path) -> None:
    summary = run_job("calculator", tmp_path)
    assert summary["heldout_start"] <= 0.5
    assert summary["heldout_final"] >= 0.85
