"""A base image for tasks, made of this machine's Python and a few programs, and tasks that are built upon it."""

import hashlib
import io
import shutil
import subprocess
import tarfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from docker.errors import NotFound

from lachesis.environments.harbor.environment import Harbor
from lachesis.environments.play import play
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.docker.daemon import connect
from lachesis.verifiers.sandbox.docker.image import build_image
from lachesis.verifiers.trajectory import Trajectory

from ..conftest import write_task

NAME = uuid.uuid4().hex
BASE, SESSION = f"lachesis-harbor-test-base:{NAME}", f"lachesis.test={NAME}"
"""The base image of this session, and its label, which the images built upon it inherit."""
PROGRAMS = (
    *("bash", "cat", "chmod", "cp", "date", "dd", "env", "find", "head", "id", "ln", "ls", "mkdir", "mktemp", "mv"),
    *("ps", "rm", "sh", "sleep", "stat", "tail", "touch", "tr", "uname"),
)
LIBRARIES = (
    "librt.so.1",
    "libpthread.so.0",
    "libdl.so.2",
    "libutil.so.1",
    "libz.so.1",
    "libgcc_s.so.1",
    "libstdc++.so.6",
)


@pytest.fixture(scope="session")
def base_image() -> Iterator[str]:
    """The name of the base image; without a Docker daemon the test is skipped.

    It and the images built upon it have the label of this session, and are removed in the end. Other sessions have
    others, although they share the daemon and the image with the programs, which stays.
    """
    try:
        api = connect()
    except ConfigError as error:
        pytest.skip(f"no docker daemon: {error}")
    lines = [f"FROM {image_with_programs(api)}", f"LABEL {SESSION}"]
    build(api, BASE, {"Dockerfile": "\n".join(lines).encode()})
    yield BASE
    remove_images(api, SESSION)


def image_with_programs(api: Any) -> str:
    """The name of the image with the programs, which is built if there is none of this content."""
    python = "lachesis-sandbox:latest" if api.images("lachesis-sandbox:latest") else build_image(report=lambda _: None)
    files = {f"root{name}": Path(name).resolve().read_bytes() for name in sorted(files_of_programs())}
    files["Dockerfile"] = f"FROM {python}\nCOPY root /\n".encode()
    digest = hashlib.sha256(api.inspect_image(python)["Id"].encode())
    for name, content in files.items():
        digest.update(name.encode() + hashlib.sha256(content).digest())
    image = f"lachesis-harbor-test-programs:{digest.hexdigest()[:12]}"
    if not api.images(image):
        build(api, image, files)
    return image


def build(api: Any, name: str, files: dict[str, bytes]) -> None:
    """Build an image of the files; all may be executed."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    log = list(api.build(fileobj=context, custom_context=True, tag=name, rm=True, decode=True))
    assert not any("error" in line for line in log), log


def remove_images(api: Any, label: str) -> None:
    """Remove the images with a label, the base image last, since the others are built upon it."""
    for image in sorted(api.images(filters={"label": label}), key=lambda image: BASE in (image["RepoTags"] or ())):
        with suppress(NotFound):  # it went with one that was built upon it
            api.remove_image(image["Id"], force=True)


def files_of_programs() -> set[str]:
    """The programs and their libraries, at the paths where they are looked for."""
    found = set()
    for program in PROGRAMS:
        path = str(Path(shutil.which(program) or program))
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
        libraries = {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}
        found |= {f"/usr/bin/{program}", f"/bin/{program}", *libraries}
    (libc,) = [name for name in found if Path(name).name == "libc.so.6"]
    found |= {str(Path(libc).with_name(library)) for library in LIBRARIES}
    return {name for name in found if Path(name).exists()}


FILES = {
    "task.toml": 'schema_version = "1.4"\n'
    'artifacts = ["/app/out.json"]\n'
    '[verifier]\nenvironment_mode = "separate"\ntimeout_sec = 60.0\n'
    "[agent]\ntimeout_sec = 60.0\n"
    "[environment]\nbuild_timeout_sec = 120.0\ncpus = 1\nmemory_mb = 256\nstorage_mb = 64\n",
    "instruction.md": "Sort /app/numbers.json into /app/out.json.\n",
    "environment/Dockerfile": f"FROM {BASE}\nWORKDIR /app\nCOPY numbers.json ./\nENV A=b\nRUN echo built > /built\n",
    "environment/numbers.json": "[3, 1, 2, 40, 7, 1000000, 12]",
    "tests/test.sh": "#!/bin/bash\n"
    "if python3 /tests/check.py; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n",
    "tests/check.py": "import json\n"
    'assert json.load(open("/app/out.json")) == sorted(json.load(open("/app/numbers.json")))\n',
    "solution/solve.sh": "#!/bin/bash\n"
    "python3 -c \"import json; json.dump(sorted(json.load(open('/app/numbers.json'))), open('/app/out.json', 'w'))\"\n",
}
"""A sound task, as files."""


@pytest.fixture
def make_task(make_plain_task: Callable[..., Path], base_image: str) -> Callable[..., Path]:
    """Writes a task that can be built upon the base image; a file that is None is left out."""
    return make_plain_task


@pytest.fixture
def make_plain_task(tmp_path: Path) -> Callable[..., Path]:
    """Writes a task; a file that is None is left out."""

    return lambda name="sort", **changes: write_task(tmp_path / "tasks" / name, FILES, changes)


async def attempt(folder: Path, script: str, **settings: Any) -> Trajectory:
    """The scored attempt of a shell program at the task, without a model."""
    command = ["/bin/sh", "-c", script]
    settings = {"command": command, "network": "off", "held_out": 0.0, "docker": True, **settings}
    environment = Harbor(path=folder, **settings)
    (task,) = environment.tasks("train", 0)
    return await environment.score_trajectory(await play(environment, task, {}, (0,)))


def total(trajectory: Trajectory) -> float:
    """Its reward, which must have been given."""
    assert trajectory.rewards, trajectory.error
    assert trajectory.rewards["policy"].scored, trajectory.rewards
    return float(trajectory.rewards["policy"].total)
