"""``lachesis serve-reward``: a folder is served until a signal comes, and what cannot be served is refused."""

import json
import os
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from lachesis.commands.serve.serve_reward import command
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError

from ...ports import free_port


def test_a_folder_is_served_until_a_signal_comes(tiny_reward_model: Path) -> None:
    port = free_port()
    answers = []

    def ask() -> None:
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "Hi"}]}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{port}/classify", body)
        for _ in range(4000):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    answers.append(json.loads(answer.read()))
                break
            except OSError:
                time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    done = CliRunner().invoke(command, [str(tiny_reward_model), "--port", str(port), "--device", "cpu"])
    thread.join()
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"listening on http://127.0.0.1:{port}; ")
    assert "with 1 output, at most 512 tokens" in done.output
    (row,) = answers[0]["data"]
    assert (row["num_classes"], row["label"], answers[0]["usage"]["prompt_tokens"] > 3) == (1, "LABEL_0", True)
    assert 0 < row["probs"][0] < 1


def test_what_cannot_be_served_is_refused(tmp_path: Path) -> None:
    build_tiny_model(tmp_path, hidden=32, layers=1)
    for words, message in (
        ([str(tmp_path), "--host", "0.0.0.0"], "can be reached from outside"),
        ([str(tmp_path), "--device", "cpu"], "so its outputs would be random"),
        ([str(tmp_path / "gone"), "--device", "cpu"], "holds no"),
    ):
        done = CliRunner().invoke(command, words)
        assert isinstance(done.exception, ConfigError)
        with pytest.raises(ConfigError, match=message):
            raise done.exception
