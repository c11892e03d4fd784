"""What ``eval`` wrote can be scored and played again: with the same seeds, and differences are found."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.rollout.models.tiny import build_tiny_model

Run = Callable[..., Any]

ENVIRONMENT = """
from lachesis import Environment, Task, reward


class Dice(Environment):
    def tasks(self, split, seed):
        for number in range(12):
            yield Task(f"Guess {number}.", answer=str(number))

    async def run(self, episode):
        chat = episode.chat()
        chat.add("user", f"{episode.task.prompt} Roll {episode.rng.random():.9f}")
        await chat.reply()

    @reward()
    def lucky(self, case):
        return float(len(case.completion) % 2)
"""


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory, lachesis: Run) -> Path:
    folder = tmp_path_factory.mktemp("dice")
    (folder / "dice.py").write_text(ENVIRONMENT)
    words = ["eval", "dice.py", "--model", "model", "--inline", "--tasks", "12", "--attempts", "2", "--max-tokens", "3"]
    words += ["--temperature", "1", "--model.context", "128", "--out", "dice.jsonl", "--seed", "5"]
    build_tiny_model(folder / "model", hidden=32, layers=1, context=128)
    done = lachesis(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "dice.jsonl"


def test_the_replies_of_an_evaluation_are_played_again_with_their_seeds(evaluation: Path, lachesis_here: Run) -> None:
    done = lachesis_here("replay", "dice.jsonl", cwd=evaluation.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "24 episodes played again, 0 with a different result" in done.stdout


def test_an_evaluation_is_scored_again_and_a_change_is_shown(evaluation: Path, lachesis_here: Run) -> None:
    assert "24 trajectories, 0 verdicts changed" in lachesis_here("verify", "dice.jsonl", cwd=evaluation.parent).stdout
    lines = evaluation.read_text().splitlines()
    row = json.loads(lines[1])
    verdict = row["rewards"]["policy"]["components"][0]
    verdict["score"] = 0.5
    changed = evaluation.with_name("changed.jsonl")
    changed.write_text("\n".join([lines[0], json.dumps(row), *lines[2:]]) + "\n")
    done = lachesis_here("verify", "changed.jsonl", "-o", "changes.jsonl", cwd=evaluation.parent)
    assert "24 trajectories, 1 verdicts changed" in done.stdout
    (change,) = map(json.loads, (evaluation.parent / "changes.jsonl").read_text().splitlines())
    assert change["label"] == "lucky"
    assert change["where"].startswith("group 0, attempt ")


def test_explain_and_view_find_it(evaluation: Path, lachesis_here: Run) -> None:
    done = lachesis_here("explain", "dice.jsonl", "0/1", cwd=evaluation.parent)
    assert done.returncode == 0, done.stderr
    assert "reward of policy" in done.stdout
    assert "Roll 0." in done.stdout
