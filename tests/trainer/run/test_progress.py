"""Live progress: the numbers a user looks for, on a terminal and in a file."""

import io
import logging

import pytest
from rich.console import Console

from lachesis.trainer.run.progress import Progress


def shown(terminal: bool, width: int = 140) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=width, color_system=None, highlight=False), text


METRICS = {
    "reward/total": 0.75,
    "reward/std": 0.1,
    "reward/exact": 0.7,
    "reward/format": 0.5,
    "heldout/accuracy": 0.625,
    "loss": 0.0123,
    "rate/tokens_per_s": 12345.6,
}


@pytest.mark.parametrize("terminal", [True, False])
def test_every_number_is_shown(terminal: bool) -> None:
    console, text = shown(terminal)
    with Progress(10, console=console) as progress:
        progress.phase("training")
        progress.update(1, {})
        progress.update(2, METRICS)
    for part in (
        "training",
        "2/10",
        "held-out accuracy 0.625",
        "reward 0.750 (exact 0.700, format 0.500)",
        "0.0123",
        "12.3k",
    ):
        assert part in text.getvalue()
    assert "left" in text.getvalue()


def test_a_file_gets_a_line_every_interval_and_the_last() -> None:
    console, text = shown(terminal=False)
    with Progress(1000, console=console, interval=3600) as progress:
        for step in range(1, 501):
            progress.update(step, {"loss": 1.0 / step})
    lines = text.getvalue().splitlines()
    assert [line.split()[2] for line in lines] == ["1/1000", "500/1000"]
    assert "\x1b" not in text.getvalue()


def test_every_held_out_score_gets_its_line() -> None:
    console, text = shown(terminal=False)
    with Progress(9, console=console, interval=3600) as progress:
        for step in range(1, 10):
            progress.update(step, {"heldout/accuracy": step / 10} if step % 3 == 0 else {})
    assert [line.split()[2] for line in text.getvalue().splitlines()] == ["1/9", "3/9", "6/9", "9/9"]


def test_a_phase_has_its_own_number_of_steps() -> None:
    console, text = shown(terminal=False)
    with Progress(300, console=console, interval=0) as progress:
        progress.phase("warm start", 20)
        progress.update(5, {"warm_start/loss": 2.5})
        progress.phase("training")
        progress.update(6, {})
    assert "warm start 5/20  loss 2.5000" in text.getvalue()
    last = text.getvalue().splitlines()[-1]
    assert "training 6/300" in last
    assert "loss" not in last


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(3, quiet=True) as progress:
        progress.phase("training")
        progress.update(3, METRICS)
    assert capsys.readouterr().out == ""


def test_warnings_are_shown_while_it_runs_and_not_after() -> None:
    console, text = shown(terminal=True)
    with Progress(3, console=console):
        logging.getLogger("lachesis.rollout").warning("an engine died")
    logging.getLogger("lachesis.rollout").error("unseen")
    assert "an engine died" in text.getvalue()
    assert "unseen" not in text.getvalue()
