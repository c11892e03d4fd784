"""The command line as a user meets it: help, exit codes, and errors in one line."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lachesis.commands.cli import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]

ENVIRONMENT = """
from lachesis import Environment, Task
class Own(Environment):
    def tasks(self, split, seed):
        return {}
"""


def test_help_names_every_command_and_costs_no_heavy_import(tmp_path: Path, lachesis: Callable[..., Any]) -> None:
    done = lachesis("--help", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for command in ("train", "eval", "verify", "envs", "doctor"):
        assert f"  {command} " in done.stdout
    for heavy in ("torch", "ray", "vllm", "numpy", "pydantic", "sympy", "transformers", "rich"):
        assert f" {heavy}\n" not in done.stderr


def test_each_summary_is_the_first_line_of_the_commands_own_help() -> None:
    assert set(cli.commands) == set(COMMANDS)
    for name, entry in COMMANDS.items():
        command = cli.commands[name]
        assert command.name == name
        assert (command.help or "").splitlines()[0] == entry.summary


def test_the_command_that_the_guide_adds_works() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    made: dict[str, Any] = {"__package__": "lachesis.commands.author"}
    exec(source, made)
    done = CliRunner().invoke(made["command"], ["Ada"])
    assert (done.exit_code, done.output) == (0, "Hello, Ada.\n")
    (entry,) = re.findall(r"`(\".*?\"): Entry\((.*?)\),`", text)
    assert ast.literal_eval(entry[0]) == made["command"].name
    assert ast.literal_eval(entry[1]) == ("author.greet", (made["command"].help or "").splitlines()[0])


def test_no_commands_help_waits_for_torch_or_ray() -> None:
    code = """
import sys
from lachesis.commands.cli import cli
for name in cli.commands:
    cli.main([name, "--help"], standalone_mode=False)
print([name for name in ("torch", "transformers", "ray", "vllm", "sympy") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["train"], ["takes one CONFIG file, found none"]),
        (["train", "none.toml"], ["cannot read the config none.toml"]),
        (["train", "."], ["cannot read the config ."]),
        (["train", "a.toml", "b.toml"], ["found 2: a.toml b.toml"]),
        (["train", "toy.toml", "--trainer.stepz", "3"], ["unknown key 'trainer.stepz'", "did you mean 'steps'"]),
        (["train", "toy.toml", "--trainer.lr", "fast"], ["--trainer.lr: ", "found 'fast'"]),
        (["train", "toy.toml", "--trainer.lr=-1"], ["--trainer.lr: ", "greater than 0"]),
        (["train", "toy.toml", "--environments.²", "3"], ["'²' is not one of the 1 entries"]),
        (["train", "toy.toml", "--name", '"\\u0000"'], ["--name: ", "cannot be stored"]),
        (["train", "toy.toml", "--name", "a/b"], ["--name: ", "without /", "found 'a/b'"]),
        (["train", "toy.toml", "--eval.stop_at", "true"], ["--eval.stop_at: ", "a number is needed"]),
        (["train", "deep.toml"], ["deep.toml is not TOML"]),
        (["train", "toy.toml", "--environments.0.use", "arithmetik"], ["did you mean 'arithmetic'"]),
        (["train", "toy.toml", "--environments.0.use", "./none.py"], ["cannot read the environment ./none.py"]),
        (["train", "toy.toml", "--environments.0.config.digit", "3"], ["did you mean 'digits'"]),
        (["train", "toy.toml", "--environments.0.rubric.exat", "3"], ["did you mean 'exact'"]),
        (["train", "toy.toml", "--resum", "x"], ["no option --resum", "did you mean '--resume'"]),
        (["train", "--resume", "nowhere"], ["nowhere"]),
        (["train", "toy.toml", "--model.path", "./nomodel"], ["there is no model folder ./nomodel"]),
        (["trian"], ["no command is named 'trian'; did you mean 'train'?"]),
        (["verify", "none.jsonl"], ["cannot read none.jsonl"]),
        (["verify", "."], ["holds no trajectories"]),
        (["eval"], ["eval needs an environment"]),
        (["eval", "arithmetic"], ["needs --model"]),
        (["eval", "arithmetik", "--model", "m"], ["did you mean 'arithmetic'"]),
        (["eval", "arithmetic", "--model", "m", "--config.digitz", "1"], ["did you mean 'digits'"]),
        (["eval", "arithmetic", "--model", "m", "--rollout.slot", "1"], ["did you mean 'slots'"]),
        (["eval", "arithmetic", "--model", "m", "--url", "host:1"], ["http(s)://", "host:1"]),
        (["eval", "arithmetic", "--model", "./nomodel", "--inline"], ["there is no model folder ./nomodel"]),
        (["check", "arithmetic", "--tokenizer", "./nomodel"], ["there is no model folder ./nomodel"]),
        (["eval", "gsm8k", "--model", "m", "--config.path", "empty.jsonl"], ["empty.jsonl", "no problems"]),
        (["eval", "gsm8k", "--model", "m", "--config.path", "bad.jsonl"], ["bad.jsonl, line 1"]),
        (["eval", "arithmetic", "--model", "m", "--tasks", "0"], ["--tasks"]),
        (["doctor", "--jsno"], ["--jsno", "--json"]),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    config: Path, words: list[str], parts: list[str], lachesis_here: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    folder = config.parent
    (folder / "bad.jsonl").write_text('{"verifier": "exact", "completion": "", "answer": ""}\n{half\n')
    (folder / "empty.jsonl").write_text("")
    (folder / "deep.toml").write_text("a = " + "[" * 100_000)
    refused(lachesis_here(*words, cwd=folder), *parts)


def test_a_bug_is_one_line_and_its_traceback_on_request(
    tmp_path: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    (tmp_path / "odd.py").write_text(ENVIRONMENT.format("1 / 0"))
    words = ("eval", "odd.py", "--model", "m")
    refused(lachesis(*words, cwd=tmp_path), "ZeroDivisionError", "odd.py, line 5", code=1)
    assert "Traceback" in lachesis(*words, cwd=tmp_path, LACHESIS_DEBUG="1").stderr


def test_envs_lists_what_is_there(tmp_path: Path, lachesis: Callable[..., Any]) -> None:
    environments, verifiers = lachesis("envs", cwd=tmp_path), lachesis("envs", "--verifiers", cwd=tmp_path)
    assert environments.returncode == verifiers.returncode == 0
    for part in ("arithmetic", "gsm8k", "digits = 2", "system_prompt"):
        assert part in environments.stdout
    for part in ("exact", "number", "math", "format", "ignore_case = False", "tolerance = 0.0"):
        assert part in verifiers.stdout


def test_an_image_without_docker_is_refused_with_the_cure(
    tmp_path: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    done = lachesis("doctor", "--build-image", cwd=tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock")
    refused(done, "Docker does not answer", "start it")
