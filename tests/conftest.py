"""What tests share: where the data lies, and one CPU thread so that results are the same everywhere."""

import os
import re

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: tiny models are slower, and differ, with more

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import hypothesis
import pytest

# CI asks the same examples of the same code; what a new draw finds is found by those who work on it. Nowhere is an
# example timed: a busy machine would fail what is right.
hypothesis.settings.register_profile(
    "lachesis",
    max_examples=int(os.environ.get("LACHESIS_EXAMPLES", "100")),
    derandomize=bool(os.environ.get("LACHESIS_CI")),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("lachesis")

ROOT = Path(__file__).resolve().parent.parent

# What LACHESIS_CI may forbid to be skipped, and the reasons for a skip that speak of it.
REASONS = {
    "vllm": r"\bvllm\b",
    "ray": r"\bray\b",
    "data": r"\btest data\b",
    "docker": r"\bdocker\b",
    "atroposlib": r"\batroposlib\b",
    "chromium": r"\b(Chromium|playwright|axe)\b",
}


R = TypeVar("R", pytest.TestReport, pytest.CollectReport)


def without_forbidden_skip(report: R) -> R:
    """The report, failed if it is a skip that LACHESIS_CI (such as ``"vllm ray data"``, or ``1`` for all) forbids."""
    names = os.environ.get("LACHESIS_CI", "").split()
    patterns = REASONS.values() if names == ["1"] else [REASONS[name] for name in names]
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2]
        if any(re.search(pattern, reason, re.IGNORECASE) for pattern in patterns):
            report.outcome, report.longrepr = "failed", f"LACHESIS_CI forbids this skip: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where LACHESIS_CI says so, a skip is a failure: a job that tests nothing must not be green."""
    return without_forbidden_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself."""
    return without_forbidden_skip((yield))


LONGEST_FIRST = (
    "whole/test_main_job.py",
    "whole/test_misbehaviour.py",
    "test_tutorial.py",
    "test_docs.py",
    "commands/run/test_train.py",
    "commands/check/test_check.py",
    "whole/test_hostile_text.py",
    "whole/test_soak.py",
    "environments/test_mcp.py",
    "rollout/workers/test_ray_pool.py",
    "commands/view/test_server_browser.py",
    "trainer/learner/packing/test_attention.py",
    "whole/test_atropos.py",
    "rollout/service/test_openapi.py",
    "trainer/learner/sharded/test_ranks.py",
    "trainer/test_train.py",
    "commands/eval/test_command.py",
    "verifiers/tool_calling/formats/test_format.py",
    "verifiers/sandbox/test_pool_lost.py",
    "verifiers/sandbox/test_pool_hostile.py",
    "commands/serve/test_gateway.py",
    "trainer/learner/sharded/test_shard_loading.py",
    "verifiers/code/test_solution_attacks.py",
    "commands/author/test_new.py",
    "whole/test_crowd.py",
    "verifiers/sandbox/docker/test_containers.py",
    "test_packaging.py",
    "commands/verify/test_command.py",
    "rollout/cluster/test_session.py",
    "commands/serve/test_work.py",
    "verifiers/code/test_solution_humaneval.py",
)
"""The files that take the longest, from the longest: begun first, so that all workers end at about the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, those of several modules next, and leave the order as it is otherwise."""
    folder = Path(__file__).parent
    longest = {folder / name: number for number, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        several = folder / "whole" in item.path.parents
        return longest.get(item.path, len(longest) + (not several))

    items.sort(key=place)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each reason to skip, with the number of tests that it kept from running."""
    skips = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skips)
    if reasons:
        terminalreporter.section("skipped", "=")
    for reason, number in reasons.most_common():
        terminalreporter.write_line(f"{number:5} {reason}")


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """``shared_data("gsm8k_test.jsonl")`` is that file's path; a missing file skips the test."""
    folder = Path(os.environ.get("LACHESIS_TEST_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        if not folder.is_dir():
            pytest.skip(f"no folder of test data at {folder}; set LACHESIS_TEST_DATA")
        path = folder / name
        if not path.exists():
            pytest.skip(f"test data {name} is not in {folder}; set LACHESIS_TEST_DATA")
        return path

    return find


@pytest.fixture
def built_in_verifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only our own verifiers are known: other tests, and documents that are run, register some of theirs."""
    from lachesis.verifiers import registry

    ours = {name: registry.verifier_class(name) for name in registry.BUILT_IN.names}
    monkeypatch.setattr(registry, "_CLASSES", ours)


@pytest.fixture(scope="session")
def serve_forever() -> Callable[..., AbstractContextManager[str]]:
    """``with serve_forever(runner) as url``: an HTTP server in a thread of its own."""

    @contextmanager
    def serve(runner: Any) -> Iterator[str]:
        from aiohttp import web

        async def start() -> None:
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()

        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(start(), loop).result()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    return serve


@pytest.fixture(scope="session")
def tiny_reward_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random sequence classifier with one output and a chat template."""
    import torch
    from transformers import Qwen3Config, Qwen3ForSequenceClassification

    from lachesis.rollout.models.tiny import build_tiny_tokenizer
    from lachesis.rollout.models.tokenizer import save_tokenizer

    folder = tmp_path_factory.mktemp("reward_model")
    tokenizer = build_tiny_tokenizer(512)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "head_dim": 16}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 512}
    config = Qwen3Config(vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, num_labels=1, **sizes, **heads)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        model = Qwen3ForSequenceClassification(config)
        model.score.weight.data.mul_(20)  # so that outputs differ, in sign too
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder)
    return folder
