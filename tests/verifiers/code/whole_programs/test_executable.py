"""Programs in C++, JavaScript and Bash: they are found, compiled, limited and judged as Python programs are."""

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lachesis.verifiers.code.solution import Code
from lachesis.verifiers.code.whole_programs import executable, languages
from lachesis.verifiers.code.whole_programs.executable import check_language
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.shared import shared_sandbox
from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]
JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool, path="/usr/bin:/bin") is None, reason=f"{tool} is not installed")


CPP, JS, BASH = needs("g++"), needs("node"), needs("bash")
TESTS = [{"input": "3\n1 2 3\n", "output": "6\n"}, {"input": "1\n-5\n", "output": "-5\n"}]


def fenced(info: str, text: str) -> str:
    return f"Here it is:\n\n```{info}\n{text}\n```\nIt adds the numbers."


SUM_CPP = """#include <iostream>
using namespace std;
int main() { int n; long long s = 0, x; cin >> n; while (n--) { cin >> x; s += x; } cout << s << endl; }"""
SUM_C = """#include <stdio.h>
int main() { int n, x, s = 0; scanf("%d", &n); while (n--) { scanf("%d", &x); s += x; } printf("%d\\n", s); }"""
SUM_JS = """const text = require('fs').readFileSync(0, 'utf8');
const [n, ...xs] = text.split(/\\s+/).filter(Boolean).map(Number);
console.log(xs.reduce((a, b) => a + b, 0));"""
SUM_MODULE = "import fs from 'node:fs';\n" + SUM_JS.replace("require('fs')", "fs")
SUM_BASH = """read -r n
read -r -a xs
s=0
for x in $(echo "${xs[@]}" | tr ' ' '\\n'); do s=$((s + x)); done
echo $s"""


@pytest.mark.parametrize(
    ("language", "replies"),
    [
        pytest.param("cpp", [fenced("C++", SUM_CPP), fenced("c", SUM_C)], marks=CPP),
        pytest.param("javascript", [fenced("js", SUM_JS), SUM_MODULE], marks=JS),
        pytest.param("bash", [fenced("bash", SUM_BASH), SUM_BASH], marks=BASH),
    ],
)  # fmt: skip
def test_a_right_program_passes(judge_all: JudgeAll, language: str, replies: list[str]) -> None:
    for verdict in judge_all([{"completion": text, "answer": TESTS, "language": language} for text in replies]):
        assert (verdict.score, verdict.status) == (1.0, "ok"), verdict


