"""``lachesis explain``: a stored trajectory of a run or an evaluation, with its rewards and its tokens."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...verifiers.errors import ConfigError
from ..sources.library import Source, open_source
from ..sources.row import Filter, Row
from ..sources.run_source import RunSource
from ..sources.trajectory_page import trajectory_page
from ..terminal import printable

LISTED = 64
"""Most trajectories in a list."""

Page = Mapping[str, Any]


@click.command("explain")
@click.argument("path", type=click.Path(path_type=Path), metavar="RUN or EVAL")
@click.argument("trajectory", required=False)
@click.option(
    "--step",
    type=click.IntRange(1),
    help="Without TRAJECTORY: list the trajectories of this step of a run.  [default: the last]",
)
@click.option("--tokens", is_flag=True, help="Show the tokens, too.")
@click.option("--sampled", is_flag=True, help="Show the tokens that the policy sampled, and no others.")
@click.option("--all", "whole", is_flag=True, help="Show all conversations, such as those of subagents and of forks.")
@click.option("--json", "as_json", is_flag=True, help="Print the trajectory as JSON.")
def command(
    path: Path, trajectory: str | None, step: int | None, tokens: bool, sampled: bool, whole: bool, as_json: bool
) -> None:
    """Show a stored trajectory: its conversation and its rewards.

    RUN is a run's folder, EVAL a file that eval wrote. TRAJECTORY is GROUP/ATTEMPT; without it, the trajectories are
    listed. With --tokens, each token is shown with its id and text, whether it was trained, its logprob by sampler and
    trainer, the weights version that sampled it, and its advantage.
    """
    source = open_source(path)
    if not trajectory:
        print_list(source, step)
    elif as_json:
        click.echo(json.dumps(explain(source, trajectory)))
    else:
        print_explanation(explain(source, trajectory), tokens or sampled, context=not sampled, whole=whole)


def explain(source: Source, name: str) -> dict[str, Any]:
    """Return the trajectory ``GROUP/ATTEMPT`` as ``trajectory_page`` gives it, with the totals of its ``group``.

    Raises:
        ConfigError: there is no such trajectory.
    """
    if not re.fullmatch(r"[0-9]{1,18}/[0-9]{1,18}", name):
        raise ConfigError(f"a trajectory is named GROUP/ATTEMPT, such as 12/0, found {name!r:.80}; {_cure(source)}")
    group, attempt = map(int, name.split("/"))
    rows = source.index.find(Filter(group=group), seconds=600).rows
    chosen = next((row for row in reversed(rows) if row.attempt == attempt), None)
    if chosen is None:
        raise ConfigError(f"{source.path} has no trajectory {name}; {_cure(source)}")
    page = trajectory_page(chosen, source.index.text(chosen), source.texts)
    return {**page, "group_totals": [dict(row.totals) for row in rows]}


def print_list(source: Source, step: int | None) -> None:
    """Print the trajectories of a run's step (the last one if None) or of an evaluation, with the names to give."""
    steps = source.index.steps()
    if isinstance(source, RunSource):
        if not steps or (step is not None and step not in steps):
            raise ConfigError(f"{source.path} has no trajectories of step {step or 1}; it has {_span(steps) or 'none'}")
        step = steps[-1] if step is None else step
    rows = source.index.find(Filter(step=step), seconds=600).rows
    table = Table("trajectory", "reward", "stop", "environment", "reply", box=None, header_style="bold")
    for row in rows[:LISTED]:
        total = ", ".join(f"{total:.3g}" for _, total in row.totals)
        table.add_row(f"{row.group}/{row.attempt}", total, row.stop, row.environment, _opening(row))
    console = Console(highlight=False, emoji=False)
    console.print(table)
    more = f"{LISTED} of {len(rows)} shown" if len(rows) > LISTED else f"{len(rows)} trajectories"
    where = f"step {step}, {more}; steps: {_span(steps)}" if isinstance(source, RunSource) else more
    console.print(f"{where}; all of them, with filters: lachesis view {source.path}", style="dim", soft_wrap=True)


def print_explanation(page: Page, tokens: bool, context: bool, whole: bool) -> None:
    """Print a trajectory.

    Args:
        page: the trajectory.
        tokens: print its tokens, too.
        context: print also the tokens that were not sampled.
        whole: print all conversations of an agent, and not only the one that counts as its conversation.
    """
    console = Console(highlight=False, emoji=False)
    where = f" of step {page['step']}" if page["step"] else ""
    console.print(
        f"{page['group']}/{page['attempt']}{where}: {page['environment']}, task {page['task']['id']}, ended by "
        f"{page['stop']}",
        style="bold",
        markup=False,
    )
    if page["error"]:
        console.print(printable(page["error"]), style="red", markup=False)
    for agent, messages in page["messages"].items():
        if whole:
            _print_all(console, page, agent, messages)
        else:
            _print_conversation(console, page, agent, messages)
            if more := _others(page, agent):
                console.print(f"\n{more}; --all shows all of them", style="yellow", markup=False, soft_wrap=True)
    for agent, reward in page["rewards"].items():
        _print_reward(console, page, agent, reward)
    if tokens:
        for number, segment in enumerate(page["segments"]):
            _print_tokens(console, number, segment, context)


def _print_conversation(console: Console, page: Page, agent: str, messages: Sequence[Page]) -> None:
    trained = any(segment["agent"] == agent and any(segment["trained"]) for segment in page["segments"])
    if len(page["messages"]) > 1 or not trained:
        note = "" if trained else " (nothing of it was trained)"
        console.print(f"\nconversation of {agent}{note}", markup=False)
    _print_messages(console, messages)


