import os
import subprocess
import sys
from pathlib import Path

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "delays")}
ASK = "import os, threading; print(hasattr(os.fsync, '__wrapped__'), hasattr(threading.Thread.run, '__wrapped__'))"


def test_a_python_is_late_only_where_it_is_told_to_be() -> None:
    for rate, said in (("", "False False\n"), ("0.01", "True True\n")):
        done = subprocess.run(
            [sys.executable, "-c", ASK],
            env={**ENVIRONMENT, "LACHESIS_DELAYS": rate or "0"},
            capture_output=True,
            text=True,
        )
        assert done.stdout == said, done.stderr
