"""CI forbids skips of what it must test: LACHESIS_CI turns them into failures. Everyone else sees one line a reason."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "test_importorskip.py": "import pytest\ndef test_it(): pytest.importorskip('no_such', reason='no vllm')\n",
    "test_module.py": "import pytest\npytest.skip('Ray is not installed', allow_module_level=True)\n",
    "test_mark.py": "import pytest\n@pytest.mark.skipif(True, reason='needs vllm')\ndef test_it(): pass\n",
    "test_data.py": "def test_it(shared_data): shared_data('no_such_file.jsonl')\n",
    "test_docker.py": "import pytest as p\n@p.fixture\ndef image(): p.skip('no docker')\ndef test_it(image): ...\n",
    "test_gpu.py": "import pytest\ndef test_it(): pytest.skip('needs a GPU, and this array is on the CPU')\n",
    "test_xfail.py": "import pytest\n@pytest.mark.xfail(reason='vllm')\ndef test_it(): assert False\n",
}


def printed(folder: Path, files: dict[str, str], **environment: str) -> list[str]:
    """The lines that pytest prints over ``files`` under our conftest and with our settings."""
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    settings = Path(__file__).parent.parent / "pyproject.toml"
    pytest_command = [str(Path(sys.executable).with_name("pytest")), "-c", str(settings), f"--rootdir={folder}"]
    options = ["-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", str(folder)]
    whole = {**os.environ, "LACHESIS_CI": "", **environment}
    done = subprocess.run([*pytest_command, *options], cwd=folder, env=whole, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


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
    assert expected in printed(tmp_path, SKIPS, LACHESIS_CI=forbidden)[-1]


NO_DATA = """
import pytest

@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl", "c.jsonl"])
def test_it(shared_data, name): shared_data(name)

def test_another(shared_data): shared_data("d.jsonl")
"""


def test_skips_are_one_line_a_reason(tmp_path: Path) -> None:
    files = {**SKIPS, "test_no_data.py": NO_DATA}
    lines = printed(tmp_path, files, LACHESIS_TEST_DATA=str(tmp_path / "nowhere"))
    (start,) = (at for at, line in enumerate(lines) if "= skipped =" in line)
    skips = lines[start + 1 :][:6]
    assert skips[0].split(maxsplit=1) == ["5", f"no folder of test data at {tmp_path}/nowhere; set LACHESIS_TEST_DATA"]
    assert {line.split()[0] for line in skips[1:]} == {"1"}
    assert "    1 Ray is not installed" in skips
    assert not [line for line in lines if line.startswith("SKIPPED")]
    assert "10 skipped" in lines[-1]
