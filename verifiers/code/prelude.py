"""The prelude of a program that reads standard input: names that graders let it use without importing them."""

import re

from .inside.candidate import MODULES, RECURSION_LIMIT, SOURCES

_FUTURE = re.compile(r"^from __future__ import [^\n]*", re.MULTILINE)
_IDENTIFIER = re.compile(r"(?<![.\w])[A-Za-z_]\w*+(\s*+\.)?")
_BOUND = re.compile(
    r"^[^\n#\'\"]*\bimport\b([^\n]*)|\b(?:def|class)\s++(\w++)|\b(\w++)\s*+=(?!=)|\bfor\b([^\n:]{0,200}?)\bin\b",
    re.MULTILINE,
)


def with_prelude(program: str) -> str:
    """Return the program after a line that imports the known names that it uses but does not bind.

    LiveCodeBench has such a prelude. As for calls, deep recursion is allowed. An empty program stays empty.
    """
    if not program.strip():
        return program
    bound = {name for parts in _BOUND.findall(program) for part in parts for name in re.findall(r"\w+", part)}
    imports = set()
    for match in _IDENTIFIER.finditer(program):
        name = match[0].rstrip(". \t\r\n") if match[1] else match[0]
        if name in bound:
            continue
        if name in SOURCES:
            imports.add(f"from {SOURCES[name]} import {name}")
        elif name in MODULES and match[1]:
            imports.add(f"import {name}")
    future = _FUTURE.findall(program)
    lines = [*future, f"import sys; sys.setrecursionlimit({RECURSION_LIMIT}); {'; '.join(sorted(imports))}"]
    return "\n".join([*lines, _FUTURE.sub("pass", program) if future else program])
