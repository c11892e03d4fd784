"""``lachesis check`` as a user meets it; every shipped environment passes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.commands.check.check import Check, print_report
from lachesis.environments.loading import BUILT_IN, describe
from lachesis.rollout.models.tiny import build_tiny_model
from lachesis.verifiers.errors import ConfigError

from ...command_line import run_lachesis

HEAD = """
import asyncio, os, re, time
from lachesis import Environment, Rubric, Task, reward, use

class Mine(Environment):
    rubric = Rubric(use("exact"))

    def tasks(self, split, seed):
        return [Task(f"{split} {number}?", f"{split}-{number}") for number in range(4)]
"""

BROKEN = {
    "import-syntax": ("import", "def f(:", "SyntaxError"),
    "import-raises": ("import", "x = 1 / 0", "ZeroDivisionError: division by zero (broken.py, line 1)"),
    "import-built": ("import", HEAD + "    def __init__(self, **settings):\n        self.x = {}['y']\n", "line 11)"),
    "import-not-async": ("import", HEAD + "    def run(self, episode): pass\n", "write `async def run`"),
    "hang-import": ("hang", "while True: pass", "(broken.py, line 1)"),
    "hang-regex": (
        "hang",
        HEAD + "    @reward()\n    def slow(self, case):\n        return float(bool(re.match('(a+)+b', 'a' * 99)))\n",
        "in slow (broken.py, line 12)",
    ),
    "hang-tasks": (
        "hang",
        HEAD.replace("return [", "while split == 'test': pass\n        return ["),
        "in tasks (broken.py, line 9)",
    ),
    "died": ("died", HEAD + "    async def run(self, episode):\n        os._exit(7)\n", "exit code 7"),
    "unseeded": (
        "unseeded",
        HEAD.replace("for number in range(4)", "for number in {chr(65 + n) for n in range(20)}"),
        "task ",
    ),
}


def checked(path: Path, **options: Any) -> dict[str, Any]:
    return Check(describe(str(path), label=path.name), **{"tasks": 4, **options}).run()


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_what_is_broken_is_reported_and_not_waited_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, source, said = BROKEN[name]
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text(source)
    report = checked(Path("broken.py"), deadline=3.0 if kind == "hang" else 30.0)
    assert {finding["kind"] for finding in report["findings"]} == {kind}, report["findings"]
    assert said in report["findings"][0]["message"]
    assert report["clean"] is False


def test_what_was_found_before_a_hang_is_kept(tmp_path: Path) -> None:
    source = HEAD.replace('f"{split} {number}?"', '"?"') + "    async def run(self, episode):\n        time.sleep(99)\n"
    (tmp_path / "broken.py").write_text(source)
    report = checked(tmp_path / "broken.py", deadline=3.0)
    assert [finding["kind"] for finding in report["findings"]] == ["conflict", "conflict", "hang"]


def test_data_that_are_missing_are_a_finding_with_their_cure(tmp_path: Path) -> None:
    config = {"path": str(tmp_path / "gone.jsonl")}
    report = Check(describe("gsm8k", config=config), tasks=2).run()
    assert {finding["kind"] for finding in report["findings"]} == {"tasks"}
    assert "gone.jsonl" in report["findings"][0]["message"]


def test_an_allowed_kind_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text(HEAD.replace('f"{split} {number}?", f"{split}', 'f"{number}?", f"'))
    report = checked(tmp_path / "same.py")
    assert [finding["kind"] for finding in report["findings"]] == ["overlap"]
    assert not report["clean"]
    assert checked(tmp_path / "same.py", allow=["overlap"])["clean"]


@pytest.mark.parametrize(
    ("use", "config", "message"),
    [
        ("arithmetik", {}, "did you mean 'arithmetic'"),
        ("nowhere.module:Class", {}, "install the package"),
        ("arithmetic", {"digits": 99}, "less than or equal to 6"),
        ("arithmetic", {"digitz": 1}, "digits"),
    ],
)
def test_what_cannot_be_checked_is_no_finding(use: str, config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Check(describe(use, config=config)).run()


def test_the_command_prints_findings_and_what_the_environment_prints_is_no_report(tmp_path: Path) -> None:
    source = HEAD + "    @reward()\n    def right(self, case):\n        print('noise')\n        return 1.0\n"
    (tmp_path / "easy.py").write_text(source.replace('use("exact")', ""))
    done = run_lachesis("check", "easy.py", "--tasks", "4", cwd=tmp_path)
    assert done.returncode == 1
    assert "noise" not in done.stdout
    for said in ("in_think", "empty", "zero_variance", "milliseconds", "gold 4/4", "easy.py: "):
        assert said in done.stdout
    assert run_lachesis("check", "easy.py", "--allow", "leek", cwd=tmp_path).returncode == 2
    assert run_lachesis("check", cwd=tmp_path).returncode == 2
    assert run_lachesis("check", "gone.py", cwd=tmp_path).returncode == 2


def test_a_terminal_gets_no_commands_from_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    finding = {"kind": "gold", "severity": "error", "message": "\x1b[2J[red]x", "tasks": [], "reply": ""}
    print_report({"environment": "x", "findings": [finding]})
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\x1b[2J[red]x" in shown


def test_with_a_tokenizer_every_id_is_compared(tmp_path: Path) -> None:
    build_tiny_model(tmp_path / "tiny", hidden=32)
    report = Check(describe("arithmetic", label="arithmetic"), tasks=4, tokenizer=str(tmp_path / "tiny")).run()
    assert report["findings"] == []
    assert report["tokens"]["turns"] == 4


def rows(folder: Path, *written: dict[str, Any]) -> dict[str, Any]:
    """The settings of an environment that reads ``written`` from a folder, where a part of it is held out."""
    folder.mkdir()
    for split, part in (("train", written[: len(written) // 2]), ("test", written[len(written) // 2 :])):
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))
    return {"path": str(folder)}


SUMS = [(number, 3 * number + 20) for number in range(4, 16)]
DATA: dict[str, Callable[[Path], dict[str, Any]]] = {
    "gsm8k": lambda folder: rows(
        folder, *({"question": f"{a} and twice as many?", "answer": f"It is so.\n#### {b}"} for a, b in SUMS)
    ),
    "math": lambda folder: rows(folder, *({"question": f"f({a})?", "answer": f"\\boxed{{{b}}}"} for a, b in SUMS)),
    "code": lambda folder: rows(
        folder,
        *(
            {
                "task_id": str(a),
                "prompt": f"def add_{a}(x):\n    '''Add.'''\n",
                "canonical_solution": f"    return x + {a}\n",
                "test": f"def check(f):\n    assert f(1) == {a + 1}\n    assert f(5) == {a + 5}\n",
                "entry_point": f"add_{a}",
            }
            for a, _ in SUMS
        ),
    ),
    "tool_calling": lambda folder: rows(
        folder,
        *(
            {
                "id": f"simple_{a}",
                "category": "simple",
                "question": [[{"role": "user", "content": f"The weather in town {a}, please."}]],
                "function": [
                    {
                        "name": "weather",
                        "description": "Weather of a town.",
                        "parameters": {
                            "type": "dict",
                            "properties": {"town": {"type": "integer", "description": "Its number."}},
                            "required": ["town"],
                        },
                    }
                ],
                "ground_truth": [{"weather": {"town": [a]}}],
            }
            for a, _ in SUMS
        ),
        *(
            {
                "id": f"irrelevance_{a}",
                "category": "irrelevance",
                "question": [[{"role": "user", "content": f"Book table {a}, please."}]],
                "function": [{"name": "weather", "parameters": {"type": "dict", "properties": {}}}],
            }
            for a, _ in SUMS
        ),
    ),
}
"""Rows for the shipped environments that read some."""


OF_A_BENCHMARK: dict[str, Callable[[int, int], dict[str, Any]]] = {
    "gpqa": lambda a, b: {
        "Question": f"f({a})?",
        "Correct Answer": f"plus {b}",
        **{f"Incorrect Answer {n}": f"{n} times {b}" for n in (1, 2, 3)},
    },
    "humaneval": lambda a, b: {
        "task_id": str(a),
        "prompt": f"def add_{a}(x):\n    '''Add.'''\n",
        "canonical_solution": f"    return x + {a}\n",
        "test": f"def check(f):\n    assert f(1) == {a + 1}\n    assert f(5) == {a + 5}\n",
        "entry_point": f"add_{a}",
    },
    "ifeval": lambda a, b: {
        "key": a,
        "prompt": f"Write about {b} without commas.",
        "instruction_id_list": ["punctuation:no_comma"],
        "kwargs": [{}],
    },
    "livecodebench": lambda a, b: {
        "question_content": f"Add {a}.",
        "public_test_cases": [{"input": "1\n", "output": f"{a + 1}\n", "testtype": "stdin"}],
        "private_test_cases": [{"input": "5\n", "output": f"{a + 5}\n", "testtype": "stdin"}],
    },
    "math_500": lambda a, b: {"problem": f"f({a})?", "answer": str(b)},
}
"""A row of a benchmark of each kind; those that are left out share their classes with these."""


BENCHMARKS = {name for name, target in BUILT_IN.items() if target.startswith("suites.")}


@pytest.mark.parametrize("name", sorted(name for name in BUILT_IN if name not in BENCHMARKS))
def test_every_shipped_environment_passes(name: str, tmp_path: Path) -> None:
    if name == "reasoning_gym":
        pytest.importorskip("reasoning_gym")
    config = DATA[name](tmp_path / "data") if name in DATA else {}
    report = Check(describe(name, config=config, label=name), tasks=6).run()
    assert report["clean"], report["findings"]


@pytest.mark.parametrize("name", OF_A_BENCHMARK)
def test_every_benchmark_passes_though_it_has_one_split(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(OF_A_BENCHMARK[name](a, b)) + "\n" for a, b in SUMS[:4]))
    report = Check(describe(name, config={"path": str(file)}, label=name), tasks=4).run()
    assert report["clean"], report["findings"]
    assert list(report["tasks"]) == ["test"]
