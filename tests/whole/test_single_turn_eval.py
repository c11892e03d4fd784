"""The single-turn environments that ship, each put to the tiny model on a CPU as ``lachesis eval`` does it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lachesis.commands.eval.evaluation import run_evaluation
from lachesis.commands.eval.request import evaluation_of
from lachesis.rollout.models.tiny import build_tiny_model

OPTIONS = {
    **{"url": (), "split": "test", "seed": 0, "temperature": 1.0, "max_tokens": 8, "engine": "torch"},
    **{"tasks": 3, "attempts": 1},
}
DATA = {
    "answer_format": "",
    "code": "humaneval.jsonl",
    "math": "gsm8k_test.jsonl",
    "puzzles": "",
    "reasoning_gym": "",
    "tool_calling": "bfcl_cases.jsonl",
}
"""Environment → the file that its rows come from, empty where it makes its own tasks."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("single_turn") / "tiny", layers=1, hidden=32, context=6144)


@pytest.mark.parametrize("name", DATA)
def test_the_tiny_model_is_scored(name: str, model: Path, tmp_path: Path, shared_data: Callable[[str], Path]) -> None:
    if name == "reasoning_gym":
        pytest.importorskip(name, reason="the extra `reasoning_gym` is not installed; CI leaves out its 345 MB")
    source = ["--config.path", str(shared_data(DATA[name]))] if DATA[name] else []
    settings = [*source, "--model.context", "6144", "--rollout.slots", "4"]
    evaluation = evaluation_of([name], settings, {**OPTIONS, "model": str(model), "inline": True})
    summary = run_evaluation(evaluation, concurrency=4, out=tmp_path / "s.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()[1:]]
    assert len(rows) == 3
    assert all(row["error"] is None for row in rows)
    assert all(row["messages"]["policy"][-1]["role"] == "assistant" for row in rows)
    assert summary
