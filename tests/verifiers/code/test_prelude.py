"""The prelude of programs that read standard input."""

import time

import pytest

from lachesis.verifiers.code.inside.candidate import RECURSION_LIMIT
from lachesis.verifiers.code.prelude import with_prelude

FIRST = f"import sys; sys.setrecursionlimit({RECURSION_LIMIT}); "


@pytest.mark.parametrize(
    ("program", "imports"),
    [
        ("print(1)", ""),
        ("def f(x: List[int]) -> int:\n    return x[0]\nprint(15)", "from typing import List"),
        ("print(Counter('aab')['a'])", "from collections import Counter"),
        ("print(math.floor(1.5))", "import math"),
        ("print(math\n.floor(1.5))", "import math"),
        ("math = 3\nprint(math)", ""),
        ("print(ceil(1.5), gcd(4, 6))", "from math import ceil; from math import gcd"),
        ("import math\nprint(math.pi)", ""),
        ("from math import *\nprint(ceil(1.5))", "from math import ceil"),
        ("from math import ceil\nprint(ceil(1.5))", ""),
        ("import numpy as np, math\nprint(math.e)", ""),
        ("def gcd(a, b):\n    return 1\nprint(gcd(1, 2))", ""),
        ("e = 5\nfor count, pi in []:\n    pass\nprint(e, count, pi)", ""),
        ("class Counter: pass\nCounter()", ""),
        ("print(x.count(1), x.sqrt)", ""),
        ("heap = []\nheappush(heap, 1)", "from heapq import heappush"),
    ],
)
def test_names_that_are_used_and_not_bound_are_imported(program: str, imports: str) -> None:
    assert with_prelude(program) == f"{FIRST}{imports}\n{program}"


def test_future_imports_stay_first() -> None:
    program = "from __future__ import annotations\ndef f(x: List[int]): pass\n"
    made = with_prelude(program)
    assert made.startswith("from __future__ import annotations\n")
    compile(made, "program", "exec", dont_inherit=True)


def test_an_empty_program_stays_empty() -> None:
    assert with_prelude(" \n") == " \n"


@pytest.mark.parametrize("piece", ["for ", "import ", "a = ", "x ", ". ", "def ", "math .", "'", "#", "in "])
def test_hostile_text_takes_no_time(piece: str) -> None:
    start = time.process_time()
    with_prelude(piece * (200_000 // len(piece)))
    assert time.process_time() - start < 4