HOSTILE = [
    ("cpp", '#include "/etc/shadow"\nint main() { return }', "unparseable", "No such file"),
    ("cpp", "#include __FILE__\nint main() {}", "unparseable", "nested"),
    ("cpp", "char big[1 << 26] = {1}; int main(int n, char **) { return big[n]; }", "unparseable", ""),
    ("cpp", "int main() { throw 1; }", "wrong", "SIGABRT"),
    ("cpp", "int main() { for (volatile int i = 0;; i = i + 1) {} }", "timeout", "took more than 0.5 s"),
    ("cpp", "int main() { char *volatile p; for (;;) __builtin_memset(p = new char[99999], 1, 99999); }", "limit", ""),
    ("javascript", "const x = ;", "unparseable", "SyntaxError"),
    ("javascript", "const f = () => f(); f()", "wrong", ""),
    ("javascript", "while (true) {}", "timeout", ""),
    ("javascript", "process.exit(0)", "wrong", ""),
    ("javascript", "process.kill(process.ppid, 9); process.kill(-1, 9)", "wrong", ""),
    ("bash", "if then", "unparseable", "main.sh"),
    ("bash", "no_such_command", "wrong", "exit code 127"),
    ("bash", "cat input.txt answer.txt; env; ls -a; exit 3", "wrong", "exit code 3"),
    ("bash", ":(){ :|:& };:", None, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    "language",
    [pytest.param("cpp", marks=CPP), pytest.param("javascript", marks=JS), pytest.param("bash", marks=BASH)],
)
def test_what_a_program_does_wrong_is_never_an_infrastructure_failure(judge_all: JudgeAll, language: str) -> None:
    chosen = [case for case in HOSTILE if case[0] == language]
    limits = {"answer": TESTS, "language": language, "memory": 256 << 20}
    rows = [
        {"completion": fenced(language, text), "timeout": 0.5 if status in ("timeout", None) else 10.0, **limits}
        for _, text, status, _ in chosen
    ]
    for (_, text, status, reason), verdict in zip(chosen, judge_all(rows), strict=True):
        assert verdict.score == 0.0, (text, verdict)
        assert verdict.status == status or (status is None and verdict.status != "infra_error"), (text, verdict)
        assert reason in verdict.reason, (text, verdict)


@CPP
def test_a_compilation_has_limits_of_its_own(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, "COMPILATION", replace(executable.COMPILATION, cpu=0.5))
    slow = "template <int N, int M> struct F { enum { v = F<N - 1, M>::v + F<N - 1, M + (1 << N)>::v }; };\n"
    slow += "template <int M> struct F<0, M> { enum { v = M }; };\nint main() { return F<20, 0>::v; }"
    verdict = judge(fenced("cpp", slow), TESTS, language="cpp")
    assert (verdict.score, verdict.status) == (0.0, "timeout"), verdict
    assert "compiling the program" in verdict.reason


DEEP_CPP = """#include <cstdio>
int f(int n) { volatile char b[64]; b[0] = n; return n ? f(n - 1) + b[0] * 0 + 1 : 0; }
int main() { printf("%d", f(500000)); }"""
DEEP_JS = "const f = n => n ? f(n - 1) + 1 : 0;\nconsole.log(f(500000));"


@pytest.mark.parametrize(
    ("language", "text"),
    [pytest.param("cpp", DEEP_CPP, marks=CPP), pytest.param("javascript", DEEP_JS, marks=JS)],
)
def test_deep_recursion_works(judge: Judge, language: str, text: str) -> None:
    verdict = judge(fenced(language, text), [{"input": "", "output": "500000"}], language=language)
    assert verdict.status == "ok", verdict


GUESS = """
import sys
print(open(sys.argv[1]).read().strip(), flush=True)
sys.exit(0 if input() == open(sys.argv[3]).read().strip() else 1)
"""


TALK_CPP = """#include <cstdio>
int main() { int n; scanf("%d", &n); printf("%d", n * 2); fflush(stdout); }"""
TALK_JS = """const lines = require('readline').createInterface({input: process.stdin});
lines.on('line', line => { console.log(line * 2); process.exit(0); });"""


@pytest.mark.parametrize(
    ("language", "text"),
    [
        pytest.param("cpp", TALK_CPP, marks=CPP),
        pytest.param("javascript", TALK_JS, marks=JS),
        pytest.param("bash", "read -r n; echo $((n * 2))", marks=BASH),
    ],
)
def test_programs_of_every_language_talk_to_an_interactor(judge: Judge, language: str, text: str) -> None:
    given = {"format": "interactive", "interactor": GUESS, "language": language}
    assert judge(fenced(language, text), [{"input": "21", "output": "42"}], **given).status == "ok"
    assert judge(fenced(language, text), [{"input": "21", "output": "43"}], **given).status == "wrong"


def test_a_language_without_its_tools_is_refused_with_the_cure(monkeypatch: pytest.MonkeyPatch, judge: Judge) -> None:
    nothing = replace(languages.BASH, title="Nothing", check=(), run=("no-such-tool", "{file}"), cure="get it")
    monkeypatch.setattr(languages, "BASH", nothing)
    sandbox = shared_sandbox()
    with pytest.raises(ConfigError, match=r"cannot run Nothing programs.*no-such-tool.*Cure: get it"):
        asyncio.run(Code(language=f"{languages.__name__}:BASH").check_sandbox(sandbox))
    verdict = judge(fenced("bash", "echo"), TESTS, language=f"{languages.__name__}:BASH")
    assert verdict.status == "infra_error"
    assert "Cure: get it" in verdict.reason


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"language": "c++"}, "no language is named 'c\\+\\+'"),
        ({"language": "cpp", "format": "call"}, "takes Python programs only"),
        ({"checker_language": "cpp"}, "set checker_style = 'testlib'"),
        ({"checker_style": "spj"}, "unknown checker_style 'spj'"),
        ({"checker_headers": {"a.h": 1}}, "checker_headers is name"),
    ],
)
def test_impossible_parameters_are_refused_with_the_cure(params: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Code(**params)


def test_python_needs_no_trial() -> None:
    assert asyncio.run(check_language(shared_sandbox(), "python")).title == "Python"
