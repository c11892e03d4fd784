"""Interactive problems: honest programs pass, and neither silence, noise, nor an early end gains anything."""

from collections.abc import Callable
from typing import Any

import pytest

from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]
JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]

GUESS = """
import sys
secret = int(open(sys.argv[1]).read())
print(100, flush=True)
for _ in range(10):
    guess = int(input())
    if guess == secret:
        print("=", flush=True)
        open(sys.argv[2], "w").write(str(guess))
        sys.exit(0)
    print("<" if secret < guess else ">", flush=True)
sys.exit("wrong answer: too many guesses")
"""
TESTS = [{"input": "37", "output": ""}, {"input": "100", "output": ""}]
SEARCH = """
from __future__ import annotations
low, high = 1, int(input())
while True:
    middle = (low + high) // 2
    print(middle, flush=True)
    answer = input()
    if answer == "=": break
    if answer == "<": high = middle - 1
    else: low = middle + 1
"""


def row(text: str, answer: Any = None, **more: Any) -> dict[str, Any]:
    given = {"format": "interactive", "interactor": GUESS, "answer": answer or TESTS}
    return {"completion": f"```python\n{text}\n```", **given, **more}


HONEST = [
    SEARCH,
    SEARCH.replace("print(middle, flush=True)", "import os; os.write(1, b'%d\\n' % middle)"),
    SEARCH.replace("print(middle, flush=True)", "import sys; sys.stdout.write(f'{middle}\\n'); sys.stdout.flush()"),
    SEARCH.replace("print(middle, flush=True)", "print(middle)"),  # input flushes
]


def test_honest_programs_pass_however_they_write(judge_all: JudgeAll) -> None:
    for verdict in judge_all([row(text) for text in HONEST]):
        assert (verdict.score, verdict.status) == (1.0, "ok"), verdict


DISHONEST = [
    ("pass", "wrong"),
    ("while True: print(1, flush=True)", "wrong"),
    ("print('x', flush=True); input(); input()", "wrong"),
    ("print('=', 0, '\\x00', flush=True)", "wrong"),
    ("import os, signal\nfor pid in range(2, 50):\n try: os.kill(pid, 9)\n except OSError: pass", "wrong"),
    ("import os; os.kill(-1, 9)", "wrong"),
    ("import os; os.close(0); os.close(1); import time; time.sleep(60)", "timeout"),
    ("input(); input()", "timeout"),
    ("while True: pass", "timeout"),
    ("x = []\nwhile True: x.append(bytearray(1 << 24))", "limit"),
    (SEARCH + "\nraise SystemExit(1)", "wrong"),
    (SEARCH + "\nimport time; time.sleep(60)", "timeout"),
    ("print(open('input.txt').read(), flush=True)", "wrong"),
    ("import glob\nprint(*[open(f).read() for f in glob.glob('/box/*') + glob.glob('/tmp/*')], flush=True)", "wrong"),
    ("def", "wrong"),
]


def test_dishonest_programs_gain_nothing(judge_all: JudgeAll) -> None:
    rows = [row(text, timeout=0.3 if status == "timeout" else 10.0) for text, status in DISHONEST]
    for (text, status), verdict in zip(DISHONEST, judge_all(rows), strict=True):
        assert (verdict.score, verdict.status) == (0.0, status), (text, verdict)


@pytest.mark.parametrize(
    ("interactor", "text"),
    [
        ("import time; time.sleep(60)", "import os\nwhile True: os.write(1, b'x' * 60000)"),
        ("while True: print('x' * 60000, flush=True)", "import time; time.sleep(60)"),
    ],
)
def test_a_flood_ends_at_a_limit(judge: Judge, interactor: str, text: str) -> None:
    verdict = judge(**row(text, interactor=interactor))
    assert verdict.status == "limit", verdict
    assert "sent more than 4 MiB" in verdict.reason, verdict


@pytest.mark.parametrize("interactor", ["import no_such_module", "def", "import os; os.abort()"])
def test_an_interactor_that_fails_by_itself_is_an_infrastructure_failure(judge: Judge, interactor: str) -> None:
    verdict = judge(**row("input()", interactor=interactor))
    assert verdict.status == "infra_error", verdict
    assert "repair the dataset" in verdict.reason, verdict


def test_text_without_a_line_end_is_passed_on(judge: Judge) -> None:
    interactor = "import os\nassert os.read(0, 9) == b'a'\nos.write(1, b'b')\nassert os.read(0, 9) == b'c'"
    text = "import os\nos.write(1, b'a')\nassert os.read(0, 9) == b'b'\nos.write(1, b'c')"
    assert judge(**row(text, interactor=interactor)).status == "ok"


def test_a_checker_judges_what_the_interactor_wrote(judge: Judge) -> None:
    accepts = "def check(input, output, expected): return input == output"
    assert judge(**row(SEARCH, checker=accepts)).status == "ok"
    refuses = "def check(input, output, expected): return input != output"
    assert judge(**row(SEARCH, checker=refuses)).status == "wrong"


def test_the_share_of_passed_tests_counts(judge: Judge) -> None:
    text = "input()\nprint(37, flush=True)\ninput()"
    assert judge(**row(text, policy="fraction")).score == 0.5


def test_a_task_without_an_interactor_is_refused(judge: Judge) -> None:
    verdict = judge(**row(SEARCH, interactor=""))
    assert verdict.status == "infra_error"
    assert "set 'interactor'" in verdict.reason
