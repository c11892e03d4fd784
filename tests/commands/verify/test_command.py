"""``lachesis verify`` as a user meets it: stopped, killed, continued, and piped."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_verify_prints_verdicts_and_nothing_else_on_stdout(tmp_path: Path, lachesis: Callable[..., Any]) -> None:
    rows = [{"verifier": "number", "completion": f"{n}", "answer": "1", "params": {}} for n in range(3)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = lachesis("verify", "in.jsonl", "--jobs", "2", cwd=tmp_path)
    assert done.returncode == 0
    assert [json.loads(line)["score"] for line in done.stdout.splitlines()] == [0.0, 1.0, 0.0]


@pytest.fixture
def many_rows(tmp_path: Path) -> Path:
    """Rows that take some seconds."""
    row = {"verifier": "math", "completion": r"so it is \boxed{3}", "answer": "3"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row | {"id": n, "answer": str(n % 5)}) + "\n" for n in range(20_000)))
    return path


def begun(out: Path) -> Callable[[], bool]:
    return lambda: out.exists() and out.stat().st_size > 20_000


def verify_started(tmp_path: Path, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "lachesis.commands.cli", "verify", *words]
    return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def verdicts(path: Path) -> list[tuple[Any, ...]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["score"], row["status"], row["reason"], row["row"]) for row in rows]


def test_verify_killed_amid_its_work_goes_on_to_the_same_verdicts(
    tmp_path: Path, many_rows: Path, lachesis: Callable[..., Any], wait_for: Callable[..., Any]
) -> None:
    process = verify_started(tmp_path, many_rows.name, "-o", "out.jsonl")
    wait_for(begun(tmp_path / "out.jsonl"), process)
    process.kill()
    process.communicate()
    kept = (tmp_path / "out.jsonl").read_bytes()
    kept = kept[: kept.rfind(b"\n") + 1]
    number = kept.count(b"\n")
    assert 0 < number < 20_000
    again = lachesis("verify", many_rows.name, "-o", "out.jsonl", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{number} verdicts were in out.jsonl before" in again.stderr
    assert (tmp_path / "out.jsonl").read_bytes().startswith(kept)
    whole = lachesis("verify", many_rows.name, cwd=tmp_path)
    (tmp_path / "whole.jsonl").write_text(whole.stdout)
    assert verdicts(tmp_path / "out.jsonl") == verdicts(tmp_path / "whole.jsonl")
    assert [score for score, *_ in verdicts(tmp_path / "out.jsonl")] == [float(n % 5 == 3) for n in range(20_000)]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_verify_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, many_rows: Path, name: str, wait_for: Callable[..., Any]
) -> None:
    process = verify_started(tmp_path, many_rows.name, "-o", "out.jsonl")
    wait_for(begun(tmp_path / "out.jsonl"), process)
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=240)
    kept = len(verdicts(tmp_path / "out.jsonl"))
    assert process.returncode == 130
    assert errors.strip() == f"lachesis: stopped with {kept} verdicts in out.jsonl; the same command continues"


def test_verify_ends_in_silence_when_its_reader_goes_away(tmp_path: Path, many_rows: Path) -> None:
    process = verify_started(tmp_path, many_rows.name)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["status"] == "wrong"
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=240)
    assert (process.returncode, errors) == (141, "")


def test_verify_refuses_in_one_line_what_it_cannot_do(
    tmp_path: Path, many_rows: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    refused(lachesis("verify", cwd=tmp_path), "takes one FILE, found none")
    refused(lachesis("verify", "none.jsonl", cwd=tmp_path), "cannot read none.jsonl")
    refused(lachesis("verify", many_rows.name, "-o", many_rows.name, cwd=tmp_path), "is the file that is scored")
    refused(lachesis("verify", many_rows.name, "--sandbox.backened", "docker", cwd=tmp_path), "did you mean 'backend'")
    refused(lachesis("verify", many_rows.name, "--sandbx.size", "2", cwd=tmp_path), "did you mean 'sandbox'")
    (tmp_path / "bad.jsonl").write_text("{\n")
    bad = lachesis("verify", "bad.jsonl", cwd=tmp_path)
    assert bad.returncode == 1
    assert json.loads(bad.stdout)["reason"].startswith("line 1: not JSON")
    assert "1 row could not be scored" in bad.stderr


def test_verify_without_the_sandbox_that_a_row_needs_stops_there_and_goes_on_with_one(
    tmp_path: Path, lachesis: Callable[..., Any], refused: Callable[..., Any]
) -> None:
    rows = [
        {"verifier": "number", "completion": "4", "answer": 4},
        {"verifier": "code", "completion": "print(input())", "answer": [{"input": "1", "output": "1"}]},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["verify", "rows.jsonl", "-o", "out.jsonl"]
    without = lachesis(*words, "--sandbox.backend=docker", cwd=tmp_path, DOCKER_HOST="unix:///nowhere/docker.sock")
    refused(without, "Docker does not answer", "start it")
    assert [status for _, status, *_ in verdicts(tmp_path / "out.jsonl")] == ["ok"]
    lowest = lachesis(*words, "--sandbox.backend=process", "--sandbox.require=accident", cwd=tmp_path)
    assert lowest.returncode == 0, lowest.stderr
    assert [status for _, status, *_ in verdicts(tmp_path / "out.jsonl")] == ["ok", "ok"]
