"""Two nodes with addresses of their own train the main job while one of them is cut off and comes back."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "two_nodes.py"


@pytest.fixture
def namespaces() -> None:
    """Network namespaces can be made here."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        pytest.skip("network namespaces need root, ip and unshare")
    name = f"lachesis-try{os.getpid()}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        pytest.skip("network namespaces cannot be made here")
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("namespaces")
def test_a_run_on_two_nodes_goes_on_when_one_is_cut_off_and_comes_back_and_ends_with_the_same_weights() -> None:
    command = [sys.executable, str(SCRIPT), "--cut", "40", "--steps", "40"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert said["steps"] == [40, 40]
    assert said["same weights"]
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert "lachesis-" not in left
