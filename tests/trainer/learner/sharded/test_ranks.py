"""One step over several ranks: the same loss and gradient as on one, however the batch is split."""

import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.learner.packing.micro_batch import ROW, micro_batches

from ....ports import free_port

STEP = Path(__file__).with_name("rank_step.py")
PARTS = runpy.run_path(str(STEP))
BATCH, sample = PARTS["BATCH"], PARTS["sample"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(build_tiny_model(tmp_path_factory.mktemp("model") / "tiny", hidden=32, layers=2, context=1024))


def steps(tiny: str, out: Path, size: int) -> Any:
    """What the first of ``size`` ranks wrote."""
    command = [sys.executable, str(STEP), str(size), str(free_port()), tiny, str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors[-3000:]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return torch.load(out, weights_only=False)


@pytest.fixture(scope="module")
def expected(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("expected") / "steps"
    PARTS["step"](0, 0, 0, tiny, str(out))
    return torch.load(out, weights_only=False)


@pytest.mark.parametrize("size", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow), 4])
def test_the_step_is_the_same_for_every_split_into_ranks_and_micro_batches(
    tiny: str, tmp_path: Path, expected: Any, size: int
) -> None:
    found = steps(tiny, tmp_path / "steps", size)
    settings = [*PARTS["SPLITS"], PARTS["SPLITS"][0]]
    for split, (metrics, gradient, scored), (right_metrics, right, right_scored) in zip(
        settings, found, expected, strict=True
    ):
        close = 0.05 if "dtype" in split else 1e-5 if "moved" in split else 1e-6  # Adam's first steps magnify
        assert metrics == pytest.approx(right_metrics, rel=10 * close, abs=close)
        assert metrics["loss"] == pytest.approx(right_metrics["loss"], rel=close, abs=close)
        assert np.linalg.norm(gradient - right) <= close * np.linalg.norm(right)
        assert np.abs(gradient - right).max() <= close
        assert scored == right_scored > 0


def test_rows_are_dealt_so_that_ranks_have_alike_and_as_many_micro_batches() -> None:
    rng = np.random.default_rng(0)
    batch = [sample(n, int(rng.integers(1, 300)), 1.0, prompt=int(rng.integers(1, 40))) for n in range(200)]
    parts = [list(micro_batches(batch, 2048, torch.device("cpu"), rank, 4)) for rank in range(4)]
    tokens = [sum(one.tokens.size for micro in part for one in micro.samples) for part in parts]
    assert len({len(part) for part in parts}) == 1
    assert max(tokens) < 1.1 * min(tokens)
    seen = [id(one) for part in parts for micro in part for one in micro.samples]
    assert sorted(seen) == sorted(map(id, batch))


def test_ranks_without_a_sample_run_empty_micro_batches() -> None:
    micros = [list(micro_batches(BATCH[:1], 64, torch.device("cpu"), rank, 3)) for rank in range(3)]
    assert [[len(micro.samples) for micro in part] for part in micros] == [[1], [0], [0]]
    assert list(micro_batches([], 64, torch.device("cpu"), 1, 3)) == []


def test_long_samples_alone_in_their_rows_need_no_mask_and_short_ones_are_kept_from_them() -> None:
    batch = [sample(1, ROW + 1, 1.0), sample(2, ROW + 90, 1.0, prompt=7), sample(3, 4, 1.0), sample(4, 5, 1.0)]
    micros = list(micro_batches(batch, 16384, torch.device("cpu")))
    assert [(len(micro.samples), micro.ends_RT is None) for micro in micros] == [(2, False), (2, True)]
