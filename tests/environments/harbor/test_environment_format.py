"""The format as the package ``harbor`` itself reads it: the tests' tasks are valid there, and rewards mean the same."""

import json
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.harbor.environment import read_reward
from lachesis.environments.harbor.task_folder import WORK, read_task

from .conftest import FILES as SANDBOX_FILES
from .docker.conftest import FILES as DOCKER_FILES

HARBOR = os.environ.get("LACHESIS_HARBOR_PYTHON", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HARBOR, reason="LACHESIS_HARBOR_PYTHON is not set; see make agents"),
]

READ_TASK = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from harbor.models.task.task import Task
from harbor.models.task.verifier_mode import resolve_task_verifier_mode
found = []
for folder in sys.argv[1:]:
    assert Task.is_valid_dir(folder), folder
    task = Task(Path(folder))
    config = task.config
    found.append({
        "instruction": task.instruction,
        "mode": resolve_task_verifier_mode(config).value,
        "artifacts": [entry if isinstance(entry, str) else entry.source for entry in config.artifacts],
        "agent": config.agent.timeout_sec,
        "verifier": config.verifier.timeout_sec,
        "build": config.environment.build_timeout_sec,
        "cpus": config.environment.cpus,
        "memory": config.environment.memory_mb,
        "disk": config.environment.storage_mb,
        "offline": config.environment.network_mode.value != "public",
    })
print(json.dumps(found))
"""
READ_REWARDS = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from harbor.models.verifier.result import VerifierResult
from harbor.verifier.verifier import Verifier
verifier = Verifier.__new__(Verifier)
found = []
for folder in map(Path, sys.argv[1:]):
    verifier.trial_paths = SimpleNamespace(
        reward_text_path=folder / "reward.txt", reward_json_path=folder / "reward.json"
    )
    read = verifier._parse_reward_json if (folder / "reward.json").exists() else verifier._parse_reward_text
    try:
        found.append(VerifierResult(rewards=read()).rewards)
    except Exception as error:
        found.append(type(error).__name__)
print(json.dumps(found))
"""
CANARY = "<!-- benchmark data, canary GUID 1 -->\n# also a canary\n\nDo it.\n# canary\n"
REWARDS = [
    *[{"reward.txt": text} for text in ("1", "0.25\n", " 1e-3 ", "-2", "nan", "inf", "", "one", "1 2", "0x1", "1_0")],
    *[
        {"reward.json": text}
        for text in (
            '{"reward": 1}',
            '{"reward": 0.5, "style": 1}',
            '{"a": 1, "b": 0}',
            '{"a": true}',
            '{"a": "1"}',
            '{"a": null}',
            '{"a": [1]}',
            '{"a": NaN}',
            '{"a": 1e400}',
            '{"reward": 1, "style": NaN}',
            '"reward"',
            "0.5",
            "[1]",
            "",
            "{",
            "null",
        )
    ],
    {"reward.json": '{"reward": 0}', "reward.txt": "1"},
    {"reward.json": "broken", "reward.txt": "1"},
]


def harbor(program: str, *arguments: Any) -> Any:
    """What a program prints in Harbor's own virtual environment."""
    command = [HARBOR, "-c", program, *map(str, arguments)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_harbor_reads_the_tests_tasks_as_they_are_read_here(tmp_path: Path) -> None:
    variants: list[Callable[[], dict[str, str]]] = [
        lambda: SANDBOX_FILES,
        lambda: DOCKER_FILES,
        lambda: {
            **DOCKER_FILES,
            "task.toml": 'version = "1.0"\n[environment]\nmemory = "2G"\nallow_internet = false\n',
        },
        lambda: {**DOCKER_FILES, "task.toml": "", "instruction.md": CANARY},
        lambda: {**DOCKER_FILES, "task.toml": '[environment]\ndocker_image = "x:1"\n[verifier.environment]\n'},
    ]
    folders = [write(tmp_path / str(number), files()) for number, files in enumerate(variants)]
    for folder, theirs in zip(folders, harbor(READ_TASK, *folders), strict=True):
        ours = read_task(folder, in_docker=True)
        assert ours.docker is not None
        assert ours.instruction == theirs["instruction"]
        assert (WORK in ours.artifacts) == (theirs["mode"] == "shared")
        assert set(theirs["artifacts"]) <= set(ours.artifacts)
        assert ours.agent_seconds == (theirs["agent"] or 600.0)
        assert ours.verifier_seconds == theirs["verifier"]
        assert (ours.docker.image.seconds, ours.docker.cpus) == (theirs["build"], theirs["cpus"])
        assert (ours.docker.memory, ours.docker.disk) == (theirs["memory"] or 0, theirs["disk"] or 0)
        assert ours.docker.offline == theirs["offline"]


def test_rewards_are_read_as_harbor_reads_them(tmp_path: Path) -> None:
    folders = [write(tmp_path / str(number), files) for number, files in enumerate(REWARDS)]
    for files, theirs in zip(REWARDS, harbor(READ_REWARDS, *folders), strict=True):
        ours = read_reward({f"/logs/verifier/{name}": text.encode() for name, text in files.items()}, "")
        if isinstance(theirs, str):
            assert (ours.score, ours.passed) == (0.0, False), (files, theirs)
            assert "the tests wrote" in ours.reason
        else:
            score = theirs.get("reward", sum(theirs.values()) / len(theirs))
            assert math.isclose(ours.score, score), (files, theirs)
