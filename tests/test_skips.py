"""CI forbids skips of what it must test: LACHESIS_CI turns them into failures."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "test_importorskip.py": "import pytest\ndef test_it(): pytest.importorskip('vllm.no_such_module')\n",
    "test_module.py": "import pytest\npytest.skip('Ray is not installed', allow_module_level=True)\n",
    "test_mark.py": "import pytest\n@pytest.mark.skipif(True, reason='needs vllm')\ndef test_it(): pass\n",
    "test_data.py": "def test_it(shared_data): shared_data('no_such_file.jsonl')\n",
    "test_docker.py": "import pytest as p\n@p.fixture\ndef image(): p.skip('no docker')\ndef test_it(image): ...\n",
    "test_gpu.py": "import pytest\ndef test_it(): pytest.skip('needs a GPU, and this array is on the CPU')\n",
    "test_xfail.py": "import pytest\n@pytest.mark.xfail(reason='vllm')\ndef test_it(): assert False\n",
}


def outcome(folder: Path, forbidden: str) -> str:
    """The closing line of pytest over SKIPS under our conftest; a skip at set-up or collection ends as an error."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    for name, text in SKIPS.items():
        (folder / name).write_text(text)
    environment = {**os.environ, "LACHESIS_CI": forbidden}
    pytest_command = str(Path(sys.executable).with_name("pytest"))
    options = ["-q", "--import-mode=importlib", "--continue-on-collection-errors", f"--rootdir={folder}"]
    done = subprocess.run([pytest_command, *options, str(folder)], env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("forbidden", "expected"),
    [
        ("", "6 skipped, 1 xfailed"),
        ("vllm ray", "1 failed, 3 skipped, 1 xfailed, 2 errors"),
        ("docker", "5 skipped, 1 xfailed, 1 error"),
        ("1", "2 failed, 1 skipped, 1 xfailed, 3 errors"),
    ],
)
def test_a_forbidden_skip_is_a_failure(tmp_path: Path, forbidden: str, expected: str) -> None:
    assert expected in outcome(tmp_path, forbidden)
