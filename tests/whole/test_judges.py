"""A judge in a rubric works in training, evaluation, verify and replay, and a reply that it judged costs no more."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from lachesis.commands.cli import cli

SOURCE = """
from lachesis import Environment, Rubric, Task, use

class Kind(Environment):
    rubric = Rubric(use("judge", url="{url}", model="judge", rubric="It is kind.", labels={{"kind": 1, "rude": 0}}))

    def tasks(self, split, seed):
        for number in range(seed, seed + 20):
            yield Task(f"{{split}} {{number}}: be kind.", answer="Dear friend.")
"""
RUN = """
name = "kind"
environments = [{ use = "kind.py", group_size = 4 }]
model = { context = 128, tiny = { hidden = 32, layers = 1 } }
rollout = { inline = true, slots = 16, sampling = { max_tokens = 4 } }
trainer = { steps = 1, prompts = 2 }
eval = { tasks = 2 }
warm_start = { steps = 0 }
"""


class Endpoint(BaseHTTPRequestHandler):
    """Plays the agent, who is kind on even tasks, and the judge."""

    judged = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        if body["model"] == "judge":
            type(self).judged += 1
            nonce = re.findall(r"VERDICT (\w+): X", text)[-1]
            reply = re.findall(r"REPLY\n((?s:.*?))\n\w{16}>>>", text)[-1]
            kind = "Dear" in reply or len(reply) % 2
            said = f"VERDICT {nonce}: {'kind' if kind else 'rude'}"
        else:
            said = "Dear friend." if int(re.findall(r"\d+", text)[0]) % 2 == 0 else "Go away."
        answer = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "kind.py").write_text(SOURCE.format(url=url))
    return tmp_path


def lachesis(*words: str) -> str:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(cli, words)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_an_evaluation_is_judged_and_scored_again_and_replayed_without_a_call(folder: Path, url: str) -> None:
    said = lachesis(
        "eval", "kind.py", "--url", url, "--model", "agent", "--tasks", "4", "--inline", "--out", "scores.jsonl"
    )
    assert re.search(r"accuracy +0\.5", said), said
    judged = Endpoint.judged
    assert judged >= 4
    assert "0 verdicts changed" in lachesis("verify", "scores.jsonl")
    lachesis("replay", "scores.jsonl")
    assert Endpoint.judged == judged


def test_a_run_trains_on_a_judge_and_its_trajectories_are_scored_again_without_a_call(folder: Path) -> None:
    (folder / "run.toml").write_text(RUN)
    before = Endpoint.judged
    lachesis("train", "run.toml")
    judged = Endpoint.judged
    assert judged > before
    said = lachesis("verify", "runs/kind-1")
    assert "8 trajectories, 0 verdicts changed" in said
    assert Endpoint.judged == judged
