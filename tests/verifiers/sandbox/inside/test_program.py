"""A job's program finds what a script finds: its name, its streams, its exit codes, its library."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from lachesis.verifiers.sandbox.backends import open_backend
from lachesis.verifiers.sandbox.job import Execution, Job
from lachesis.verifiers.sandbox.protocol import Sandbox
from lachesis.verifiers.sandbox.settings import SandboxSettings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the process sandbox needs Linux")


@pytest.fixture(scope="module")
def pool() -> Iterator[Sandbox]:
    made = open_backend("process", SandboxSettings(size=2))
    yield made
    made.close()


def run(pool: Sandbox, code: str, **given: object) -> Execution:
    return asyncio.run(pool.run(Job(code, **given)))  # type: ignore[arg-type]


WORKS = {
    "name": ("print(__name__, __file__)", "__main__ main.py\n"),
    "input": ("print(input() + input())", "12\n"),
    "stdin": ("import sys; print(sys.stdin.read().split())", "['1', '2']\n"),
    "bytes": ("import sys; print(sys.stdin.buffer.read())", "b'1\\n2\\n'\n"),
    "unicode": ("print('π ✓ 😀')", "π ✓ 😀\n"),
    "exit()": ("print('a'); exit()", "a\n"),
    "sys.exit(None)": ("import sys; print('a'); sys.exit()", "a\n"),
    "atexit": ("import atexit; atexit.register(print, 'late'); print('soon')", "soon\nlate\n"),
    "threads": ("import threading; threading.Thread(target=print, args=('t',)).start()", "t\n"),
    "no newline": ("print('x', end='')", "x"),
    "os.write": ("import os; os.write(1, b'raw\\n')", "raw\n"),
    "dataclass": ("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int\nprint(A(1))", "A(x=1)\n"),
    "pickle": ("import pickle\nclass A: x = 2\nprint(pickle.loads(pickle.dumps(A())).x)", "2\n"),
    "source": ("import inspect\ndef f(): return 7\nprint(inspect.getsource(f), end='')", "def f(): return 7\n"),
    "file": ("print(open('given.txt').read())", "given\n"),
    "module": ("import helper; print(helper.x)", "5\n"),
    "temporary": ("import tempfile\nwith tempfile.TemporaryFile() as f: print(f.write(b'abc'))", "3\n"),
    "child": ("import subprocess; print(subprocess.run(['echo', 'hi'], capture_output=True).stdout)", "b'hi\\n'\n"),
    "python": ("import subprocess, sys; subprocess.run([sys.executable, '-c', 'print(8)'])", "8\n"),
    "pool": (
        "from multiprocessing import Pool\ndef f(x): return x * x\nif __name__ == '__main__':\n"
        "    with Pool(2) as pool: print(pool.map(f, [1, 2, 3]))",
        "[1, 4, 9]\n",
    ),
    "asyncio": ("import asyncio\nasync def f(): return 3\nprint(asyncio.run(f()))", "3\n"),
    "loopback": (
        "import socket, threading\ns = socket.create_server(('127.0.0.1', 0))\n"
        "threading.Thread(target=lambda: s.accept()[0].sendall(b'hey')).start()\n"
        "print(socket.create_connection(s.getsockname()).recv(3))",
        "b'hey'\n",
    ),
    "signal": (
        "import signal\nsignal.signal(signal.SIGALRM, lambda *a: print('alarm'))\n"
        "signal.setitimer(0, .01)\nsignal.pause()",
        "alarm\n",
    ),
    "sqlite": ("import sqlite3; print(sqlite3.connect(':memory:').execute('select 1+1').fetchall())", "[(2,)]\n"),
    "zone": ("from zoneinfo import ZoneInfo; print(ZoneInfo('Europe/Athens'))", "Europe/Athens\n"),
    "user": ("import os; print(os.getcwd(), os.environ['HOME'], os.environ['GREETING'])", "/box /box hello\n"),
    "recursion": (
        "import sys; sys.setrecursionlimit(9000)\ndef f(n): return n and 1 + f(n - 1)\nprint(f(8000))",
        "8000\n",
    ),
    "annotations": ("def f(x: 'int | None' = None) -> 'Undefined': return 1\nprint(f())", "1\n"),
    "no future": ("def f(x: int): pass\nprint(f.__annotations__)", "{'x': <class 'int'>}\n"),
}


@pytest.mark.parametrize("name", WORKS)
def test_a_script_finds_what_it_expects(pool: Sandbox, name: str) -> None:
    code, expected = WORKS[name]
    files = {"given.txt": b"given", "helper.py": b"x = 5"}
    end = run(pool, code, stdin=b"1\n2\n", files=files, env={"GREETING": "hello"})
    assert (end.status, end.exit_code, end.stdout) == ("ok", 0, expected), end


ENDS = {
    "raise ValueError('no')": (1, "", 'Traceback (most recent call last):\n  File "main.py", line 1, in <module>\n'),
    "import sys; sys.exit(7)": (7, "", ""),
    "import sys; sys.exit('why')": (1, "", "why\n"),
    "import sys; sys.exit(256)": (0, "", ""),
    "x = (": (1, "", '  File "main.py", line 1\n'),
    "import os; os._exit(9)": (9, "", ""),
    "import os; os.kill(os.getpid(), 9)": (None, "SIGKILL", ""),
    "import os; os.abort()": (None, "SIGABRT", ""),
    "import os; os.kill(os.getpid(), 40)": (None, "SIG40", ""),
    "raise KeyboardInterrupt": (1, "", "Traceback"),
    "import sys; sys.stdout.close()": (0, "", ""),
}


@pytest.mark.parametrize("code", ENDS)
def test_a_program_ends_as_it_would_in_the_interpreter(pool: Sandbox, code: str) -> None:
    exit_code, signal, stderr = ENDS[code]
    end = run(pool, code)
    assert (end.exit_code, end.signal) == (exit_code, signal), end
    assert end.stderr.startswith(stderr)
    assert end.status == ("ok" if exit_code == 0 else "runtime_error")
    assert "inside" not in end.stderr


def test_equal_programs_are_equal_in_every_agent(pool: Sandbox) -> None:
    code = "print(hash('a'), list({'x', 'y', 'z', 'w'}))"
    assert len({run(pool, code).stdout for _ in range(4)}) == 1


def test_jobs_draw_different_random_numbers(pool: Sandbox) -> None:
    assert (
        run(pool, "import random; print(random.random())").stdout
        != run(pool, "import random; print(random.random())").stdout
    )


def test_source_that_is_not_text_is_an_error_of_the_program(pool: Sandbox) -> None:
    for code in ("x = '\ud800'", "\0", "é = 1\nprint(é)"):
        assert run(pool, code).status in ("ok", "runtime_error")


def test_configured_packages_can_be_imported(tmp_path: object) -> None:
    import sympy

    folder = sympy.__file__.rpartition("/sympy/")[0]
    made = open_backend("process", SandboxSettings(size=2, packages=(folder,)))  # type: ignore[arg-type]
    try:
        assert run(made, "import mpmath; print(mpmath.mpf(2))").stdout == "2.0\n"
    finally:
        made.close()
