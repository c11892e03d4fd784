"""Ray on this machine: what keeps it from starting is one line with its cure."""

import os
import subprocess
import sys
from pathlib import Path


def test_a_temporary_folder_whose_path_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "from lachesis.rollout.cluster.local_ray import start_ray; start_ray(1)"],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith("set TMPDIR to one with a shorter path")
