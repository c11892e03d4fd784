"""New environments: packages that can be installed, names that can be modules, nothing overwritten."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.author.new import check_name, scaffold
from lachesis.environments.loading import describe
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.trainer.config import load_config
from lachesis.verifiers.errors import ConfigError


def test_it_writes_an_environment_its_test_and_a_readme_and_the_environment_loads(tmp_path: Path) -> None:
    paths = scaffold("word_chain", tmp_path / "new")
    assert [path.name for path in paths] == ["word_chain.py", "test_word_chain.py", "pyproject.toml", "README.md"]
    assert "$" not in "".join(path.read_text() for path in paths)
    environment = describe(str(paths[0]), config={"count": 5}).build()
    assert type(environment).__name__ == "WordChain"
    task = next(iter(environment.tasks("test", 0)))
    assert environment.score(task, str(task.answer)).total == 1.0


def test_every_command_of_the_readme_that_it_writes_runs_and_installs_the_environment_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lachesis_here: Callable[..., Any]
) -> None:
    model = build_tiny_model(tmp_path / "model", hidden=32, layers=1, context=256)
    small = {"eval": " --tasks 2 --max-tokens 4 --model.context 256", "check": " --tasks 4"}
    made = lachesis_here("new", "long_words", cwd=tmp_path)
    assert (made.returncode, len(made.stdout.splitlines())) == (0, 4)
    folder = tmp_path / "long_words"
    *shown, use = re.findall(
        r"^```(?:bash|toml)\n(.*?)^```", (folder / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    lines = [line.replace("MODEL", str(model)) for block in shown for line in block.splitlines()]
    ran = []
    for line in lines:
        program, *words = shlex.split(line)
        if program == "lachesis":
            done = lachesis_here(*words, *small[words[0]].split(), cwd=folder)
        else:
            if words == ["install", "-e", "."]:  # neither the network nor this interpreter's own packages are touched
                words = ["install", "--no-build-isolation", "--no-deps", "--no-index", "--target", "../site", "."]
                monkeypatch.syspath_prepend(tmp_path / "site")
            done = subprocess.run(
                [sys.executable, "-m", program, *words],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        ran.append(" ".join([program, *words[:2]]))
    assert ran[-1] == "lachesis check long_words"
    assert len(ran) == 5
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    listed = lachesis_here("envs", cwd=elsewhere).stdout
    assert re.search(r"long_words .* The largest of some numbers\. .* count = 3", listed)
    (elsewhere / "run.toml").write_text(use)
    assert load_config(elsewhere / "run.toml").build_environments()[0].label == "long_words"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "file").write_text("kept")
    for name in ("mine", "file"):
        with pytest.raises(ConfigError, match="exists already"):
            scaffold(name, tmp_path)
    assert list((tmp_path / "mine").iterdir()) == []
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Word", "lower-case"),
        ("word-chain", "lower-case"),
        ("../up", "lower-case"),
        ("", "lower-case"),
        ("w" * 65, "lower-case"),
        ("wörter", "lower-case"),
        ("class", "Python keyword"),
        ("match", "Python keyword"),
        ("random", "would hide"),
        ("lachesis", "would hide"),
        ("test_me", "would hide"),
        ("arithmetic", "already"),
    ],
)
def test_names_that_cannot_be_are_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_name(name)
