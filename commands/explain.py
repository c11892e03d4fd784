"""``lachesis explain``: a stored trajectory of a run, with its rewards and its tokens."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..rollout.models.source import check_source
from ..rollout.store import Stored
from ..trainer.config import RunConfig
from ..trainer.run.step_record import ADVANTAGE, TRAINER
from ..trainer.run.storage.reader import Run
from ..verifiers.errors import ConfigError, LachesisError
from ..verifiers.reward import Reward
from ..verifiers.segment import Segment
from ..verifiers.trajectory import StopReason
from .terminal import printable

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LISTED = 64
"""Most trajectories in a list."""


@click.command("explain")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("trajectory", required=False)
@click.option(
    "--step",
    type=click.IntRange(1),
    help="Without TRAJECTORY: list the trajectories of this step.  [default: the last]",
)
@click.option("--sampled", is_flag=True, help="Show only the tokens that the policy sampled.")
@click.option("--json", "as_json", is_flag=True, help="Print the trajectory as JSON.")
def command(run: Path, trajectory: str | None, step: int | None, sampled: bool, as_json: bool) -> None:
    """Show a stored trajectory of RUN: its rewards and its tokens.

    TRAJECTORY is GROUP/ATTEMPT. Each token is shown with its id and text, whether it was trained, its logprob by
    sampler and trainer, the weights version that sampled it, and its advantage. Without TRAJECTORY, the trajectories of
    a step are listed.
    """
    if not trajectory:
        print_list(run, step)
    elif as_json:
        click.echo(json.dumps(explain(run, trajectory).to_json()))
    else:
        print_explanation(explain(run, trajectory), context=not sampled)


@dataclass(frozen=True)
class Explanation:
    """One trajectory with its group, and the config and tokenizer of its run.

    Attributes:
        run: the run's folder.
        stored: the trajectory.
        group: all stored attempts at its task.
        config: of the run.
        tokenizer: of the run's model; None if it cannot be loaded.
    """

    run: Path
    stored: Stored
    group: tuple[Stored, ...]
    config: RunConfig
    tokenizer: "PreTrainedTokenizerBase | None"

    def to_json(self) -> dict[str, Any]:
        """Everything, as a JSON object."""
        made = self.stored.trajectory
        return {
            "run": str(self.run),
            "step": self.stored.step,
            "group": self.stored.group,
            "attempt": self.stored.attempt,
            "environment": made.environment,
            "task": made.task.to_json(),
            "stop": made.stop.value,
            "metrics": dict(made.metrics),
            "timings": dict(made.timings),
            "advantage": self.config.trainer.advantage,
            "rewards": {
                agent: {"total": reward.total, "of_its_group": self.totals(agent), **reward.to_json()}
                for agent, reward in made.rewards.items()
            },
            "segments": [
                {"agent": segment.agent, "trainable": segment.trainable, "tokens": self.tokens(segment)}
                for segment in made.segments
            ],
        }

    def totals(self, agent: str) -> list[float]:
        """The agent's total reward in each attempt of the group."""
        return [one.trajectory.rewards[agent].total for one in self.group if agent in one.trajectory.rewards]

    def tokens(self, segment: Segment) -> list[dict[str, Any]]:
        """A row for each token; a value that does not exist is None."""
        rows = []
        trainer, advantages = segment.extra.get(TRAINER), segment.extra.get(ADVANTAGE)
        for place, token in enumerate(segment.tokens.tolist()):
            rows.append(
                {
                    "place": place,
                    "id": token,
                    "text": self.tokenizer.decode([token]) if self.tokenizer else None,
                    "sampled": bool(segment.sampled[place]),
                    "forced": bool("forced" in segment.extra and segment.extra["forced"][place]),
                    "trained": bool(segment.mask[place]),
                    "sampler_logprob": _known(segment.logprobs[place]),
                    "trainer_logprob": None if trainer is None else _known(trainer[place]),
                    "version": int(segment.versions[place]) if segment.sampled[place] else None,
                    "advantage": None if advantages is None else _known(advantages[place]),
                }
            )
        return rows


def explain(path: Path, name: str) -> Explanation:
    """Find the trajectory ``GROUP/ATTEMPT`` of the run in the folder ``path``.

    Raises:
        ConfigError: there is no such run or trajectory.
    """
    run = Run(path)
    group, _, attempt = name.partition("/")
    if not re.fullmatch(r"[0-9]{1,18}/[0-9]{1,18}", name):
        raise ConfigError(f"a trajectory is named GROUP/ATTEMPT, such as 12/0, found {name!r:.80}; {_cure(path)}")
    attempts = tuple(run.trajectories(group=int(group)))
    chosen = next((stored for stored in attempts if stored.attempt == int(attempt)), None)
    if chosen is None:
        raise ConfigError(f"{path} has no trajectory {name}; {_cure(path)}")
    config = run.config()
    return Explanation(path, chosen, attempts, config, _tokenizer(config, path))


