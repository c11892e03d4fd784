"""A run that is under way is shown and steered from outside, and says what it did or why not."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lachesis.commands.cli import cli
from lachesis.commands.run import control as client
from lachesis.trainer.config import RunConfig
from lachesis.trainer.run.control.mailbox import Mailbox
from lachesis.trainer.run.progress import Progress
from lachesis.trainer.run.storage.checkpoint import sealed
from lachesis.trainer.run.storage.folder import RunFolder
from lachesis.trainer.train import train
from lachesis.verifiers.errors import LachesisError

SETTINGS: dict[str, Any] = {
    "name": "toy",
    "environments": [{"use": "arithmetic", "group_size": 4, "config": {"digits": 1}}],
    "model": {"path": "tiny", "context": 32, "tiny": {"hidden": 32, "layers": 1}},
    "rollout": {"inline": True, "slots": 16, "staleness": 1, "sampling": {"max_tokens": 4}},
    "trainer": {"steps": 100_000, "prompts": 4, "lr": 1e-3, "checkpoint_every": 100_000},
    "eval": {"every": 0, "tasks": 2},
    "logging": {"sinks": []},
    "control": {"bounds": {"rollout.staleness": [1, 3]}},
}


class LiveRun:
    """A run that trains in a thread of this process."""

    def __init__(self, out: Path, resume: Path | None = None, steps: int = 100_000) -> None:
        trainer = {**SETTINGS["trainer"], "steps": steps}
        self.config = RunConfig.model_validate({**SETTINGS, "trainer": trainer, "out": str(out)})
        self.folder = RunFolder.open(resume) if resume else RunFolder.create(self.config)
        self.path, self._resumed = self.folder.path, resume is not None
        self.ended: BaseException | dict[str, Any] | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.ended = asyncio.run(self._train())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.ended = error
        finally:
            self.folder.close()

    async def _train(self) -> dict[str, Any]:
        self._task, self._loop = asyncio.current_task(), asyncio.get_running_loop()
        progress = Progress(self.config.trainer.steps, quiet=True)
        return await train(self.config, self.config.build_environments(), self.folder, progress, resume=self._resumed)

    def interrupt(self) -> None:
        """Stop it as Ctrl-C does."""
        assert self._task is not None
        self._loop.call_soon_threadsafe(self._task.cancel)

    def join(self) -> Any:
        """Wait for its end; its summary or its error."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        return self.ended

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / "metrics.jsonl").read_text().splitlines()]

    def commands(self) -> list[dict[str, Any]]:
        """What the event log says of commands."""
        events = [json.loads(line) for line in (self.path / "events.jsonl").read_text().splitlines()]
        return [event for event in events if event["event"] == "control"]


def said(run: Path, *words: str) -> Result:
    return CliRunner(env={"COLUMNS": "300"}).invoke(cli, ["control", str(run), *words])


def text(run: Path, *words: str) -> str:
    """What a command printed; it succeeded."""
    result = said(run, *words)
    assert result.exception is None, result.exception
    return result.stdout.removeprefix(f"{run}: ").strip()


def refusal(run: Path, *words: str) -> str:
    result = said(run, *words)
    assert isinstance(result.exception, LachesisError), result.stdout
    return str(result.exception)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveRun]:
    run = LiveRun(tmp_path_factory.mktemp("live"))
    yield run
    run.interrupt()
    run.join()


@pytest.fixture
def paused(live: LiveRun) -> Iterator[Path]:
    text(live.path, "pause")
    yield live.path
    text(live.path, "resume")


def state(run: Path) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(text(run, "show", "--json"))
    return shown


def test_a_paused_run_takes_no_step_and_goes_on_when_it_is_told_to(live: LiveRun) -> None:
    step = int(text(live.path, "pause").rpartition(" ")[2])
    assert (state(live.path)["step"], state(live.path)["paused"]) == (step, True)
    assert f"step {step} of 100000, paused" in text(live.path)
    assert text(live.path, "resume") == f"goes on after step {step}"
    assert int(text(live.path, "pause").rpartition(" ")[2]) >= step
    text(live.path, "resume")


def test_a_setting_changes_from_the_next_step_on_and_is_kept_in_the_config(paused: Path, live: LiveRun) -> None:
    step = state(paused)["step"] + 1
    assert text(paused, "set", "trainer.lr", "2e-3") == f"trainer.lr is 0.002 from step {step} on; it was 0.001"
    assert text(paused, "set", "trainer.lr", "2e-3") == "trainer.lr is 0.002 already"
    assert text(paused, "set", "rollout.staleness", "3") == (
        "rollout.staleness is 3 for groups that are admitted from now on; it was 1"
    )
    assert "max_tokens is 3" in text(paused, "set", "rollout.sampling.max_tokens", "3")
    kept = RunConfig.model_validate(live.config.model_dump() | _read(paused))
    assert (kept.trainer.lr, kept.rollout.staleness, kept.rollout.sampling.max_tokens) == (2e-3, 3, 3)
    assert kept.eval.max_tokens == 4, "evaluations can be compared with those before"
    text(paused, "resume")
    while state(paused)["step"] < step + 6:
        pass
    text(paused, "pause")
    rows = {row["step"]: row for row in live.rows()}
    assert [rows[step - 1]["lr"], rows[step]["lr"]] == [1e-3, 2e-3]
    assert max(rows[number]["staleness"] for number in rows if number > step) > 1
    assert rows[step + 5]["tokens/reply_most"] <= 3, "all of its groups were admitted after the change"


def _read(run: Path) -> dict[str, Any]:
    import tomllib

    return tomllib.loads((run / "config.toml").read_text())


