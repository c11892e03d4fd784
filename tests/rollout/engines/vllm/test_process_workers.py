"""A process of vLLM's own that dies: the process of the engine ends with it, so that it can be started again."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lachesis.rollout.cluster.leftovers import Driver
from lachesis.rollout.models.tiny import build_tiny_model

ENGINE = """
import asyncio, logging, multiprocessing, sys, time
from lachesis.rollout.engines.registry import EngineSetup
from lachesis.rollout.engines.vllm.engine import open_engine

if __name__ == "__main__":  # vLLM's processes import this file
    setup = EngineSetup(sys.argv[1], context=64, device="cpu", version=0, own_process=True,
                        options={"tensor_parallel_size": 2})
    engine = open_engine(setup)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
@pytest.mark.parametrize("rank", [0, 1])
def test_an_engine_whose_worker_is_killed_ends_its_process_with_a_warning_and_leaves_nothing(
    tmp_path: Path, rank: int
) -> None:
    (tmp_path / "engine.py").write_text(ENGINE)
    model = build_tiny_model(tmp_path / "tiny", hidden=128, layers=1, context=64)
    command = [sys.executable, str(tmp_path / "engine.py"), str(model)]
    environment = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
    assert process.stdout
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2, process.communicate()
    os.kill(workers[rank], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "a worker process of vLLM died" in errors
    until = time.monotonic() + 60
    while left := [pid for pid in workers if Driver.of(pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.1)