def print_list(path: Path, step: int | None) -> None:
    """Print the trajectories of a step (the last one if None), each with the name that ``explain`` takes."""
    run = Run(path)
    steps = run.steps()
    if not steps or (step is not None and step not in steps):
        raise ConfigError(f"{path} has no trajectories of step {step or 1}; it has {_span(steps) or 'none'}")
    table = Table("trajectory", "reward", "stop", "environment", "reply", box=None, header_style="bold")
    rows = list(run.trajectories(steps[-1] if step is None else step))
    for stored in rows[:LISTED]:
        made = stored.trajectory
        total = ", ".join(f"{reward.total:.3g}" for reward in made.rewards.values())
        said = Text(printable(" ".join(made.completion(next(iter(made.messages), "")).split())[:60]))
        table.add_row(f"{stored.group}/{stored.attempt}", total, made.stop.value, made.environment, said)
    console = Console(highlight=False, emoji=False)
    console.print(table)
    more = f", {LISTED} of {len(rows)} shown" if len(rows) > LISTED else ""
    console.print(f"step {rows[0].step}{more}; steps: {_span(steps)}", style="dim")


def print_explanation(found: Explanation, context: bool) -> None:
    """Print the rewards and the tokens; tokens that the policy did not sample only with ``context``."""
    console = Console(highlight=False, emoji=False)
    made, stored = found.stored.trajectory, found.stored
    console.print(
        f"{stored.group}/{stored.attempt} of step {stored.step}: {made.environment}, task {made.task.id}, ended by "
        f"{made.stop.value}",
        style="bold",
        markup=False,
    )
    if made.stop is not StopReason.DONE and made.error:
        console.print(printable(made.error), style="red", markup=False)
    for agent, reward in made.rewards.items():
        _print_reward(console, found, agent, reward)
    for number, segment in enumerate(made.segments):
        kind = "trainable" if segment.trainable else "not trainable"
        console.print(f"\nsegment {number} of {segment.agent}, {len(segment)} tokens, {kind}", markup=False)
        console.print(_token_table(found.tokens(segment), context))
    if not found.tokenizer:
        console.print("the texts are missing because the model's tokenizer cannot be loaded", style="dim")


def _print_reward(console: Console, found: Explanation, agent: str, reward: Reward) -> None:
    console.print(f"\nreward of {agent}: {reward.total:.4g}", markup=False)
    table = Table("label", "weight", "score", "adds", "status", "why", box=None, header_style="bold")
    for part in reward.components:
        label, weight, verdict = part
        score = verdict.score
        adds = "-" if part.counted is None or reward.gate else f"{weight * part.counted:.4g}"
        why = verdict.reason + (f"; by turn {list(verdict.steps)}" if verdict.steps else "")
        shown = "-" if score is None else f"{score:.4g}"
        table.add_row(label, f"{weight:g}", shown, adds, verdict.status, Text(printable(why)))
    console.print(table)
    if reward.gate:
        console.print(f"the gate {reward.gate!r} was not passed, so no other reward counts", markup=False)
    totals = ", ".join(f"{total:.3g}" for total in found.totals(agent))
    console.print(f"its group earned {totals}; advantages by {found.config.trainer.advantage}", markup=False)


def _token_table(rows: list[dict[str, Any]], context: bool) -> Table:
    table = Table("", "id", "text", "mask", "sampler", "trainer", "version", "advantage", box=None, header_style="bold")
    for column in (0, 1, 4, 5, 6, 7):
        table.columns[column].justify = "right"
    for row in rows:
        if not (row["sampled"] or row["forced"] or context):
            continue
        mask = "trained" if row["trained"] else "sampled" if row["sampled"] else ""
        mask = " ".join(filter(None, ("forced" * row["forced"], mask)))
        numbers = [_shown(row[name]) for name in ("sampler_logprob", "trainer_logprob", "version", "advantage")]
        text = "" if row["text"] is None else ascii_text(row["text"])
        table.add_row(str(row["place"]), str(row["id"]), Text(text), mask, *numbers)
    return table


def ascii_text(text: str) -> str:
    """A token's text in quotation marks, escaped if it holds characters that cannot be printed."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _known(value: Any) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


def _tokenizer(config: RunConfig, run: Path) -> "PreTrainedTokenizerBase | None":
    from ..rollout.models.loading import load_tokenizer  # transformers takes seconds; --help and a list need none

    path = str(run / "model") if config.model.path == "tiny" else config.model.path
    try:
        check_source(path)
        return load_tokenizer(path)
    except LachesisError:
        return None


def _cure(path: Path) -> str:
    return f"lachesis explain {path} lists those of the last step"


def _span(steps: list[int]) -> str:
    return f"{steps[0]} to {steps[-1]}" if steps else ""
