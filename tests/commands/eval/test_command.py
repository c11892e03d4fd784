"""``lachesis eval`` as a user meets it: saved, stopped and continued; an endpoint and engines go one way."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lachesis.rollout.models.tiny import build_tiny_model


class Adder:
    """An endpoint that does sums right, least significant digit first, except those that begin with 9."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.delay = 0.0
        self.closed = False
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        question = self.bodies[-1]["messages"][-1]["content"]
        self.asked.append(question)
        await asyncio.sleep(self.delay)
        while self.closed:  # noqa: ASYNC110 - the test opens it in another thread
            await asyncio.sleep(0.02)
        a, b = (int(number[::-1]) for number in question.rstrip("=").split("+"))
        total = 0 if question.startswith("9") else a + b
        return web.json_response(
            {
                "choices": [{"message": {"content": f"{total:02d}"[::-1]}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2},
            }
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


def eval_words(adder: Adder, *more: str, use: str = "arithmetic") -> list[str]:
    settings = ["--config.digits=1"] if use == "arithmetic" else []
    url = f"http://127.0.0.1:{adder.port}/v1"
    return ["eval", use, *settings, "--url", url, "--model", "m", "--out", "s.jsonl", "--inline", *more]


def test_eval_over_a_url_is_saved_and_goes_on(
    tmp_path: Path, adder: Adder, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    first = lachesis(*eval_words(adder, "--temperature", "1", "--tasks", "4"), cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert len(adder.asked) == 4
    lines = [line.partition("  ")[2] for line in first.stdout.splitlines()]
    assert lines[:3] == ["checking the environments and the sandbox", "starting the worker", "evaluating"]
    shown = r"evaluating (\d)/4  mean reward \d\.\d{3}  accuracy \d\.\d{3}  tasks/s \S+  \d:\d\d left"
    assert [found[1] for line in lines if (found := re.fullmatch(shown, line))] == ["1", "2", "3", "4"]
    whole = lachesis(*eval_words(adder, "--temperature", "1", "--attempts", "2"), cwd=tmp_path)
    tasks = len({row["task"]["id"] for row in rows_of(tmp_path / "s.jsonl")})
    assert len(adder.asked) == 4 + 2 * tasks  # a task that lacks an attempt is made whole: rewards may compare them
    assert "4 before" in whole.stdout
    right = sum(not question.startswith("9") for question in set(adder.asked)) / tasks
    assert re.search(rf"accuracy +{right:.4f}", whole.stdout)
    assert f"{2 * tasks} of {2 * tasks} scored" in whole.stdout
    refused(lachesis(*eval_words(adder), cwd=tmp_path), "sampling.temperature 1.0, not 0.0")


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_eval_that_was_stopped_keeps_what_was_scored(
    tmp_path: Path, adder: Adder, lachesis: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
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
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 130
    assert errors.strip() == "lachesis: stopped"
    kept, asked = len(rows_of(tmp_path / "s.jsonl")), len(adder.asked)
    assert 2 <= kept < 8
    adder.delay = 0.0
    assert lachesis(*words, cwd=tmp_path).returncode == 0
    assert len(adder.asked) - asked == 8 - kept
    assert len(rows_of(tmp_path / "s.jsonl")) == 8


def test_an_endpoint_that_is_gone_ends_in_one_line_and_exit_code_1(
    tmp_path: Path, lachesis: Callable[..., Any]
) -> None:
    words = ["eval", "arithmetic", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--tasks", "2", "--inline"]
    words += ["--rollout.retries", "0"]
    done = lachesis(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("lachesis: error: 2 tasks in a row could not be scored")
    assert not (tmp_path / "evals").exists()  # an evaluation without a score leaves no file


@pytest.mark.slow
def test_an_endpoint_is_reached_through_ray_workers_too(
    tmp_path: Path, adder: Adder, lachesis: Callable[..., Any]
) -> None:
    words = [word for word in eval_words(adder, "--tasks", "4", "--rollout.workers", "1") if word != "--inline"]
    done = lachesis(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 scored (0 before)" in done.stdout
    assert len(adder.asked) == 4


COMPARING = """
from lachesis import Environment, Task, group_reward, reward
from lachesis.verifiers.verdict import passed

class Comparing(Environment):
    def tasks(self, split, seed):
        yield from (Task(f"{n}+1=", answer=str(n + 1)) for n in range(3))

    async def run(self, episode):
        if episode.seed[-1] == 1 and episode.task.prompt == "0+1=":
            raise ValueError("not this one")
        chat = episode.chat()
        chat.add("user", episode.task.prompt)
        await chat.reply()

    @reward(weight=2.0)
    def short(self, case):
        return 1 / len(case.completion)

    @group_reward(weight=0.5)
    async def compared(self, cases):
        return [passed(score=float(len(cases))) for _ in cases]
"""


def test_an_endpoint_gets_group_rewards_and_attempts_keep_their_numbers(
    tmp_path: Path, adder: Adder, lachesis: Callable[..., Any]
) -> None:
    (tmp_path / "comparing.py").write_text(COMPARING)
    words = eval_words(
        adder, "--attempts", "3", "--temperature", "1", "--rollout.on_failure", "drop", use="comparing.py"
    )
    done = lachesis(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = {(row["task"]["prompt"], row["attempt"]) for row in rows_of(tmp_path / "s.jsonl")}
    assert made == {(f"{n}+1=", attempt) for n in range(3) for attempt in range(3)} - {("0+1=", 1)}
    assert "8 of 9 scored (0 before)" in done.stdout
    assert "1 were not scored; run the same command again" in done.stderr
    assert "compared" in done.stdout
    assert "no accuracy: the environment does not define success" in done.stdout
    again = lachesis(*words, cwd=tmp_path)
    assert "8 of 9 scored (8 before)" in again.stdout
    assert sum("0+1=" in question for question in adder.asked) == 4  # two attempts that reach the model, twice


@pytest.mark.slow
def test_eval_through_ray_says_in_one_line_that_the_model_cannot_be_loaded(
    tmp_path: Path, lachesis: Callable[..., Any]
) -> None:
    model = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64)
    (model / "config.json").write_text("{}")
    done = lachesis(
        "eval", "arithmetic", "--model", str(model), "--rollout.engines", "1", "--rollout.workers", "1", cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert "holds no causal language model" in done.stderr
    assert "_engine" not in done.stderr


SUITE = """
[[environments]]
use = "arithmetic"
config.digits = 1
label = "one digit"
tasks = 3
[[environments]]
use = "comparing.py"
attempts = 4
temperature = 0.5
[[environments]]
use = "arithmetic"
config.digits = 2
label = "two digits"
tasks = 2
"""


def test_a_suite_is_saved_in_one_file_and_goes_on(
    tmp_path: Path, adder: Adder, lachesis_here: Callable[..., Any]
) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "sums.toml").write_text(SUITE)
    (tmp_path / "suites" / "comparing.py").write_text(COMPARING)
    words = eval_words(adder, "--time-limit", "60", use="suites/sums.toml")
    prices = ["--endpoint.prices.prompt", "1000", "--endpoint.prices.completion", "500"]
    first = lachesis_here(*words, "--rollout.on_failure", "drop", *prices, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert [name for name in ("one digit", "comparing.py", "two digits") if f"\n{name}\n" in first.stdout] == [
        "one digit",
        "comparing.py",
        "two digits",
    ]
    assert "16 of 17 scored in all (0 before)" in first.stdout
    assert "160 prompt tokens and 32 completion tokens" in first.stdout
    assert f"${16 * (10 * 1000 + 2 * 500) / 1e6:.4f}" in first.stdout
    assert {row["environment"] for row in rows_of(tmp_path / "s.jsonl")} == {"one digit", "comparing.py", "two digits"}
    sampled = {body["temperature"] for body in adder.bodies}
    assert sampled == {0.0, 0.5}
    asked = len(adder.asked)
    assert "16 before" in lachesis_here(*words, "--rollout.on_failure", "drop", cwd=tmp_path).stdout
    assert len(adder.asked) == asked + 3  # the three attempts beside the one that failed
    again = lachesis_here("verify", "s.jsonl", cwd=tmp_path)
    assert "0 verdicts changed" in again.stdout, again.stderr


def test_pass_at_k_is_printed_for_several_attempts(
    tmp_path: Path, adder: Adder, lachesis_here: Callable[..., Any]
) -> None:
    done = lachesis_here(*eval_words(adder, "--attempts", "4", "--temperature", "1", "--tasks", "3"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = [line.split()[0] for line in done.stdout.splitlines() if "@" in line]
    assert shown == ["pass@2", "pass@4", "maj@4"]


def test_requests_have_the_fields_and_headers_that_were_asked_for_and_go_past_a_dead_endpoint(
    tmp_path: Path, adder: Adder, lachesis_here: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter22")
    words = eval_words(adder, "--url", "http://127.0.0.1:9/v1", "--tasks", "4")
    words += ["--sampling.top_p", "0.9", "--sampling.min_p", "0.1", "--sampling.stop", '["x"]']
    words += ["--endpoint.headers.X-Token", "$MY_TOKEN"]
    done = lachesis_here(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 of 4 scored" in done.stdout
    assert len(adder.asked) == 4
    for body, headers in zip(adder.bodies, adder.headers, strict=True):
        assert (body["top_p"], body["min_p"], body["stop"]) == (0.9, 0.1, ["x"])
        assert headers["X-Token"] == "hunter22"
    assert "hunter22" not in (tmp_path / "s.jsonl").read_text()


def test_the_time_limit_ends_an_evaluation_that_goes_on_later(
    tmp_path: Path, adder: Adder, lachesis_here: Callable[..., Any]
) -> None:
    adder.closed = True
    words = eval_words(adder, "--tasks", "2")
    done = lachesis_here(*words, "--time-limit", "0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 of 2 scored" in done.stdout
    assert "the time limit ended the evaluation; run the same command again to continue" in done.stderr
    adder.closed = False
    assert "2 of 2 scored" in lachesis_here(*words, cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ["--attempts", "2"],
            "at temperature 0 all 2 attempts are alike; give a temperature above 0 (--temperature 1)",
        ),
        (["--sampling.seed", "3"], "--sampling.seed is the option --seed here"),
        (["--endpoint.model", "x"], "--endpoint.model is not a setting here"),
        (["--endpoint.headers.A", "$UNSET_NAME"], "the environment variable UNSET_NAME, which is not set"),
        (["--agents.referee.trainable", "false"], "no environment has an agent 'referee'"),
        (["arithmetic"], "two environments are called 'arithmetic'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_with_the_cure(
    words: list[str], says: str, tmp_path: Path, adder: Adder, lachesis_here: Callable[..., Any], refused: Any
) -> None:
    refused(lachesis_here(*eval_words(adder, *words), cwd=tmp_path), says)
    assert not adder.asked


def test_the_context_comes_from_the_model_and_sampling_that_needs_an_endpoint_is_refused(
    tmp_path: Path, lachesis_here: Callable[..., Any], refused: Any
) -> None:
    build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=64)
    words = ["eval", "arithmetic", "--config.digits=1", "--model", "model", "--inline", "--tasks", "2"]
    words += ["--max-tokens", "3"]
    refused(lachesis_here(*words, "--sampling.effort", "9", cwd=tmp_path), "--sampling.effort needs an endpoint")
    done = lachesis_here(
        *words, "--sampling.top_k", "5", "--sampling.min_p", "0.1", "--sampling.stop", "x", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 scored" in done.stdout
    assert "prompt tokens and" in done.stdout


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("environments = []", "at least 1"),
        ("[[environments]]\nlabel = 'x'", "'environments.0.use' is missing"),
        ("[", "TOML"),
    ],
)
def test_a_suite_that_is_none_is_refused(
    text: str, says: str, tmp_path: Path, lachesis_here: Callable[..., Any], refused: Any
) -> None:
    (tmp_path / "bad.toml").write_text(text)
    refused(lachesis_here("eval", "bad.toml", "--model", "m", "--inline", cwd=tmp_path), "bad.toml", says)
