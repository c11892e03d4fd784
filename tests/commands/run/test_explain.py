"""``lachesis explain`` shows of each token what the trainer did with it."""

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lachesis.commands.cli import cli
from lachesis.commands.run.explain import explain, print_explanation, quoted
from lachesis.commands.sources.library import open_source
from lachesis.rollout.store import TrajectoryStore
from lachesis.trainer import train as main_job
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group

COLUMNS = ("texts", "sampled", "trained", "sampler", "trainer", "versions", "advantages")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = RunConfig.model_validate(
        {
            "out": str(tmp_path_factory.mktemp("runs")),
            "environments": [{"use": "arithmetic", "group_size": 4, "rubric": {"digits": 0.5}}],
            "model": {"path": "tiny", "context": 64, "tiny": {"hidden": 32, "layers": 1}},
            "rollout": {"inline": True, "slots": 32, "sampling": {"max_tokens": 5, "temperature": 0.9}},
            "warm_start": {"steps": 60, "batch": 32, "every": 60, "lr": 1e-2},
            "trainer": {"steps": 2, "prompts": 8, "lr": 1e-3},
            "eval": {"tasks": 4},
        }
    )
    folder = RunFolder.create(config)
    try:
        asyncio.run(main_job.train(config, config.build_environments(), folder, Progress(2, quiet=True)))
    finally:
        folder.close()
    return folder.path


def test_what_is_explained_is_what_was_trained(run: Path) -> None:
    stored = list(TrajectoryStore(run / "trajectories.jsonl.zst").read())
    source = open_source(run)
    learned = idle = 0
    for one in stored:
        found = explain(source, f"{one.group}/{one.attempt}")
        group_ = [other.trajectory for other in stored if other.group == one.group]
        assert found["step"] == one.step
        assert found["group_totals"] == [{"policy": made.rewards["policy"].total} for made in group_]
        group = Group(one.group, one.trajectory.task, tuple(group_))
        expected = compute_advantages([group], "grpo").of(0, one.attempt, "policy")
        (segment,) = found["segments"]
        rows = [dict(zip(COLUMNS, row, strict=True)) for row in zip(*(segment[name] for name in COLUMNS), strict=True)]
        assert "".join(row["texts"] for row in rows if row["sampled"]).startswith(one.trajectory.completion())
        for row in rows:
            if not row["trained"]:
                assert row["sampler"] is row["trainer"] is row["advantages"] is row["versions"] is None
                continue
            assert row["advantages"] == pytest.approx(expected, abs=1e-3)
            assert row["versions"] >= 0
            if row["advantages"]:
                assert row["trainer"] == pytest.approx(row["sampler"], abs=1e-4)
                learned += 1
            else:
                assert row["trainer"] is None  # nothing was to be learned, so nothing was computed
                idle += 1
    assert learned
    assert idle


def test_the_command_shows_rewards_and_tokens_and_lists_what_there_is(run: Path) -> None:
    runner = CliRunner(env={"COLUMNS": "160"})
    listed = runner.invoke(cli, ["explain", str(run)])
    assert listed.exit_code == 0, listed.output
    assert "steps: 1 to 2" in listed.output
    name = next(line.split()[0] for line in listed.output.splitlines() if "/" in line.split()[0])
    shown = runner.invoke(cli, ["explain", str(run), name]).output
    tokens = runner.invoke(cli, ["explain", str(run), name, "--tokens"]).output
    sampled = runner.invoke(cli, ["explain", str(run), name, "--sampled"]).output
    for words in ("of step 2: arithmetic", "user", "assistant", "digits", "its group earned"):
        assert words in shown
    assert shown.index("assistant") < shown.index("reward of policy")
    assert "<|im_end|>" not in shown
    for words in ("trained", '"<|im_end|>"', '"<|im_start|>"'):
        assert words in tokens
    assert '"<|im_start|>"' not in sampled
    assert len(shown.splitlines()) < len(sampled.splitlines()) < len(tokens.splitlines())
    row = json.loads(runner.invoke(cli, ["explain", str(run), name, "--json"]).output)
    assert f"{row['group']}/{row['attempt']}" == name


def test_several_segments_of_an_agent_are_said_and_all_of_them_can_be_shown(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = explain(open_source(run), "0/0")
    (segment,) = page["segments"]
    page["segments"] = [segment, {**segment, "agent": "guest"}]
    print_explanation(page, tokens=False, context=True, whole=False)
    assert "--all" not in capsys.readouterr().out
    page["segments"] = [segment, {**segment, "texts": None}]
    print_explanation(page, tokens=False, context=True, whole=False)
    assert "the tokens of policy are in 2 segments, each with its own history; --all shows" in capsys.readouterr().out
    print_explanation(page, tokens=False, context=True, whole=True)
    shown = capsys.readouterr().out
    assert [f"segment {number} of policy" in shown for number in (0, 1, 2)] == [True, True, False]
    assert (
        "".join(segment["texts"]).split()
        == shown.partition("segment 0 of policy")[2].partition("\nsegment 1")[0].split()
    )
    assert "its text is missing because the model's tokenizer is not here" in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["first"], "GROUP/ATTEMPT, such as 12/0, found 'first'; lachesis explain"),
        (["999/0"], "has no trajectory 999/0"),
        (["--step", "9"], "no trajectories of step 9; it has 1 to 2"),
    ],
)
def test_what_is_not_there_is_said_with_the_cure(run: Path, words: list[str], says: str) -> None:
    result = CliRunner().invoke(cli, ["explain", str(run), *words])
    assert isinstance(result.exception, ConfigError)
    assert says in str(result.exception)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a run's folder"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("text", "shown"), [(" a\n", '" a\\n"'), ("é", '"é"'), ("\x1b[2J", '"\\u001b[2J"'), ('"', '"\\""')]
)
def test_a_tokens_text_is_escaped(text: str, shown: str) -> None:
    assert quoted(text) == shown
