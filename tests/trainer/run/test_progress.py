"""Progress in a terminal and in a pipe: the phases from the first second, and the numbers that a user looks for."""

import io
import logging
import os
import pty
import re

import pytest
from rich.console import Console

from lachesis.rollout.config import RolloutConfig
from lachesis.trainer.run.progress import Phases, Progress, loading, starting, waiting


def shown(terminal: bool, width: int = 140) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(
        file=text, force_terminal=terminal, force_interactive=terminal, width=width, color_system=None, highlight=False
    ), text


METRICS = {
    "reward/total": 0.75,
    "reward/std": 0.1,
    "reward/exact": 0.7,
    "reward/format": 0.5,
    "heldout/accuracy": 0.625,
    "loss": 0.0123,
    "rate/tokens_per_s": 12345.6,
}


def steps_of(text: io.StringIO) -> list[str]:
    """The counts of the plain lines about steps; every line begins with the elapsed time."""
    lines = [re.fullmatch(r"\d+:\d\d  (.*)", line) for line in text.getvalue().splitlines()]
    assert all(lines), text.getvalue()
    return [found[1] for line in lines if line and (found := re.match(r"(.* \d+/\d+)(  |$)", line[1]))]


@pytest.mark.parametrize("terminal", [True, False])
def test_every_number_is_shown(terminal: bool) -> None:
    console, text = shown(terminal)
    with Progress(10, console=console) as progress:
        progress.training(0)
        progress.update(1, {})
        progress.update(2, METRICS)
    for part in (
        "training",
        "step 2/10",
        "reward 0.750 (exact 0.700, format 0.500)  held-out accuracy 0.625  loss 0.0123  tokens/s 12346",
    ):
        assert part in text.getvalue()
    assert re.search(r"\d:\d\d left", text.getvalue())


def test_in_a_pipe_every_training_step_is_exactly_one_line_however_fast_and_however_long() -> None:
    console, text = shown(terminal=False, width=40)
    with Progress(250, console=console) as progress:
        progress.training(0)
        for step in range(251):
            progress.update(step, METRICS)
    assert steps_of(text) == [f"step {step}/250" for step in range(251)]
    assert len(text.getvalue().splitlines()) == 1 + 251
    last = text.getvalue().splitlines()[-1].split("  ", 2)[-1]
    assert last == (
        "reward 0.750 (exact 0.700, format 0.500)  held-out accuracy 0.625  loss 0.0123  tokens/s 12346  0:00 left"
    )
    assert "\x1b" not in text.getvalue()


def test_a_resumed_run_goes_on_counting_and_has_no_time_left_before_its_first_step() -> None:
    console, text = shown(terminal=False)
    with Progress(9, console=console) as progress:
        progress.training(6)
        progress.update(6, METRICS)
        progress.update(7, METRICS)
    assert steps_of(text) == ["step 6/9", "step 7/9"]
    assert ["left" in line for line in text.getvalue().splitlines()] == [False, False, True]


def test_a_warm_start_has_at_most_a_line_for_each_evaluation_and_leaves_no_loss_behind() -> None:
    console, text = shown(terminal=False)
    with Progress(300, console=console) as progress:
        progress.warm_start(25, every=10)
        for step in range(1, 26):
            progress.update(step, {"warm_start/loss": 2.5})
        progress.training(0)
        progress.update(0, {})
    assert steps_of(text) == ["warm start 10/25", "warm start 20/25", "warm start 25/25", "step 0/300"]
    assert "warm start 10/25  loss 2.5000  0:00 left" in text.getvalue()
    assert "loss" not in text.getvalue().splitlines()[-1]


def test_in_a_pipe_every_phase_is_a_line_with_the_time_and_what_happens_in_a_step_is_none() -> None:
    console, text = shown(terminal=False, width=20)
    with Phases(console) as phases:
        phases.phase("importing torch, which takes longer than the line is wide")
        phases.phase("evaluating", total=4, done=2)
        phases.activity("waiting")
        phases.note("run: runs/toy-1")
    assert text.getvalue() == (
        "0:00  importing torch, which takes longer than the line is wide\n0:00  evaluating\n0:00  run: runs/toy-1\n"
    )


def test_on_a_terminal_a_phase_is_a_live_line_and_only_notes_and_finished_steps_stay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    reader, writer = pty.openpty()
    with os.fdopen(writer, "w") as terminal:
        console = Console(file=terminal, color_system=None, highlight=False)
        with Progress(2, console=console) as progress:
            progress.phase("importing torch")
            progress.note("run: runs/toy-1")
            progress.training(0)
            progress.working_on("evaluation")
            progress.update(2, {"loss": 0.5})
            progress.phase("stopping")
        terminal.write("the end")
        terminal.flush()
        read = b""
        while not read.endswith(b"the end"):  # it arrives in pieces
            read += os.read(reader, 10_000)
    os.close(reader)
    drawn = read.decode()
    for part in ("importing torch", "run: runs/toy-1\r\n", "step 2/2", "loss 0.5000\r\n", "stopping"):
        assert part in drawn
    assert drawn.rpartition("\x1b[2K")[2] == "the end", "the live line is erased"


def test_a_cluster_that_is_joined_is_named() -> None:
    found = starting(RolloutConfig(), address="10.0.0.1:6379")
    assert found == "joining the Ray cluster 10.0.0.1:6379 for 2 torch engines and 2 workers"


@pytest.mark.parametrize(
    ("settings", "engines", "texts"),
    [
        ({"inline": True}, True, ("loading the model into the torch engine", "waiting for the engines")),
        ({"inline": True}, False, ("starting the worker", "waiting for the engines")),
        ({"workers": 1}, True, ("starting Ray for 2 torch engines and 1 worker", "waiting for the engines")),
        ({"engine": "vllm"}, False, ("starting Ray for 2 workers", "waiting for the engines, where vLLM may compile")),
    ],
)
def test_what_is_started_and_waited_for_is_named(
    settings: dict[str, object], engines: bool, texts: tuple[str, str]
) -> None:
    rollout = RolloutConfig.model_validate(settings)
    assert (starting(rollout, engines), waiting(rollout)[: len(texts[1])]) == texts
    assert loading(compiled=False) == "loading the model into the trainer"
    assert "compile" in loading(compiled=True)


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, quiet=True) as progress:
        progress.training(0)
        progress.update(3, METRICS)
    assert capsys.readouterr().out == ""


def test_warnings_are_shown_while_it_runs_and_not_after() -> None:
    console, text = shown(terminal=True)
    with Progress(3, console=console):
        logging.getLogger("lachesis.rollout").warning("an engine died")
    logging.getLogger("lachesis.rollout").error("unseen")
    assert "an engine died" in text.getvalue()
    assert "unseen" not in text.getvalue()


def test_in_a_pipe_a_warning_is_one_line_without_commands_to_a_terminal() -> None:
    console, text = shown(terminal=False, width=20)
    with Progress(3, console=console):
        logging.getLogger("lachesis").warning("an engine\ndied: %s", "\x1b[2J" + "x" * 40)
    assert text.getvalue() == f"0:00  warning: an engine died: \\x1b[2J{'x' * 40}\n"
