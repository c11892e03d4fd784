"""How far the jobs of one check may go, and the sources that run in them."""

from dataclasses import dataclass
from functools import lru_cache
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
    """The programs ``parts`` of ``inside`` as one, of which the last is run."""
    lines = [line for part in parts for line in (_INSIDE / f"{part}.py").read_text().splitlines()]
    return "\n".join([*(line for line in lines if not line.startswith("from .")), "serve()", ""])
