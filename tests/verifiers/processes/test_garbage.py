"""Each test runs in a process of its own, because the collector belongs to the process."""

import subprocess
import sys

COUNTED = """
import gc
from lachesis.verifiers.processes.garbage import collect_rarely

class Cycle:
    alive = most = 0
    def __init__(self):
        self.itself = self
        Cycle.alive += 1
        Cycle.most = max(Cycle.most, Cycle.alive)
    def __del__(self):
        Cycle.alive -= 1
"""


def run(program: str) -> list[int]:
    command = [sys.executable, "-c", COUNTED + program]
    return [int(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def test_what_exists_is_skipped_and_later_calls_change_nothing() -> None:
    before, frozen, again = run(
        "before = len(gc.get_objects()); collect_rarely(); frozen = gc.get_freeze_count()\n"
        "new = [[] for _ in range(1000)]; collect_rarely(); print(before, frozen, gc.get_freeze_count())"
    )
    assert frozen > before / 2
    assert again == frozen


def test_cycles_that_a_process_makes_all_the_time_are_collected_young() -> None:
    (most,) = run("collect_rarely()\nfor _ in range(200_000): Cycle()\nprint(Cycle.most)")
    assert most < 10_000


def test_cycles_that_lived_long_are_collected_in_the_end() -> None:
    old, left = run(
        "collect_rarely(); old = [Cycle() for _ in range(50_000)]; gc.collect(1); del old; print(Cycle.alive)\n"
        "kept = []\n"
        "for _ in range(4_000_000):\n"
        "    one = []; one.append(one)\n"
        "print(Cycle.alive)"
    )
    assert old == 50_000
    assert left == 0
