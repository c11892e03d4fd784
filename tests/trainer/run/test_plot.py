"""The learning curve's picture: what it shows and where."""

from pathlib import Path

import numpy as np
from matplotlib.image import imread

from lachesis.trainer.run.plot import _series, plot_learning_curve


def test_an_empty_history_still_gives_a_picture(tmp_path: Path) -> None:
    plot_learning_curve([], tmp_path / "a.png")
    assert imread(tmp_path / "a.png").shape[:2] == (585, 1040)


def test_a_reward_outside_0_to_1_gets_its_own_panel(tmp_path: Path) -> None:
    heights = []
    for name, reward in (("in", 0.5), ("out", 7.0)):
        rows = [{"step": step, "reward/total": reward, "heldout/accuracy": 0.5} for step in range(3)]
        plot_learning_curve(rows, tmp_path / name, target=0.9)
        heights.append(imread(tmp_path / name, format="png").shape[0])
    assert heights[1] > heights[0]


def test_the_warm_start_ends_where_training_begins() -> None:
    rows = [{"step": step, "heldout/accuracy": 0.1} for step in (-300, -290, -280, 0, 10)]
    assert _series(rows, "heldout/accuracy")[0].tolist() == [-21, -11, -1, 0, 10]


def test_missing_and_null_values_are_left_out() -> None:
    rows = [{"step": 1, "loss": 1}, {"step": 2, "reward/total": None}, {"step": 3, "reward/total": 0.5}]
    steps, values = _series(rows, "reward/total")
    np.testing.assert_array_equal([steps, values], [[3], [0.5]])


def test_a_run_without_an_accuracy_shows_its_held_out_reward_on_the_scale_of_its_rewards(tmp_path: Path) -> None:
    rows = [{"step": step, "reward/total": 7.0, "heldout/reward": 6.5} for step in range(3)]
    plot_learning_curve(rows, tmp_path / "a.png", target=8.0)
    assert imread(tmp_path / "a.png").shape[:2] == (585, 1040), "one panel: both are rewards"
