"""One environment of Atropos beside one run that trains a tiny model on its groups."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from .examples import Example

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("LACHESIS_ATROPOS_PYTHON") or str(ROOT / ".venv-atropos" / "bin" / "python")
FORM = str(Path(__file__).with_name("form.py"))
STEPS, PROMPTS, SIZE = 3, 4, 8
DEADLINE = 400  # seconds


@dataclass(frozen=True)
class Figures:
    """What came of it.

    Attributes:
        accepted: groups.
        refused: bodies of posts.
        exact: sequences whose ids were those that were sampled.
        repaired: sequences that were replaced by what was sampled.
        unprovable: sequences that were trained as they were posted.
        known: share of the trained tokens that have a logprob of the sampler.
        steps: of the trainer.
    """

    accepted: int
    refused: int
    exact: int
    repaired: int
    unprovable: int
    known: float
    steps: int


class Session:
    """A run, and an environment that feeds it.

    Args:
        checkout: of the Atropos repository.
        example: the environment.
        folder: for everything that is written.
    """

    def __init__(self, checkout: Path, example: Example, folder: Path) -> None:
        self.example, self.folder = example, folder
        self.source = checkout / "environments" / example.file
        if not self.source.is_file():
            raise SystemExit(f"{self.source} is missing; give the root of a checkout of the Atropos repository")
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = int(one.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.counts: Counter[str] = Counter()

    def play(self) -> Figures:
        """Train, and return the figures."""
        if self.example.installs:
            subprocess.run([PYTHON, "-m", "pip", "-q", "install", *self.example.installs], check=True)
        if self.example.data:
            self.example.data(self.folder)
        self.write_run()
        run = self.folder / "atropos-1"
        command = [sys.executable, "-m", "lachesis.commands.cli", "train", str(self.folder / "run.toml")]
        job = self.start(command, "run.log", dict(os.environ))
        processes = [job]
        try:
            log = run / "log"
            self.wait(lambda: log.exists() and "connect to http" in log.read_text(), job)
            environment = self.start(self.command(run / "model"), "environment.log", self.environ())
            processes.append(environment)
            self.wait(lambda: self.read_metrics() or environment.poll() is not None, job)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        return self.result(run)

    def write_run(self) -> None:
        """The run's config."""
        example = self.example
        text = " ".join(self.source.read_text().split())  # the prompts are in it, among other things
        common = [word for word, _ in Counter(re.findall(r" ?[A-Za-z]{2,}", text)).most_common(600)]
        form = {
            "text": text[:100_000],
            "longest": int(1.2 * example.context) - 400,
            "earlier": list(example.earlier),
            "replies": list(example.replies),
        }
        service = {"use": "service", "group_size": SIZE, "config": {"port": self.port, "patience": 300.0}}
        config = {
            "name": "atropos",
            "out": str(self.folder),
            "environments": [service, {"use": FORM, "config": form, "weight": 1e-9}],
            "model": {"path": "tiny", "context": example.context, "tiny": {"hidden": 64, "words": common}},
            "rollout": {"inline": True, "slots": 32, "sampling": {"max_tokens": 60}},
            "warm_start": {"steps": 60, "batch": 8, "lr": 3e-3, "every": 1000},
            "trainer": {"steps": STEPS, "prompts": PROMPTS, "lr": 1e-4, "checkpoint_every": 1000},
            "eval": {"every": 1000, "tasks": 1},
        }
        (self.folder / "run.toml").write_text(tomli_w.dumps(config))

    def command(self, tokenizer: Path) -> list[str]:
        """How the environment is started, as its users do it."""
        engine = {
            "base_url": f"{self.url}/v1",
            "model_name": "policy",
            "server_type": "vllm",
            "tokenizer_name": str(tokenizer),
            "api_key": "x",
        }
        options = {
            "env.rollout_server_url": self.url,
            "env.tokenizer_name": str(tokenizer),
            "env.group_size": str(SIZE),
            "env.total_steps": "1000",
            "env.steps_per_eval": "100000",
            "env.max_token_length": "60",
            "env.max_num_workers": "4",
            "env.use_wandb": "false",
            "env.wandb_name": self.source.stem,
            **{f"env.{name}": value for name, value in self.example.options.items()},
        }
        if self.example.in_file:
            servers = self.folder / "servers.yaml"
            servers.write_text(json.dumps({"openai": [engine, engine]}))  # JSON is YAML; only a list of two is taken
            options["config"] = str(servers)
        else:
            options |= {f"openai.{name}": value for name, value in engine.items()}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [PYTHON, str(self.source), "serve", "--slurm", "false", *words]

    def environ(self) -> dict[str, str]:
        """Offline, so that nothing is downloaded."""
        own = {"HF_HUB_OFFLINE": "1", "NLTK_DATA": str(self.folder / "nltk_data"), "HF_HOME": str(self.folder / "hub")}
        return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | own

    def start(self, command: list[str], log: str, environ: dict[str, str]) -> subprocess.Popen[bytes]:
        """A process in the session's folder."""
        with (self.folder / log).open("wb") as output:
            return subprocess.Popen(command, cwd=self.folder, env=environ, stdout=output, stderr=subprocess.STDOUT)

    def wait(self, done: Callable[[], bool], job: subprocess.Popen[bytes]) -> None:
        """Until ``done``, the end of the run, or the deadline."""
        end = time.monotonic() + DEADLINE
        while not done() and job.poll() is None and time.monotonic() < end:
            time.sleep(0.3)

    def read_metrics(self) -> bool:
        """Note the service's figures; False, since the run goes on."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (urllib.error.URLError, OSError):
            return False
        found: Counter[str] = Counter()
        for line in lines:
            name, _, value = line.rpartition(" ")
            if not line.startswith("#"):
                found[name.partition("{")[0]] += int(float(value))
        self.counts = found
        return False

    def result(self, run: Path) -> Figures:
        """The figures; says what the environment and the run wrote if nothing was trained."""
        path = run / "metrics.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        rows = [row for row in rows if row["step"] > 0]
        if len(rows) < STEPS:
            for log in ("run.log", "environment.log"):
                print(f"{log}:\n{(self.folder / log).read_text(errors='replace')[-3000:]}", file=sys.stderr)
        last = rows[-1] if rows else Counter()
        exact, repaired, unprovable = (
            int(last[f"service/service/{kind}"]) for kind in ("exact", "repaired", "unprovable")
        )
        sampled, forced = (sum(row.get(f"tokens/{kind}", 0) for row in rows) for kind in ("sampled", "forced"))
        return Figures(
            self.counts["lachesis_groups_accepted_total"],
            self.counts["lachesis_bodies_refused_total"],
            exact,
            repaired,
            unprovable,
            sampled / max(1, sampled + forced),
            len(rows),
        )
