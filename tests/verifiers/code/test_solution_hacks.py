"""Programs that want the reward without the work: in every format they score 0, and it is their own doing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.verifiers.verdict import Verdict

Judge = Callable[..., Verdict]
JudgeAll = Callable[[list[dict[str, Any]]], list[Verdict]]

FORMATS: dict[str, tuple[Any, dict[str, Any]]] = {
    "stdin": ({"inputs": ["2 3\n", "1 1\n", "73001 11004\n"], "outputs": ["5\n", "2\n", "84005\n"]}, {}),
    "call": ({"inputs": [[2, 3], [1, 1], [73001, 11004]], "outputs": [5, 2, 84005]}, {"fn_name": "solve"}),
    "humaneval": (
        None,
        {
            "entry_point": "solve",
            "test": "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(1, 1) == 2\n"
            "    assert candidate(73001, 11004) == 84005\n",
        },
    ),
    "mbpp": (
        None,
        {"test_list": ["assert solve(2, 3) == 5", "assert solve(1, 1) == 2", "assert solve(73001, 11004) == 84005"]},
    ),
}
"""Format → the answer and the parameters of the same three tests of a sum, of which two are known."""

READ = "\nprint(solve(*map(int, input().split())))\n"
"""What makes a program of standard input of a function."""

HONEST = "def solve(a, b):\n    return a + b\n"

RETURNED = {
    "an object that equals everything": "type('E', (), {'__eq__': lambda s, o: True, '__ne__': lambda s, o: False})()",
    "an int that equals everything": "type('E', (int,), {'__eq__': lambda s, o: True, '__hash__': lambda s: 0})(0)",
    "a str that equals everything": "type('E', (str,), {'__eq__': lambda s, o: True, '__hash__': lambda s: 0})('5')",
    "a list that equals everything": "type('E', (list,), {'__eq__': lambda s, o: True})()",
    "a float that equals everything": "type('E', (float,), {'__eq__': lambda s, o: True})(0.5)",
    "an object with a lying class": "type('E', (), {'__class__': int, '__eq__': lambda s, o: True})()",
    "an object with reflected operators": "type('E', (), {f'__{n}__': lambda s, *o: True for n in "
    "('eq', 'req', 'sub', 'rsub', 'lt', 'gt', 'le', 'ge', 'abs', 'bool', 'int', 'float', 'index', 'hash')})()",
    "a class whose metaclass equals everything": "type('M', (type,), {'__eq__': lambda s, o: True})('E', (), {})",
    "an object that answers to every name": "type('E', (), {'__getattr__': lambda s, n: s, '__call__': lambda s, *a: s,"
    " '__eq__': lambda s, o: True})()",
    "not a number": "float('nan')",
    "NotImplemented": "NotImplemented",
    "itself": "solve",
    "a huge int": "10**5000",
    "a colossal int": "1 << 40_000_000",
    "half a surrogate pair": "'\\ud800'",
    "a deep list": "[x := []] and [x := [x] for _ in range(100_000)][-1]",
    "a cyclic list": "(lambda x: x.append(x) or x)([])",
    "100 MB": "'x' * 100_000_000",
    "an endless iterator": "__import__('itertools').count()",
    "a generator of the answer": "(n for n in (5, 2, 6))",
    "a set of all answers": "set(range(100))",
    "keys that collide": "{n * ((1 << 61) - 1): 0 for n in range(20_000)}",
    "a string of the answer": "str(a + b)",
    "a list of the answer": "[a + b]",
}

BODIES = {
    "ends with exit code 0": "import os; os._exit(0)",
    "exits": "raise SystemExit(0)",
    "raises AssertionError": "raise AssertionError",
    "raises StopIteration": "raise StopIteration",
    "raises GeneratorExit": "raise GeneratorExit",
    "raises KeyboardInterrupt": "raise KeyboardInterrupt",
    "raises a group": "raise BaseExceptionGroup('x', [SystemExit(0)])",
    "raises an exception whose text raises": "raise type('X', (Exception,), {'__str__': lambda s: 1 / 0})()",
    "raises an exception named like a verdict": "raise type('verdict', (BaseException,), {})()",
    "never answers": "while True: pass",
    "sleeps": "import time; time.sleep(3600)",
    "recurses": "return solve(a, b)",
    "takes all memory": "x = [0]\n    while True: x = x + x",
    "kills its parent": "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "kills itself by a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "stops itself": "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
    "overflows the C stack": "import sys; sys.setrecursionlimit(10**9)\n    f = lambda: f()\n    return eval('f()')",
    "closes the channel": "import os; os.close(3); os.close(4)",
    "answers twice": "import os; os.write(4, b'[1,\"value\",0,null]\\n'); return 0",
    "answers in place of the driver": "import os; os.write(4, b'[0,\"value\",0,null]\\n' * 9); os._exit(0)",
    "answers with a verdict": 'import os; os.write(4, b\'["","verdict",{"complete":true,"failed":0,"calls":3}]\\n\')',
    "answers with what is no line": "import os; os.write(4, b'\\xff\\xfe' * 100); os._exit(0)",
    "answers with a deep line": "import os\n    try: os.write(4, b'[' * 1_000_000 + b'\\n')\n    finally: os._exit(0)",
    "answers with a long line": "import os\n    while True: os.write(4, b'1' * 65536)",
    "answers by a child": "import os\n    if os.fork() == 0: os.write(4, b'[0,\"value\",0,null]\\n'); os._exit(0)",
    "answers with a key that is none": 'import os; os.write(4, b\'[0,"value",["d",["l"],1],null]\\n\'); os._exit(0)',
    "answers with an empty range": 'import os; os.write(4, b\'[0,"value",["r",0,1,0],null]\\n\'); os._exit(0)',
    "reads ahead": "import os; data = os.read(3, 100_000); return 0 if not data else 1",
    "floods standard output": "import sys\n    for _ in range(10_000): sys.stdout.write('PASSED\\n' * 1000)",
    "patches json": "import json; json.dumps = lambda *a, **k: '[0,\"value\",5,null]'; return 0",
    "patches the driver": "import __main__\n    __main__.encode = lambda *a: ['h', 0]\n    return 0",
    "traces the driver": "import sys; sys.settrace(lambda f, e, a: f.f_locals.update(value=5)); return 0",
    "searches frames": "import sys; f = sys._getframe()\n    while f:\n"
    "        for names in (f.f_locals, f.f_globals):\n"
    "            for name in ('expected', 'want', 'outputs', 'answer', 'output', 'verdict'):\n"
    "                if name in names: return names[name]\n        f = f.f_back",
    "searches the heap": "import gc\n    want = int('8' + '4005')\n    for x in gc.get_objects():\n"
    "        if type(x) in (list, tuple, set) and want in x: return a + b\n"
    "        if type(x) is dict and want in x.values(): return a + b",
    "searches memory": "import re\n    for line in open('/proc/self/maps'):\n"
    "        m = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)\n        if not m: continue\n"
    "        with open('/proc/self/mem', 'rb') as mem:\n            mem.seek(int(m[1], 16))\n"
    "            data = mem.read(int(m[2], 16) - int(m[1], 16))\n"
    "        if re.search(rb'8400[5]', data): return a + b",
    "searches processes": "import os, re\n    for p in os.listdir('/proc'):\n"
    "        for f in 'environ cmdline maps'.split():\n"
    "            try: data = open(f'/proc/{p}/{f}', 'rb').read(1 << 20)\n            except OSError: continue\n"
    "            if re.search(rb'8400[5]', data): return a + b",
    "searches files": "import os, re\n    for folder, _, names in os.walk('.'):\n        for name in names:\n"
    "            if re.search('8400[5]', open(os.path.join(folder, name), errors='replace').read()): return a + b",
    "searches descriptors": "import os\n    for fd in range(5, 64):\n        try: data = os.pread(fd, 1 << 20, 0)\n"
    "        except OSError: continue\n        if data: return a + b",
}

LOADED = {
    "patches what tests use": "import builtins\n"
    "for n in 'all any len isinstance abs sorted sum type iter map'.split():\n"
    "    setattr(builtins, n, lambda *a, **k: True)",
    "replaces modules": "import sys\nfor n in list(sys.modules): sys.modules[n] = None",
    "replaces the import": "import builtins\nbuiltins.__import__ = lambda *a, **k: None",
    "ends in a thread": "import threading, os\nthreading.Thread(target=lambda: os._exit(0)).start()",
    "ends at exit": "import atexit, os\natexit.register(os._exit, 0)",
    "says that it is loaded": "import os\nos.write(4, b'[\"loaded\"]\\n' * 5)",
    "ignores signals": "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
    "    except (OSError, ValueError): pass\nwhile True: pass",
    "forks without end": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "does not end": "import time\ntime.sleep(3600)",
    "does not compile": "def solve(a, b: return 5",
    "compiles without end": "x = " + "(" * 150 + "1" + ")" * 150 + " + 9**9**9",
    "is nested too deep": "x = " + "-" * 100_000 + "1",
    "is too long a chain": "x = 1" + "+1" * 200_000,
    "holds a zero byte": "x = '\0'",
    "defines nothing": "pass",
    "defines a number": "solve = 5",
}

PROGRAMS = {
    **{f"returns {name}": f"def solve(a, b):\n    return {value}\n" for name, value in RETURNED.items()},
    **{name: f"def solve(a, b):\n    {body}\n" for name, body in BODIES.items()},
    **{
        name: f"{before}\ndef solve(a, b):\n    return None\n"
        for name, before in LOADED.items()
        if "solve" not in before
    },
    **{name: before for name, before in LOADED.items() if "solve" in before},
}
HONEST_ENOUGH = {("stdin", f"returns {name}") for name in ("a string of the answer",)}
"""What is no hack there: a program that prints the answer."""


def fenced(source: str) -> str:
    return f"```python\n{source}\n```"


def row(form: str, source: str) -> dict[str, Any]:
    answer, params = FORMATS[form]
    completion = fenced(source + READ * (form == "stdin"))
    return {"completion": completion, "answer": answer, "format": form, **params}


@pytest.mark.parametrize("form", FORMATS)
def test_the_honest_program_passes(judge: Judge, form: str) -> None:
    assert judge(**row(form, HONEST)).passed


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hack_scores_0_by_its_own_doing(judge_all: JudgeAll, name: str) -> None:
    limits = {"timeout": 0.4, "total": 1.2, "memory": 128 << 20}
    forms = [form for form in FORMATS if (form, name) not in HONEST_ENOUGH]
    verdicts = judge_all([row(form, PROGRAMS[name]) | limits for form in forms])
    for form, verdict in zip(forms, verdicts, strict=True):
        assert verdict.score == 0, (form, verdict)
        assert verdict.status in ("wrong", "unparseable", "timeout", "limit"), (form, verdict)


def test_the_known_hacks_score_0(judge_all: JudgeAll, shared_data: Callable[[str], Path]) -> None:
    hacks = sorted(shared_data("hostile").glob("hack_*.py"))
    assert len(hacks) >= 12
    for path in hacks:
        for verdict in judge_all([row(form, path.read_text()) for form in FORMATS]):
            assert verdict.score == 0, (path.name, verdict)
            assert verdict.status in ("wrong", "unparseable", "timeout", "limit"), (path.name, verdict)


@pytest.mark.parametrize("policy", ["all", "fraction"])
@pytest.mark.parametrize("form", ["humaneval", "mbpp"])
def test_an_exception_does_not_end_the_tests_in_silence(judge: Judge, form: str, policy: str) -> None:
    """``all(map(f, …))`` ends without a word where ``f`` raises StopIteration."""
    test = "assert all(map(lambda n: solve(n, 1) == n + 1, range(3)))"
    params = (
        {"test_list": [test]}
        if form == "mbpp"
        else {"entry_point": "solve", "test": f"def check(candidate):\n    {test}"}
    )
    for name in ("StopIteration", "StopAsyncIteration", "GeneratorExit"):
        source = fenced(f"def solve(a, b):\n    raise {name}")
        assert judge(source, format=form, policy=policy, **params).status == "wrong"


def test_an_argument_that_is_made_the_answer_earns_nothing(judge: Judge) -> None:
    """Tests may compute what is right from the argument itself, after the call."""
    params = {"format": "mbpp", "test_list": ["x = [3, 1, 2]\nassert arranged(x) == sorted(x)"]}
    assert judge(fenced("def arranged(x):\n    x.clear()\n    return []"), **params).status == "wrong"
    assert judge(fenced("def arranged(x):\n    return sorted(x)"), **params).passed


def test_what_is_expected_never_enters_a_job(judge: Judge) -> None:
    """A program that returns whatever secret it finds in its own process, as text, would match here."""
    source = (
        "import gc, sys\ndef find(n):\n    for x in gc.get_objects():\n"
        "        inner = x if type(x) in (list, tuple) else x.values() if type(x) is dict else ()\n"
        "        for y in inner:\n            if type(y) is str and y.startswith('secret' + '-'): return y\n"
        "    return open('/proc/self/environ').read() + str(sys.argv)\n"
    )
    pairs = {"inputs": [[1], [2]], "outputs": ["secret-7f3a", "secret-99b1"]}
    assert judge(fenced(source), pairs, format="call", fn_name="find").status == "wrong"
    pairs = {"inputs": ["1", "2"], "outputs": ["secret-7f3a", "secret-99b1"]}
    assert judge(fenced(source + "print(find(0))"), pairs).status == "wrong"


def test_a_job_sees_no_input_before_it_has_answered_the_last(judge: Judge) -> None:
    """The first call waits for more on the channel: an input that came early would make it answer right."""
    source = (
        "import select\ndef ahead(n):\n    ready = select.select([3], [], [], 0.3)[0]\n    return 1 if ready else 0\n"
    )
    pairs = {"inputs": [[1], [2]], "outputs": [1, 1]}
    assert judge(fenced(source), pairs, format="call", fn_name="ahead", policy="fraction").score == 0
