"""The judges' file, shared by processes that may be killed at any moment."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.errors import InfrastructureError
from lachesis.verifiers.judges.cache import Cache, Spent, default_path

WRITER = """
import sys
from pathlib import Path
from lachesis.verifiers.judges.cache import Cache, Spent
cache, name, most = Cache(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
for number in range(most):
    cache.put(f"{name} {number}", {"answer": "8", "said": "x" * 3000})
    cache.start_call("m", lambda spent: "")
    cache.add_tokens("m", Spent(0, 10, 1))
    print(number, flush=True)
"""
ASKER = """
import asyncio, json, sys
from lachesis.commands.verify.line import Line
print(json.dumps(asyncio.run(Line(1, sys.argv[1].encode()).verify()).to_json()))
"""


def started(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_another_process_finds_the_verdict(server: Any, judge: Any, settings: Any) -> None:
    first = judge("Hello.")
    row = {"verifier": "judge", "prompt": "Say hello.", "completion": "Hello.", "params": settings}
    with started(ASKER, json.dumps(row)) as process:
        found = json.loads(process.communicate(timeout=240)[0])
    assert (found["score"], found["evidence"]["cached"], len(server.asked)) == (first.score, 1, 1)


def test_what_a_killed_writer_had_stored_stays_and_others_go_on(tmp_path: Path) -> None:
    path = tmp_path / "judges.sqlite"
    with started(WRITER, path, "killed", 10**6) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == 20:
                process.send_signal(signal.SIGKILL)
                break
        process.wait()
    cache = Cache(path)
    stored = [cache.get(f"killed {number}") for number in range(21)]
    assert stored == [{"answer": "8", "said": "x" * 3000}] * 21
    cache.put("mine", {"answer": "1"})
    assert cache.get("mine") == {"answer": "1"}
    assert cache.spent("m").calls >= 20


def test_processes_that_begin_a_file_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "judges.sqlite"
    writers = [started(WRITER, path, name, 15) for name in "abcd"]
    assert [writer.communicate(timeout=240) and writer.returncode for writer in writers] == [0, 0, 0, 0]
    cache = Cache(path)
    assert all(cache.get(f"{name} {number}") for name in "abcd" for number in range(15))
    assert cache.spent("m") == Spent(60, 600, 60)


def test_the_first_answer_to_a_question_stays(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "judges.sqlite")
    cache.put("key", {"answer": "1"})
    cache.put("key", {"answer": "2"})
    assert cache.get("key") == {"answer": "1"}
    assert cache.get("other") is None


def test_a_call_that_is_refused_is_not_counted(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "judges.sqlite")
    assert cache.start_call("m", lambda spent: "") == ""
    assert cache.start_call("m", lambda spent: f"{spent.calls} calls") == "1 calls"
    assert cache.spent("m") == Spent(1, 0, 0)
    assert cache.spent("other") == Spent()


def test_money_is_counted_by_prices_per_million_tokens() -> None:
    assert Spent(1, 2_000_000, 500_000).money({"input": 0.5, "output": 4}) == 3.0


def test_a_file_that_is_no_cache_is_an_infrastructure_error_and_one_in_its_place_works(tmp_path: Path) -> None:
    path = tmp_path / "judges.sqlite"
    path.write_text("no database" * 1000)
    cache = Cache(path)
    with pytest.raises(InfrastructureError, match="remove the file"):
        cache.get("key")
    path.unlink()
    assert cache.get("key") is None


def test_the_default_file_is_in_the_users_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_path() == tmp_path / "lachesis" / "judges.sqlite"