def _others(page: Page, agent: str) -> str:
    """What the trajectory has of an agent beside its conversation; empty if there is nothing."""
    if len(recorded := _recorded(page)) > 1:
        return f"this is one of {len(recorded)} conversations in the recording"
    count = sum(segment["agent"] == agent for segment in page["segments"])
    return f"the tokens of {agent} are in {count} segments, each with its own history" if count > 1 else ""


def _recorded(page: Page) -> list[Page]:
    """The conversations in a recording of ``lachesis gateway``; none if it is not one."""
    found = page["artifacts"].get("branches") if page["environment"] == "gateway" else None
    known = {"messages", "lineage", "began"}
    return [one for one in found if isinstance(one, dict) and known <= one.keys()] if isinstance(found, list) else []


def _print_all(console: Console, page: Page, agent: str, messages: Sequence[Page]) -> None:
    """Print every conversation of a recording, or else the conversation and the texts of all segments."""
    if recorded := _recorded(page):
        for number, branch in enumerate(recorded, 1):
            whose = f"agent {branch['lineage']}"  # 0 is the one that called first
            console.print(
                f"\nconversation {number} of {len(recorded)}, of {whose} ({branch['began']})",
                style="bold",
                markup=False,
            )
            _print_messages(console, branch["messages"])
        return
    _print_conversation(console, page, agent, messages)
    for number, segment in enumerate(page["segments"]):
        if segment["agent"] == agent:
            console.print(f"\nsegment {number} of {agent}", style="bold", markup=False)
            missing = "its text is missing because the model's tokenizer is not here"
            text = missing if segment["texts"] is None else printable("".join(segment["texts"]))
            console.print(Text(text), soft_wrap=True)


def _print_messages(console: Console, messages: Sequence[Page]) -> None:
    for message in messages:
        given = " (an example, not sampled)" if message.get("given") else ""
        name = f" {message['name']}" if message.get("name") else ""
        console.print(f"\n{message['role']}{name}{given}", style="cyan", markup=False)
        console.print(Text(printable(message["content"]) or "(empty)"), soft_wrap=True)
        for url in message.get("images", ()):
            console.print(Text(f"image: {printable(url)[:100]}"), style="dim")
        for call in message.get("tool_calls", ()):
            asked = call.get("function", call)
            console.print(Text(printable(f"calls {asked.get('name')} {asked.get('arguments')}")), style="dim")


def _print_reward(console: Console, page: Page, agent: str, reward: Page) -> None:
    total = "none, because a part could not be judged" if reward["total"] is None else f"{reward['total']:.4g}"
    console.print(f"\nreward of {agent}: {total}", style="bold", markup=False)
    table = Table("label", "weight", "score", "adds", "status", "why", box=None, header_style="bold")
    for part in reward["parts"]:
        why = part["reason"] + (f"; by turn {part['steps']}" if part["steps"] else "")
        numbers = ("-" if part[name] is None else f"{part[name]:.4g}" for name in ("score", "adds"))
        table.add_row(part["label"], f"{part['weight']:g}", *numbers, part["status"], Text(printable(why)))
    console.print(table)
    if reward["gate"]:
        console.print(f"the gate {reward['gate']!r} was not passed, so no other reward counts", markup=False)
    totals = ", ".join(f"{row[agent]:.3g}" for row in page["group_totals"] if agent in row)
    console.print(f"its group earned {totals}", markup=False)


def _print_tokens(console: Console, number: int, segment: Page, context: bool) -> None:
    kind = "trainable" if segment["trainable"] else "not trainable"
    branch = segment["branch"]
    begins = f", begins like segment {branch['segment']} for {branch['token']} tokens" if branch else ""
    console.print(
        f"\nsegment {number} of {segment['agent']}, {len(segment['ids'])} tokens, {kind}{begins}", markup=False
    )
    table = Table(
        "", "id", "text", "mask", "sampler", "trainer", "entropy", "version", "advantage", box=None, header_style="bold"
    )
    for column in (0, 1, 4, 5, 6, 7, 8):
        table.columns[column].justify = "right"
    for row in _tokens(segment, context):
        table.add_row(*row)
    console.print(table)
    if segment["texts"] is None:
        console.print("the texts are missing because the model's tokenizer is not here", style="dim")


def _tokens(segment: Page, context: bool) -> Iterator[list[str | Text]]:
    for place, token in enumerate(segment["ids"]):
        forced = bool(segment["forced"] and segment["forced"][place])
        sampled, trained = segment["sampled"][place], segment["trained"][place]
        if sampled or forced or context:
            mask = " ".join(["forced"] * forced + (["trained"] if trained else ["sampled"] if sampled else []))
            text = "" if segment["texts"] is None else quoted(segment["texts"][place])
            columns = (segment[name] for name in ("sampler", "trainer", "entropies", "versions", "advantages"))
            yield [str(place), str(token), Text(text), mask, *(_shown(column, place) for column in columns)]


def quoted(text: str) -> str:
    """A token's text in quotation marks, escaped if it holds characters that cannot be printed."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _shown(column: Sequence[float | None] | None, place: int) -> str:
    value = None if column is None else column[place]
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.4f}"


def _opening(row: Row) -> Text:
    return Text(printable(row.reply[:60]))


def _cure(source: Source) -> str:
    return f"lachesis explain {source.path} lists the trajectories"


def _span(steps: list[int]) -> str:
    return f"{steps[0]} to {steps[-1]}" if steps else ""
