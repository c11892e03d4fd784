"""Recorded replies played again: the shipped environments give what they gave; every change is seen."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lachesis.commands.cli import cli
from lachesis.commands.replay.episodes import record, replay
from lachesis.verifiers.errors import ConfigError, DataError

GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("*.jsonl"))

SOURCE = """
from lachesis import Environment, Rubric, Task, use

class Twice(Environment):
    rubric = Rubric(use("exact"))

    def tasks(self, split, seed):
        for number in range(seed, seed + 20):
            yield Task(f"{split} {number} twice?", answer=str(2 * number))

    async def run(self, episode):
        chat = episode.chat()
        chat.add("user", episode.task.prompt)
        await chat.reply()
        chat.add("user", f"Sure? {episode.rng.randrange(1000)}")
        await chat.reply()

    def demonstration(self, task):
        return ["maybe", task.answer]
"""


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_was_recorded_of_shipped_environments_comes_out_the_same(path: Path) -> None:
    assert replay(path, jobs=4) == 0


def test_there_is_a_golden_file_of_each_kind() -> None:
    assert {"arithmetic", "answer_format", "calculator", "puzzles", "sql", "tic_tac_toe"} == {
        path.stem for path in GOLDEN
    }


def said(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(cli, ["replay", *words])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('use("exact")', 'use("exact", weight=2.0)', ["rewards.policy.total: 1.0 → 2.0"]),
        ("2 * number", "2 * number + 1", []),  # the task is recorded, too
        ('use("exact")', 'use("regex", pattern="maybe")', ["rewards.policy.parts.exact", "rewards.policy.parts.regex"]),
        ("Sure?", "Really?", ['messages.policy[2].content: "Sure?', "Really?"]),
        (
            '        await chat.reply()\n        chat.add("user", f',
            '        chat.add("user", f',
            ["metrics.turns: 2.0 → 1.0"],
        ),
        ("randrange(1000)", "randrange(1000) // 0", ['stop: "done" → "environment_error"', "ZeroDivisionError"]),
    ],
)
def test_a_change_of_the_environment_is_shown_by_its_place(tmp_path: Path, old: str, new: str, says: list[str]) -> None:
    source, golden = tmp_path / "twice.py", str(tmp_path / "golden.jsonl")
    source.write_text(SOURCE)
    made = said(golden, "--record", str(source), "--tasks", "4")
    assert made.exit_code == 0, made.output
    assert "8 episodes recorded" in made.output
    assert "8 episodes played again, 0 with a different result" in said(golden).output
    assert old in SOURCE
    source.write_text(SOURCE.replace(old, new))
    result = said(golden)
    assert result.exit_code == (1 if says else 0), result.output
    for words in says:
        assert words in result.output


def test_a_runs_stored_replies_are_played_again(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "environments": [{"use": "calculator", "config": {"show_tools": False, "digits": 1}}],
        "model": {"path": "tiny", "context": 256, "tiny": {"hidden": 32, "layers": 1}},
        "rollout": {"inline": True, "slots": 16, "sampling": {"max_tokens": 40}},
        "warm_start": {"steps": 30, "batch": 16, "every": 30, "lr": 1e-2},
        "trainer": {"steps": 1, "prompts": 4},
        "eval": {"tasks": 2},
    }
    (tmp_path / "run.toml").write_text("\n".join(f"{key} = {_toml(value)}" for key, value in config.items()))
    trained = CliRunner().invoke(cli, ["train", str(tmp_path / "run.toml"), "--out", str(tmp_path)])
    assert trained.exit_code == 0, trained.output
    run = str(tmp_path / "run-1")
    result = said(run)
    assert result.exit_code == 0, result.output
    assert "32 episodes played again, 0 with a different result" in result.output
    golden = str(tmp_path / "golden.jsonl")
    assert "5 episodes recorded" in said(golden, "--record", run, "--tasks", "5").output
    assert said(golden).exit_code == 0


DROPS = """
from lachesis import Environment, Rubric, Task, group_reward, use
from lachesis.verifiers.verdict import passed

class Drops(Environment):
    rubric = Rubric(use("exact"))

    def tasks(self, split, seed):
        yield from (Task([{"role": "assistant", "content": "an example"}, {"role": "user", "content": f"{n}+1="}],
                         answer=str(n + 1)) for n in range(9))

    async def run(self, episode):
        if episode.seed[-1] == 1:
            raise ValueError("not this one")
        chat = episode.chat()
        for message in episode.task.messages:
            chat.add(**message)
        chat.add("user", f"lucky {episode.rng.random()}")
        await chat.reply()

    @group_reward(weight=0.5)
    async def rare(self, cases):
        return [passed(score=float(number)) for number, _ in enumerate(cases)]
"""


def test_what_was_judged_over_a_group_and_attempts_that_were_left_out_are_no_changes(tmp_path: Path) -> None:
    (tmp_path / "drops.py").write_text(DROPS)
    config: dict[str, Any] = {
        "environments": [{"use": f"{tmp_path}/drops.py", "group_size": 4}],
        "model": {"path": "tiny", "context": 64, "tiny": {"hidden": 32, "layers": 1}},
        "rollout": {"inline": True, "slots": 16, "on_failure": "drop", "sampling": {"max_tokens": 4}},
        "trainer": {"steps": 1, "prompts": 2},
        "eval": {"tasks": 2},
    }
    (tmp_path / "run.toml").write_text("\n".join(f"{key} = {_toml(value)}" for key, value in config.items()))
    trained = CliRunner().invoke(cli, ["train", str(tmp_path / "run.toml"), "--out", str(tmp_path)])
    assert trained.exit_code == 0, trained.output
    result = said(str(tmp_path / "run-1"))
    assert "6 episodes played again, 0 with a different result" in result.output
    assert result.exit_code == 0


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def test_what_cannot_be_replayed_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or run"):
        replay(tmp_path / "nowhere", 1)
    (tmp_path / "rows.jsonl").write_text('{"environment": {}}\n')
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1: not a recording"):
        replay(tmp_path / "rows.jsonl", 1)
    with pytest.raises(ConfigError, match="exists; remove it"):
        record(tmp_path / "rows.jsonl", "arithmetic", 1, {})
    with pytest.raises(ConfigError, match="did you mean 'arithmetic'"):
        record(tmp_path / "new.jsonl", "arithmetik", 1, {})
