"""The viewer over 10,000 steps and 100,000 trajectories: first paint, opening one trajectory, memory, payload sizes."""

import asyncio
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lachesis.rollout.store import TrajectoryStore
from lachesis.verifiers.group import Group
from lachesis.verifiers.message import Message
from lachesis.verifiers.reward import Component, Reward
from lachesis.verifiers.segment import Segment
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import POLICY, Trajectory
from lachesis.verifiers.verdict import Verdict

STEPS, STORED, GROUP = 10_000, 1_000, 100
"""Rows of metrics; steps with trajectories; trajectories of each."""


def rows() -> Iterator[tuple[str, float, str, float]]:
    """Yield the figures; the limit of opening is reading and decoding the same step without the viewer."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run-1"
        _write(run)
        words = [sys.executable, "-m", "lachesis.commands.cli", "view", folder, "--port", "0"]
        start = time.perf_counter()
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                address = server.stdout.readline().split()[1]
                started = time.perf_counter() - start
                yield "viewer, from the command to its address", started, "s", _bare_start()
                (key,) = (source["key"] for source in _get(f"{address}api/home")["sources"])
                yield from _opening(address, key, run)
                yield from _payloads(address, key, run, server.pid)
                paint = asyncio.run(_paint(f"{address}#/run/{key}"))
                if paint:
                    yield "viewer, first paint of the run's page", paint, "ms", 1000.0
            finally:
                server.terminate()


def _write(run: Path) -> None:
    run.mkdir()
    (run / "config.toml").write_text('[[environments]]\nuse = "arithmetic"\n')
    store = TrajectoryStore(run / "trajectories.jsonl.zst")
    task = Task("What is 17 + 25? " + "Think step by step. " * 20, answer="42")
    tokens = 256
    sampled = np.arange(tokens) >= 128
    segment = Segment(
        tokens=np.arange(tokens),
        sampled=sampled,
        mask=sampled,
        logprobs=np.where(sampled, np.float32(-0.12345), np.nan).astype(np.float32),
        versions=np.where(sampled, 3, -1),
    )
    prompt = Message(role="user", content=task.prompt if isinstance(task.prompt, str) else "")
    attempts = []
    for number in range(GROUP):
        reply = Message(role="assistant", content=f"attempt {number} " + "so it is 42. " * 40)
        reward = Reward((Component("exact", 1.0, Verdict(float(number % 2))),))
        attempts.append(Trajectory(task, "arithmetic", {POLICY: (prompt, reply)}, (segment,), rewards={POLICY: reward}))
    for step in range(1, STORED + 1):
        store.append(step, [Group(step, task, tuple(attempts))])
    names = ["reward/total", "reward/exact", "loss", "entropy", "grad_norm", "lr", "tokens/reply", "mismatch_kl"]
    with (run / "metrics.jsonl").open("w") as file:
        for step in range(1, STEPS + 1):
            row = {name: 0.5 + 0.001 * ((step * 7919) % 997) for name in names}
            file.write(json.dumps({"step": step, **row}) + "\n")


def _opening(address: str, key: str, run: Path) -> Iterator[tuple[str, float, str, float]]:
    store = TrajectoryStore(run / "trajectories.jsonl.zst")
    frame = store.frames[STORED // 2]
    start = time.perf_counter()
    for line in store.lines(frame):
        json.loads(line)
    bare = time.perf_counter() - start
    start = time.perf_counter()
    _get(f"{address}api/{key}/trajectories/{frame.first}/7")
    yield "viewer, open a trajectory among 100,000, unindexed", 1e3 * (time.perf_counter() - start), "ms", 1e3 * bare
    start = time.perf_counter()
    while _get(f"{address}api/{key}/rows?step=1")["indexed"] < STORED * GROUP:
        time.sleep(0.1)
    yield "viewer, index of 100,000 trajectories", time.perf_counter() - start, "s", bare * STORED
    start = time.perf_counter()
    _get(f"{address}api/{key}/rows?success=no&step=900")
    yield "viewer, list of one step", 1e3 * (time.perf_counter() - start), "ms", 1e3 * bare


def _payloads(address: str, key: str, run: Path, pid: int) -> Iterator[tuple[str, float, str, float]]:
    status = Path(f"/proc/{pid}/status").read_text()
    held = int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024
    store = TrajectoryStore(run / "trajectories.jsonl.zst")
    raw = sum(map(len, store.lines(store.frames[0]))) * STORED
    yield "viewer, memory with the index", held, "MiB", raw / 2**20
    names = "reward/total,reward/exact,loss,entropy,grad_norm,lr,tokens/reply,mismatch_kl"
    with urllib.request.urlopen(f"{address}api/{key}/curves?names={names}") as response:
        body = response.read()
    whole = (run / "metrics.jsonl").stat().st_size
    yield "viewer, eight curves of 10,000 steps, compressed", len(gzip.compress(body)) / 1e3, "KB", whole / 1e3


def _bare_start() -> float:
    """Seconds to import what the viewer is made of."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import aiohttp.web, msgspec, numpy, pydantic, click, rich"], check=True)
    return time.perf_counter() - start


async def _paint(url: str) -> float | None:
    """Milliseconds until the browser painted content first; None without a browser."""
    chromium = shutil.which("chromium") or os.environ.get("CHROMIUM")
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        return None
    if not chromium:
        return None
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(url)
        await page.get_by_role("img", name="Loss").wait_for()
        found = await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        await browser.close()
        return float(found)


def _get(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url) as response:
        found: dict[str, Any] = json.loads(response.read())
        return found
