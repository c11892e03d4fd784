"""``lachesis gateway``: a real process that is used by a real client, killed, and started again."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
from click.testing import CliRunner
from huggingface_hub import constants

from lachesis.commands.cli import cli
from lachesis.commands.serve.gateway import RecordingFile
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model"), hidden=16, layers=1, heads=2)


@contextmanager
def gateway(*options: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The process, and the variables that it prints."""
    command = [sys.executable, "-m", "lachesis.commands.cli", "gateway", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            printed: list[str] = []
            while not printed or not printed[-1].startswith("model "):
                line = process.stdout.readline()
                assert line, printed
                printed.append(line.strip())
            yield process, dict(line.split("=", 1) for line in printed if "=" in line)
        finally:
            process.kill()


def ask(variables: dict[str, str], text: str) -> Any:
    client = openai.OpenAI(base_url=variables["OPENAI_BASE_URL"], api_key=variables["OPENAI_API_KEY"])
    return client.chat.completions.create(model="policy", messages=[{"role": "user", "content": text}], max_tokens=5)


def run(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_gateway_records_what_comes_also_if_it_is_killed_and_started_again(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "folder" / "gateway.jsonl"
    options = ("--model", str(model), "--out", str(out), "--context", "512")
    with gateway(*options) as (process, variables):
        answer = ask(variables, "hello")
        assert answer.usage.completion_tokens == 5
        while not out.exists():
            assert process.poll() is None
        process.kill()
    with gateway(*options) as (process, again):
        ask(again, "hi")
        ask(again, "and who are you?")  # another conversation
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()[1:]]
    assert [row["attempt"] for row in rows] == [0, 1]
    assert [row["artifacts"]["proof"]["trained"] for row in rows] == [5, 10]
    assert [sum(segment["mask"]) for row in rows for segment in row["segments"]] == [5, 5, 5]
    assert not any(used["OPENAI_API_KEY"] in out.read_text() for used in (variables, again))
    assert "0/0" in run("explain", str(out))
    assert "trained" in run("explain", str(out), "0/0", "--tokens")
    assert "--all" not in run("explain", str(out), "0/0")
    (last,) = (line for line in run("explain", str(out), "1/1").splitlines() if "--all" in line)
    assert last == "this is one of 2 conversations in the recording; --all shows all of them"
    every = run("explain", str(out), "1/1", "--all")
    assert re.findall(r"conversation (\d) of 2, of agent (\d)", every) == [("1", "0"), ("2", "1")]
    assert every.count("\nhi\n") == every.count("\nand who are you?\n") == 1


@pytest.mark.parametrize("content", ["no json\n", '{"header": {}}\n', '{"header": {"environments": {"gsm8k": {}}}}\n'])
def test_a_file_that_is_no_recording_is_left_alone(model: Path, tmp_path: Path, content: str) -> None:
    out = tmp_path / "scores.jsonl"
    out.write_text(content)
    result = CliRunner().invoke(cli, ["gateway", "--model", str(model), "--out", str(out)])
    assert result.exit_code != 0
    assert "choose another --out" in str(result.exception)
    assert out.read_text() == content


def test_a_model_that_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    result = CliRunner().invoke(cli, ["gateway", "--model", str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert "there is no model folder" in str(result.exception)


def test_an_engine_that_does_not_exist_is_one_line_with_the_cure(model: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli, ["gateway", "--model", str(model), "--out", str(tmp_path / "a"), "--engine", "vlm"]
    )
    assert isinstance(result.exception, ConfigError)
    assert "lachesis gateway: 'engine': no engine is named 'vlm'; did you mean 'vllm'?" in str(result.exception)


def test_two_gateways_never_record_to_one_file(tmp_path: Path) -> None:
    first = RecordingFile(tmp_path / "out.jsonl", "policy", "model")
    with pytest.raises(ConfigError, match="another gateway records to"):
        RecordingFile(tmp_path / "out.jsonl", "policy", "model")
    assert first
