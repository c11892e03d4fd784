"""The command line as a user meets it: in a process of its own, by its exit codes and lines."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.rollout.models.tiny import build_tiny_model

CONFIG = """
name = "toy"
out = "runs"
[[environments]]
use = "arithmetic"
group_size = 4
[environments.config]
digits = 1
[model]
context = 32
[model.tiny]
hidden = 32
[rollout]
inline = true
slots = 16
[rollout.sampling]
max_tokens = 4
[trainer]
steps = 2
prompts = 4
[warm_start]
steps = 2
batch = 4
every = 2
[eval]
tasks = 4
"""


ENVIRONMENT = """
from lachesis import Environment, Task
class Own(Environment):
    def tasks(self, split, seed):
        return {}
"""


def lachesis(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lachesis.commands.cli", *words],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "HF_HUB_OFFLINE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=240,
    )


def refused(done: subprocess.CompletedProcess[str], *parts: str, code: int = 2) -> None:
    """It ended with ``code`` and one line on stderr that has the ``parts``."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("lachesis: error: ")
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "toy.toml"
    path.write_text(CONFIG)
    return path


def test_help_names_every_command_and_costs_no_heavy_import(tmp_path: Path) -> None:
    done = lachesis("--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for command in ("train", "eval", "verify", "envs", "doctor"):
        assert f"  {command} " in done.stdout
    for heavy in ("torch", "ray", "vllm", "numpy", "pydantic", "sympy", "transformers", "rich"):
        assert f" {heavy}\n" not in done.stderr


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train"], ["takes one CONFIG file, found 0"]),
        (["train", "none.toml"], ["cannot read the config none.toml"]),
        (["train", "."], ["cannot read the config ."]),
        (["train", "a.toml", "b.toml"], ["found 2: a.toml b.toml"]),
        (["train", "toy.toml", "--trainer.stepz", "3"], ["unknown key 'trainer.stepz'", "did you mean 'steps'"]),
        (["train", "toy.toml", "--trainer.lr", "fast"], ["'trainer.lr'", "found 'fast'"]),
        (["train", "toy.toml", "--trainer.lr=-1"], ["'trainer.lr'", "greater than 0"]),
        (["train", "toy.toml", "--environments.0.use", "arithmetik"], ["did you mean 'arithmetic'"]),
        (["train", "toy.toml", "--environments.0.use", "./none.py"], ["cannot read the environment ./none.py"]),
        (["train", "toy.toml", "--environments.0.config.digit", "3"], ["did you mean 'digits'"]),
        (["train", "toy.toml", "--environments.0.rubric.exat", "3"], ["did you mean 'exact'"]),
        (["train", "toy.toml", "--resum", "x"], ["no option --resum", "did you mean '--resume'"]),
        (["train", "--resume", "nowhere"], ["nowhere"]),
        (["train", "toy.toml", "--model.path", "./nomodel"], ["nomodel", "config.json"]),
        (["trian"], ["No such command 'trian'"]),
        (["verify", "none.jsonl"], ["cannot read none.jsonl"]),
        (["verify", "."], ["holds no trajectories"]),
        (["eval"], ["takes one environment, found 0"]),
        (["eval", "arithmetic"], ["needs --model"]),
        (["eval", "arithmetik", "--model", "m"], ["did you mean 'arithmetic'"]),
        (["eval", "arithmetic", "--model", "m", "--config.digitz", "1"], ["did you mean 'digits'"]),
        (["eval", "arithmetic", "--model", "m", "--rollout.slot", "1"], ["did you mean 'slots'"]),
        (["eval", "arithmetic", "--model", "m", "--url", "host:1"], ["http(s)://", "host:1"]),
        (["eval", "arithmetic", "--model", "./nomodel", "--inline"], ["nomodel", "config.json"]),
        (["eval", "gsm8k", "--model", "m", "--config.path", "empty.jsonl"], ["empty.jsonl", "no problems"]),
        (["eval", "gsm8k", "--model", "m", "--config.path", "bad.jsonl"], ["bad.jsonl, line 1"]),
        (["eval", "arithmetic", "--model", "m", "--tasks", "0"], ["--tasks"]),
        (["doctor", "--jsno"], ["--jsno", "--json"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(config: Path, words: list[str], parts: list[str]) -> None:
    folder = config.parent
    (folder / "bad.jsonl").write_text('{"verifier": "exact", "completion": "", "answer": ""}\n{half\n')
    (folder / "empty.jsonl").write_text("")
    refused(lachesis(*words, cwd=folder), *parts)


def test_an_empty_dataset_ends_before_a_folder_is_made(config: Path) -> None:
    (config.parent / "none.py").write_text(ENVIRONMENT.format("[]"))
    refused(lachesis("train", "toy.toml", "--environments=[{use='none.py'}]", cwd=config.parent), "has no tasks")
    (config.parent / "none.py").write_text(ENVIRONMENT.format("[] if split == 'test' else [Task('q')]"))
    refused(lachesis("train", "toy.toml", "--environments=[{use='none.py'}]", cwd=config.parent), "in split 'test'")
    assert not (config.parent / "runs").exists()


def test_a_bug_is_one_line_and_its_traceback_on_request(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(ENVIRONMENT.format("1 / 0"))
    words = ("eval", "odd.py", "--model", "m")
    refused(lachesis(*words, cwd=tmp_path), "ZeroDivisionError", "odd.py, line 5", code=1)
    assert "Traceback" in lachesis(*words, cwd=tmp_path, LACHESIS_DEBUG="1").stderr


def test_envs_lists_what_is_there(tmp_path: Path) -> None:
    environments, verifiers = lachesis("envs", cwd=tmp_path), lachesis("envs", "--verifiers", cwd=tmp_path)
    assert environments.returncode == verifiers.returncode == 0
    for part in ("arithmetic", "gsm8k", "digits = 2", "system_prompt"):
        assert part in environments.stdout
    for part in ("exact", "number", "math", "format", "ignore_case = False", "tolerance = 0.0"):
        assert part in verifiers.stdout


def test_verify_prints_verdicts_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    rows = [{"verifier": "number", "completion": f"{n}", "answer": "1", "params": {}} for n in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = lachesis("verify", "in.jsonl", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0
    assert [json.loads(line)["score"] for line in done.stdout.splitlines()] == [0.0, 1.0, 0.0]


def test_a_run_leaves_everything_and_goes_on_from_its_folder_alone(config: Path) -> None:
    folder = config.parent
    done = lachesis("train", "toy.toml", cwd=folder)
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "toy-1"
    names = {path.name for path in run.iterdir()}
    assert {"config.toml", "metrics.jsonl", "tensorboard", "trajectories.jsonl.zst", "checkpoints"} <= names
    assert {"summary.json", "learning_curve.png", "log"} <= names
    assert json.loads((run / "summary.json").read_text())["steps"] == 2
    again = lachesis("train", "--resume", "runs/toy-1", "--trainer.steps", "4", cwd=folder)
    assert again.returncode == 0, again.stderr
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [step for step in steps if step > 0] == [1, 2, 3, 4]
    judged = lachesis("verify", "runs/toy-1", cwd=folder)
    assert "64 trajectories, 0 verdicts changed" in judged.stdout


@pytest.mark.parametrize(
    ("stop", "shell"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, []),
        (signal.SIGTERM, ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]),  # so a script starts what it ends with &
    ],
)
def test_a_stop_ends_cleanly_with_the_last_checkpoint_kept(
    config: Path, stop: signal.Signals, shell: list[str]
) -> None:
    process = subprocess.Popen(
        [*shell, sys.executable, "-m", "lachesis.commands.cli", "train", "toy.toml", "--trainer.steps=100000"],
        cwd=config.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = config.parent / "runs" / "toy-1" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and '"step": 1,' in metrics.read_text(), process)
    process.send_signal(stop)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    last = errors.strip().splitlines()[-1]
    assert last.startswith("lachesis: stopped; last checkpoint: runs/toy-1/checkpoints/step-")


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[str]", seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


class Adder:
    """An endpoint that does sums right, least significant digit first, except those that begin with 9."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.delay = 0.0
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        question = (await request.json())["messages"][-1]["content"]
        self.asked.append(question)
        await asyncio.sleep(self.delay)
        a, b = (int(number[::-1]) for number in question.rstrip("=").split("+"))
        total = 0 if question.startswith("9") else a + b
        return web.json_response(
            {"choices": [{"message": {"content": f"{total:02d}"[::-1]}, "finish_reason": "stop"}], "usage": None}
        )


@pytest.fixture
def adder() -> Iterator[Adder]:
    endpoint, loop = Adder(), asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", endpoint.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.port = runner.addresses[0][1]
        return runner

    runner = loop.run_until_complete(serve())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield endpoint
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def eval_words(adder: Adder, *more: str) -> list[str]:
    url = f"http://127.0.0.1:{adder.port}/v1"
    return ["eval", "arithmetic", "--config.digits=1", "--url", url, "--model", "m", "--out", "s.jsonl", *more]


def test_eval_over_a_url_is_saved_and_goes_on(tmp_path: Path, adder: Adder) -> None:
    first = lachesis(*eval_words(adder, "--tasks", "4"), cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert len(adder.asked) == 4
    whole = lachesis(*eval_words(adder, "--attempts", "2"), cwd=tmp_path)
    tasks = len({row["task"]["id"] for row in rows_of(tmp_path / "s.jsonl")})
    assert len(adder.asked) == 2 * tasks
    assert "4 before" in whole.stdout
    right = sum(not question.startswith("9") for question in set(adder.asked)) / tasks
    assert f"{right:.4f}" in whole.stdout
    assert f"{2 * tasks} of {2 * tasks} scored" in whole.stdout
    refused(lachesis(*eval_words(adder, "--temperature", "1"), cwd=tmp_path), "sampling.temperature 0.0, not 1.0")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_eval_that_was_stopped_keeps_what_was_scored(tmp_path: Path, adder: Adder) -> None:
    adder.delay = 0.2
    words = eval_words(adder, "--tasks", "8", "--concurrency", "1")
    process = subprocess.Popen(
        [sys.executable, "-m", "lachesis.commands.cli", *words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: (tmp_path / "s.jsonl").exists() and len(rows_of(tmp_path / "s.jsonl")) >= 2, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip() == "lachesis: stopped"
    kept, asked = len(rows_of(tmp_path / "s.jsonl")), len(adder.asked)
    assert 2 <= kept < 8
    adder.delay = 0.0
    assert lachesis(*words, cwd=tmp_path).returncode == 0
    assert len(adder.asked) - asked == 8 - kept
    assert len(rows_of(tmp_path / "s.jsonl")) == 8


def test_an_endpoint_that_is_gone_ends_in_one_line_and_exit_code_1(tmp_path: Path) -> None:
    words = ["eval", "arithmetic", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--tasks", "2", "--out", "s.jsonl"]
    done = lachesis(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("lachesis: error: 2 tasks in a row could not be scored")
    assert not any(row["rewards"] for row in rows_of(tmp_path / "s.jsonl"))


def test_eval_through_ray_says_in_one_line_that_the_model_cannot_be_loaded(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64)
    (model / "config.json").write_text("{}")
    done = lachesis("eval", "arithmetic", "--model", str(model), "--model.context", "64", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "holds no causal language model" in done.stderr
    assert "_engine" not in done.stderr


@pytest.fixture
def many_rows(tmp_path: Path) -> Path:
    """Rows that take some seconds."""
    row = {"verifier": "math", "completion": r"so it is \boxed{3}", "answer": "3"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row | {"id": n, "answer": str(n % 5)}) + "\n" for n in range(20_000)))
    return path


def begun(out: Path) -> Callable[[], bool]:
    return lambda: out.exists() and out.stat().st_size > 20_000


def verify_started(tmp_path: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lachesis.commands.cli", "verify", *words]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def verdicts(path: Path) -> list[tuple[Any, ...]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["score"], row["status"], row["reason"], row["row"]) for row in rows]


def test_verify_killed_amid_its_work_goes_on_to_the_same_verdicts(tmp_path: Path, many_rows: Path) -> None:
    process = verify_started(tmp_path, many_rows.name, "-o", "out.jsonl")
    wait_for(begun(tmp_path / "out.jsonl"), process)
    process.kill()
    process.communicate()
    kept = (tmp_path / "out.jsonl").read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    number = kept.count(b"\n")
    assert 0 < number < 20_000
    again = lachesis("verify", many_rows.name, "-o", "out.jsonl", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{number} verdicts were in out.jsonl before" in again.stderr
    assert (tmp_path / "out.jsonl").read_bytes().startswith(kept)
    whole = lachesis("verify", many_rows.name, cwd=tmp_path)
    (tmp_path / "whole.jsonl").write_text(whole.stdout)
    assert verdicts(tmp_path / "out.jsonl") == verdicts(tmp_path / "whole.jsonl")
    assert [score for score, *_ in verdicts(tmp_path / "out.jsonl")] == [float(n % 5 == 3) for n in range(20_000)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_verify_that_is_stopped_says_how_to_go_on(tmp_path: Path, many_rows: Path, name: str) -> None:
    process = verify_started(tmp_path, many_rows.name, "-o", "out.jsonl")
    wait_for(begun(tmp_path / "out.jsonl"), process)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=60)
    kept = len(verdicts(tmp_path / "out.jsonl"))
    assert process.returncode == 130
    assert errors.strip() == f"lachesis: stopped with {kept} verdicts in out.jsonl; the same command continues"


def test_verify_ends_in_silence_when_its_reader_goes_away(tmp_path: Path, many_rows: Path) -> None:
    process = verify_started(tmp_path, many_rows.name)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "wrong"
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")


def test_verify_refuses_in_one_line_what_it_cannot_do(tmp_path: Path, many_rows: Path) -> None:
    refused(lachesis("verify", cwd=tmp_path), "takes one FILE, found 0")
    refused(lachesis("verify", "none.jsonl", cwd=tmp_path), "cannot read none.jsonl")
    refused(lachesis("verify", many_rows.name, "-o", many_rows.name, cwd=tmp_path), "is the file that is scored")
    refused(lachesis("verify", many_rows.name, "--sandbox.backened", "docker", cwd=tmp_path), "did you mean 'backend'")
    refused(lachesis("verify", many_rows.name, "--sandbx.size", "2", cwd=tmp_path), "did you mean 'sandbox'")
    (tmp_path / "bad.jsonl").write_text("{\n")
    bad = lachesis("verify", "bad.jsonl", cwd=tmp_path)
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["reason"].startswith("line 1: not JSON")
    assert "1 rows could not be scored" in bad.stderr


def test_an_image_without_docker_is_refused_with_the_cure(tmp_path: Path) -> None:
    done = lachesis("doctor", "--build-image", cwd=tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock")
    refused(done, "Docker does not answer", "start it")


PROGRAMS = """
from lachesis import Environment, Rubric, Task, use
class Programs(Environment):
    rubric = Rubric(use("code"))
    def tasks(self, split, seed):
        while True:
            yield Task("add", answer=[{"input": "1", "output": "1"}])
"""


def test_programs_without_a_sandbox_are_refused_before_anything_is_made(tmp_path: Path, config: Path) -> None:
    (tmp_path / "own.py").write_text(PROGRAMS)
    config.write_text(config.read_text().replace('"arithmetic"', '"own.py"').replace("digits = 1", ""))
    nothing = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
    trained = lachesis("train", str(config), "--sandbox.backend", "docker", cwd=tmp_path, **nothing)
    refused(trained, "own.py runs programs of the policy's: ", "start it")
    words = ["eval", "own.py", "--model", "m", "--url", "http://127.0.0.1:9/v1", "--sandbox.backend", "docker"]
    refused(lachesis(*words, cwd=tmp_path, **nothing), "own.py runs programs of the policy's: ", "start it")
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "evals").exists()


def test_verify_without_the_sandbox_that_a_row_needs_stops_there_and_goes_on_with_one(tmp_path: Path) -> None:
    rows = [
        {"verifier": "number", "completion": "4", "answer": 4},
        {"verifier": "code", "completion": "print(input())", "answer": [{"input": "1", "output": "1"}]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["verify", "rows.jsonl", "-o", "out.jsonl"]
    without = lachesis(*words, "--sandbox.backend=docker", cwd=tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock")
    refused(without, "Docker does not answer", "start it")
    assert [status for _, status, *_ in verdicts(tmp_path / "out.jsonl")] == ["ok"]
    lowest = lachesis(*words, "--sandbox.backend=process", "--sandbox.require=accident", cwd=tmp_path)
    assert lowest.returncode == 0, lowest.stderr
    assert [status for _, status, *_ in verdicts(tmp_path / "out.jsonl")] == ["ok", "ok"]