def test_a_checkpoint_is_complete_when_the_answer_comes_and_is_written_once_for_a_step(paused: Path) -> None:
    step = state(paused)["step"]
    assert text(paused, "checkpoint") == f"the checkpoint of step {step} is complete"
    assert sealed(paused / "checkpoints")[0].name == f"step-{step:06d}"
    assert text(paused, "checkpoint") == f"step {step} has a checkpoint already"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trainer.lr", "1"], "trainer.lr may be 1e-05 to 0.01 in this run, found 1; declare other bounds in control"),
        (["rollout.staleness", "0"], "rollout.staleness may be 1 to 3"),
        (["rollout.staleness", "1.5"], "a valid integer"),
        (["trainer.lr", "nan"], "found nan"),
        (["trainer.lr", "1e999"], "found inf"),
        (["trainer.steps", "1" * 400], "trainer.steps may be"),
        (["trainer.lr", "true"], "trainer.lr is a number, found True"),
        (["trainer.lr", "2020-01-01"], "trainer.lr is a number, found '2020-01-01'"),
        (["trainer.lr", "schnell ❄\x1b[2J"], "trainer.lr is a number"),
        (["trainer.lrr", "1"], "did you mean 'trainer.lr'"),
        (["seed", "1"], "cannot be changed while the run trains"),
        (["", "1"], "cannot be changed while the run trains"),
    ],
)
def test_what_cannot_be_changed_is_refused_with_the_reason_and_changes_nothing(
    live: LiveRun, words: list[str], says: str
) -> None:
    before = state(live.path)["settings"]
    assert says in refusal(live.path, "set", *words)
    assert state(live.path)["settings"] == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["set", "trainer.lr"], "takes a setting and a value: set trainer.lr 1e-6; found trainer.lr"),
        (["pause", "now"], "control RUN pause takes nothing; found now"),
    ],
)
def test_a_wrong_number_of_words_is_refused_before_anything_is_sent(live: LiveRun, words: list[str], says: str) -> None:
    assert says in refusal(live.path, *words)


def test_files_that_are_no_commands_do_not_disturb_a_run(live: LiveRun) -> None:
    mailbox = Mailbox(live.path)
    for number, content in enumerate(("", "[]", '{"action": 1}', '{"action": "set", "setting": [], "value": {}}', "{")):
        (mailbox.path / f"{number:020d}-{'a' * 32}.command").write_text(content)
    os.mkfifo(mailbox.path / f"{9:020d}-{'b' * 32}.command")
    assert not state(live.path)["paused"]
    found = [answer for number in range(5) if (answer := mailbox.answered(f"{number:020d}-{'a' * 32}"))]
    assert [answer["done"] for answer in found] == [False] * 5
    (mailbox.path / f"{9:020d}-{'b' * 32}.command").unlink()


def test_every_command_that_asked_for_a_change_is_in_the_event_log(paused: Path, live: LiveRun) -> None:
    refusal(paused, "set", "trainer.lr", "7")
    text(paused, "set", "eval.every", "50000")
    refused, changed = live.commands()[-2:]
    assert (refused["setting"], refused["value"], refused["done"]) == ("trainer.lr", 7, False)
    assert (changed["setting"], changed["value"], changed["done"]) == ("eval.every", 50000, True)
    assert changed["step"] == state(paused)["step"]
    assert "@" in changed["by"]


def test_a_run_that_is_told_to_stop_ends_whole_and_resumes_with_what_was_changed(tmp_path: Path) -> None:
    run = LiveRun(tmp_path)
    text(run.path, "set", "trainer.lr", "2e-3")
    answer = text(run.path, "stop")
    summary = run.join()
    assert answer == f"the run ends after step {summary['steps']}, with a checkpoint; --resume continues it"
    assert next(path.name for path in sealed(run.path / "checkpoints")) == f"step-{summary['steps']:06d}"
    assert text(run.path) == f"not running; ended after step {summary['steps']}"
    assert "is not running, so nothing was changed" in refusal(run.path, "pause")
    assert os.listdir(run.path / "control") == []
    assert _read(run.path)["trainer"]["lr"] == 2e-3


def test_a_run_that_is_interrupted_while_it_is_paused_leaves_a_checkpoint(tmp_path: Path) -> None:
    run = LiveRun(tmp_path)
    step = int(text(run.path, "pause").rpartition(" ")[2])
    run.interrupt()
    assert isinstance(run.join(), asyncio.CancelledError)
    assert sealed(run.path / "checkpoints")[0].name == f"step-{step:06d}"


def test_a_command_that_a_run_does_not_take_in_time_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(RunConfig.model_validate({**SETTINGS, "out": str(tmp_path)}))
    try:
        assert "is missing: the run has not begun to listen" in refusal(folder.path, "pause", "--timeout", "0.5")
        mailbox = Mailbox(folder.path)
        mailbox.open()
        says = refusal(folder.path, "pause", "--timeout", "0.5")
        assert "is alive, but has not taken the command within 0.5 s, so nothing was changed" in says
        assert os.listdir(mailbox.path) == []
        monkeypatch.setattr(client, "SILENT", 0.5)
        taking = threading.Thread(target=lambda: [mailbox.take(one.name) for one in wait_for_command(mailbox)])
        taking.start()
        assert "has taken the command but gives no answer" in refusal(folder.path, "pause", "--timeout", "2")
        taking.join()
    finally:
        folder.close()


def wait_for_command(mailbox: Mailbox) -> list[Any]:
    while not (found := mailbox.commands()):
        pass
    return found


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    assert "not a run's folder" in refusal(tmp_path, "pause")
    assert "not a run's folder" in refusal(tmp_path / "…")
