"""How far the jobs of one check may go, and the sources that run in them."""

import marshal
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from ..sandbox.job import MIB, Execution, Job, Limits

_INSIDE = Path(__file__).with_name("inside")


@dataclass(frozen=True)
class Budget:
    """Limits of one check.

    Attributes:
        timeout: seconds that one test may take.
        total: seconds that all tests of a completion may take together.
        memory: bytes of one job.
    """

    timeout: float = 10.0
    total: float = 40.0
    memory: int = 512 * MIB

    def job(self, code: str, seconds: float, output: int = 0, stdin: bytes = b"") -> Job:
        """A job that may run for ``seconds`` and say ``output`` bytes, or 1 MiB if that is more."""
        limits = Limits(wall=seconds, cpu=seconds, memory=self.memory, output=max(MIB, output))
        return Job(code, stdin=stdin, limits=limits)


def spent(execution: Execution) -> float:
    """Seconds that a job took, the time that it waited for a CPU not counted."""
    return max(0.0, execution.usage.wall - execution.usage.waited)


@lru_cache
def source(*parts: str) -> str:
    """The programs ``parts`` of ``inside`` as one, of which the last is run.

    It travels compiled as well: where the job's interpreter reads what ours writes, that saves the half of its time.
    """
    lines = [line for part in parts for line in (_INSIDE / f"{part}.py").read_text().splitlines()]
    text = "\n".join([*(line for line in lines if not line.startswith("from .")), "serve()", ""])
    compiled = marshal.dumps(compile(text, "driver.py", "exec", dont_inherit=True))
    return (
        "import marshal, sys\n"
        f"if sys.modules['_frozen_importlib_external'].MAGIC_NUMBER == {MAGIC_NUMBER!r}:\n"
        f"    exec(marshal.loads({compiled!r}))\n"
        "else:\n"
        f"    exec({text!r})\n"
    )
