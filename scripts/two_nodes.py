"""Trains the main job on two nodes, cuts one of them off, lets it come back, and compares the weights with one process.

    sudo python scripts/two_nodes.py [--cut 40] [--steps 30]

The nodes are two network namespaces of this machine with addresses of their own. The second node does not see the
folder of the run. It needs root, ``ip`` and ``unshare``, and leaves nothing behind.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
HEAD, FAR = "10.213.7.1", "10.213.7.2"
PORT = 6379
PATIENCE = 900.0
"""Seconds that any one thing may take."""
SMALL = {
    "model.tiny.hidden": 64,
    "model.tiny.layers": 1,
    "trainer.prompts": 32,
    "trainer.checkpoint_every": 100,
    "warm_start.steps": 200,
    "warm_start.lr": 3e-3,
    "warm_start.every": 100,
    "eval.tasks": 16,
    "logging.sinks": "[]",
}
"""The main job's settings, made small."""


def main() -> None:
    """Run both and compare them; the exit code is 1 if the weights differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cut", type=float, default=40.0, help="seconds for which the second node is cut off")
    parser.add_argument("--steps", type=int, default=30, help="steps of training")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root: call it with sudo")
    with tempfile.TemporaryDirectory(prefix="lachesis-two-nodes-") as name:
        work = Path(name)
        said = compare(work, options.steps, options.cut)
    print(json.dumps(said, indent=2))
    sys.exit(not said["same weights"])


def compare(work: Path, steps: int, cut: float) -> dict[str, Any]:
    """Train in one process and on two nodes; return what happened.

    Args:
        work: a folder that the second node will not see.
        steps: of training.
        cut: seconds for which the second node is cut off in the middle.
    """
    alone = train(work / "alone", steps, ["--rollout.inline", "true"])
    finish(alone, work / "alone")
    with two_nodes(work) as network:
        both = train(
            work / "both",
            steps,
            ["--cluster.address", f"{HEAD}:{PORT}", "--cluster.engines.strategy", "spread"],
            ["ip", "netns", "exec", network.head],
        )
        wait_for(lambda: step_of(work / "both") >= max(1, steps // 3), both)
        before = time.monotonic()
        network.cut(cut)
        finish(both, work / "both")
    return {
        "steps": [step_of(work / "alone"), step_of(work / "both")],
        "same weights": weights_of(work / "alone") == weights_of(work / "both"),
        "seconds after the cut began": round(time.monotonic() - before),
        "what the run said": events_of(work / "both"),
    }


def train(out: Path, steps: int, further: Sequence[str], where: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start ``lachesis train``; its output goes to a file beside the run."""
    settings = [f"--{key}={value}" for key, value in SMALL.items()]
    words = [str(ROOT / "configs" / "arithmetic.toml"), f"--out={out}", f"--trainer.steps={steps}", *settings, *further]
    out.mkdir()
    with (out / "output.txt").open("wb") as output:
        command = [*where, sys.executable, "-m", "lachesis.commands.cli", "train", *words]
        return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment(), cwd=out)


def finish(run: "subprocess.Popen[bytes]", out: Path) -> None:
    """Wait for a run; raise what it printed if it failed."""
    if run.wait(PATIENCE) != 0:
        raise SystemExit(f"lachesis train ended with {run.returncode}:\n{(out / 'output.txt').read_text()[-3000:]}")


def environment() -> dict[str, str]:
    """Of all processes: one thread for equal bits, and this checkout."""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "RAY_AUTH_MODE": "disabled"}


class Network:
    """Two namespaces with a cable between them."""

    def __init__(self, head: str, far: str, cable: str) -> None:
        self.head, self.far, self._cable = head, far, cable

    def cut(self, seconds: float) -> None:
        """Pull the cable, and plug it in again."""
        call("ip", "-n", self.head, "link", "set", self._cable, "down")
        time.sleep(seconds)
        call("ip", "-n", self.head, "link", "set", self._cable, "up")


@contextmanager
def two_nodes(work: Path) -> Iterator[Network]:
    """A Ray cluster of two nodes; the second one is started again whenever it ends, and does not see ``work``."""
    tag = f"{os.getpid()}"
    network = Network(f"lachesis-a{tag}", f"lachesis-b{tag}", f"la{tag}")
    with ExitStack() as closing:
        for name in (network.head, network.far):
            call("ip", "netns", "add", name)
            closing.callback(call, "ip", "netns", "del", name)
        peer = f"lb{tag}"
        call("ip", "link", "add", f"la{tag}", "netns", network.head, "type", "veth", "peer", peer, "netns", network.far)
        for name, end, address in ((network.head, f"la{tag}", HEAD), (network.far, peer, FAR)):
            call("ip", "-n", name, "addr", "add", f"{address}/24", "dev", end)
            call("ip", "-n", name, "link", "set", end, "up")
            call("ip", "-n", name, "link", "set", "lo", "up")
        rays = Path(tempfile.mkdtemp(prefix="lr"))  # short, because it holds the paths of sockets
        closing.callback(shutil.rmtree, rays, ignore_errors=True)
        ray = shutil.which("ray") or str(Path(sys.executable).with_name("ray"))
        same = f"--num-cpus=4 --object-store-memory=200000000 --disable-usage-stats --block --temp-dir={rays}"
        head = f"exec {ray} start --head --port={PORT} --node-ip-address={HEAD} --include-dashboard=false {same}"
        far = (
            f"mount -t tmpfs none {work} && mount -t tmpfs none {rays} && "
            f"while true; do {ray} start --address={HEAD}:{PORT} --node-ip-address={FAR} {same}; sleep 1; done"
        )
        closing.enter_context(running(["ip", "netns", "exec", network.head, "sh", "-c", head], rays / "head.txt"))
        wait_for(lambda: "Ray runtime started" in (rays / "head.txt").read_text())
        log = rays / "far.txt"
        closing.enter_context(running(["ip", "netns", "exec", network.far, "unshare", "-m", "sh", "-c", far], log))
        wait_for(lambda: "Ray runtime started" in log.read_text())
        yield network


@contextmanager
def running(command: Sequence[str], log: Path) -> Iterator[None]:
    """A process and all that it starts, as a session of its own that is ended at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
        )
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for member in members(process.pid):
                os.kill(member, number)
            time.sleep(2)
        process.wait()


def members(session: int) -> list[int]:
    """The processes of a session."""
    found = subprocess.run(["ps", "-o", "pid=", "-s", str(session)], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


def wait_for(done: Any, run: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until ``done()``; raise if that takes too long, or if ``run`` ends before."""
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end or (run is not None and run.poll() is not None):
            raise SystemExit("it took too long, or the run ended early")
        time.sleep(0.2)


def step_of(out: Path) -> int:
    """The newest step of the run in ``out``."""
    files = list(out.glob("*/metrics.jsonl"))
    lines = files[0].read_text().splitlines() if files else []
    return max((int(json.loads(line)["step"]) for line in lines if line.endswith("}")), default=0)


def weights_of(out: Path) -> str:
    """A digest of the weights of the newest checkpoint."""
    newest = sorted(out.glob("*/checkpoints/step-*/*.safetensors"))[-1]
    return hashlib.sha256(newest.read_bytes()).hexdigest()


def events_of(out: Path) -> list[str]:
    """The warnings that the run printed about engines, workers and nodes."""
    words = ("engine", "worker", "node")
    lines = (out / "output.txt").read_text(errors="replace").splitlines()
    return [line.strip()[:160] for line in lines if any(word in line for word in words)][-20:]


def call(*command: str) -> None:
    """Run a command; raise if it fails."""
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
