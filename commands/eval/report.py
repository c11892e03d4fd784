"""The result of an evaluation in the terminal: a table for each environment, the usage, and where the scores are."""

import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .summary import Estimate, Summary, Usage, interval


def print_report(
    summaries: Mapping[str, Summary], wanted: Mapping[str, int], before: int, usage: Usage, out: Path, ended: bool
) -> None:
    """Print the result.

    Args:
        summaries: by the environment's label.
        wanted: how many attempts were asked for, by label.
        before: how many of all of them the file held before.
        usage: of all attempts in the file.
        out: the file of scores.
        ended: whether all attempts were made before the time limit.
    """
    console = Console(highlight=False, emoji=False)
    for label, summary in summaries.items():
        if len(summaries) > 1:
            console.print(f"\n{label}", style="bold", markup=False)
        console.print(_table(summary))
        if summary.scored and not summary.accuracy:
            console.print("no accuracy: the environment does not define success; add it with Rubric(..., success=...)")
        stops = ", ".join(f"{reason} {count}" for reason, count in summary.stops.items()) or "none"
        counts = f"{summary.scored} of {wanted[label]} scored"
        if len(summaries) == 1:
            counts += f" ({before} before)"
        console.print(f"{counts}, stop reasons: {stops}", markup=False)
    scored, asked = sum(summary.scored for summary in summaries.values()), sum(wanted.values())
    if len(summaries) > 1:
        console.print(f"\n{scored} of {asked} scored in all ({before} before)", markup=False)
    if scored:
        console.print(_usage(usage, scored), markup=False)
    console.print(f"scores: {out}", markup=False, soft_wrap=True)
    if not ended:
        print("the time limit ended the evaluation; run the same command again to continue", file=sys.stderr)
    elif scored < asked:
        print(f"{asked - scored} were not scored; run the same command again to retry them", file=sys.stderr)


def rounded(estimate: Estimate, share: bool = False) -> tuple[str, str]:
    """A mean and its 95% confidence interval, for people; that of a ``share`` stays between 0 and 1."""
    found = interval("", *estimate)
    if share and found["low"] is not None:
        found |= {"low": max(0.0, found["low"]), "high": min(1.0, found["high"])}
    mean = "none" if found["mean"] is None else f"{found['mean']:.4f}"
    return mean, "needs two tasks" if found["low"] is None else f"{found['low']:.4f} to {found['high']:.4f}"


def _table(summary: Summary) -> Table:
    table = Table("reward", "mean", "95% interval", box=None, header_style="bold")
    for label, estimate in summary.named().items():
        table.add_row(label, *rounded(estimate, share=label not in summary.means))
    return table


def _usage(usage: Usage, scored: int) -> str:
    parts = [f"{usage.seconds / scored:.2f} s for an episode"]
    if usage.prompt or usage.completion:
        parts.insert(0, f"{usage.prompt:,.0f} prompt tokens and {usage.completion:,.0f} completion tokens")
    if usage.dollars:
        parts.append(f"${usage.dollars:,.4f}")
    return f"usage: {', '.join(parts)}"
