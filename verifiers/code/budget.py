"""Time and memory limits of the jobs of one check, and the driver source that runs in them."""

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
        timeout: seconds per test.
        total: seconds for all tests of a completion together.
        memory: bytes per job.
    """

    timeout: float = 10.0
    total: float = 40.0
    memory: int = 512 * MIB

    def job(self, code: str, seconds: float, output: int = 0, stdin: bytes = b"", wait: float = 0.0) -> Job:
        """Return a job limited to ``seconds`` and to ``output`` bytes of output, but at least 1 MiB.

        It may take ``wait`` further seconds without using the CPU, while it waits for another job.
        """
        limits = Limits(wall=seconds + wait, cpu=seconds, memory=self.memory, output=max(MIB, output))
        return Job(code, stdin=stdin, limits=limits)


def seconds_used(execution: Execution) -> float:
    """Return the seconds that a job took, without the time that it waited for a CPU."""
    return max(0.0, execution.usage.wall - execution.usage.waited)


@lru_cache
def driver_source(*parts: str) -> str:
    """Return the programs ``parts`` of ``inside`` joined into one source, which calls the last ``serve``.

    The source contains compiled code too: if the job's interpreter has the same version, this halves its start time.
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
