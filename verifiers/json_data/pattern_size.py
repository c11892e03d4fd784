"""The size of a compiled regular expression, estimated before it is compiled: counted repeats copy what they repeat."""

import re

MAX_SIZE = 100_000
"""Largest size of a pattern: its characters and classes, each counted as often as counted repeats copy it."""

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|\[:[^]\n]*:\]|[^\]\\])*+\]?|\(\?\#[^)]*\)?|(?P<open>\()|(?P<close>\))"
    r"|\{(?P<low>\d*)(?P<more>,)?(?P<high>\d*)\}|.",
    re.DOTALL,
)


def check_size(pattern: str) -> None:
    """Check that compiling ``pattern`` takes little memory and time.

    Raises:
        ValueError: its counted repeats, such as ``a{1000000}`` or ``((a{99}){99}){99}``, copy too much.
    """
    sizes, last = [0], [0]  # of each open group: its size so far, and that of its last part
    for token in _TOKEN.finditer(pattern):
        if token["open"]:
            sizes.append(1)
            last.append(0)
        elif token["close"]:
            inner = sizes.pop() if len(sizes) > 1 else 0
            last = last[:-1] or [0]
            sizes[-1] += inner
            last[-1] = inner
        elif token["low"] or token["high"]:
            times = max(_count(token["low"]), _count(token["high"]))
            grown = last[-1] * min(times, MAX_SIZE + 1)
            sizes[-1] += grown - last[-1]
            last[-1] = grown
        else:
            sizes[-1] += 1
            last[-1] = 1
        if sizes[-1] > MAX_SIZE:
            raise ValueError(f"{pattern!r:.80} repeats more than {MAX_SIZE} parts; use + or *, or a smaller number")


def _count(digits: str | None) -> int:
    return min(int(digits[:9]) * 10 ** max(0, len(digits) - 9), MAX_SIZE + 1) if digits else 0
