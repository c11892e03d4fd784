"""The scripts that solve an environment's tasks, from its ``demonstration``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...verifiers.boundary import fault_of
from ...verifiers.errors import ConfigError
from ...verifiers.task import Task
from ..environment import Environment
from ..play import home_of
from .bad_reply import Script, Shown
from .finding import Finding, Report


def cast_of(environment: Environment, task: Task) -> dict[str, Script]:
    """What each agent says in the environment's demonstration of the task, by agent.

    Raises:
        TypeError: the demonstration is not a reply, a sequence of replies, or either of them by agent.
    """
    said: Any = environment.demonstration(task)
    by_agent = said if isinstance(said, Mapping) else dict.fromkeys(environment.agents, said)
    found = {agent: by_agent.get(agent, ()) for agent in environment.agents}
    cast = {agent: (line,) if isinstance(line, str) else tuple(line) for agent, line in found.items()}
    lines = [line for script in cast.values() for line in script]
    if not cast[environment.agents[0]] or not all(isinstance(line, str) for line in lines):
        raise TypeError(f"demonstration(task) must return a reply, or the replies of all turns, found {said!r:.80}")
    return cast


def demonstrations(
    environment: Environment, tasks: Sequence[Task], report: Report, step: Callable[[str], None]
) -> tuple[list[Shown], str]:
    """The tasks with their perfect scripts; or with empty scripts, and the reason why there are no perfect ones.

    Args:
        environment: gives the demonstrations.
        tasks: what to demonstrate.
        report: gets a finding if ``demonstration`` raises.
        step: is told which task comes next.
    """
    own = type(environment).demonstration is not Environment.demonstration
    why = _why_none(environment, tasks, own)
    if why and not own:
        return [Shown(task, ("",)) for task in tasks], why
    shown: list[Shown] = []
    lacking: list[str] = []
    for task in tasks:
        step(f"demonstration of task {task.id}")
        try:
            cast = cast_of(environment, task)
            shown.append(Shown(task, cast[environment.agents[0]], cast))
        except ConfigError as error:  # the data has no solution of this task
            lacking.append(str(error))
        except Exception as error:  # noqa: BLE001 - the author's code may raise anything, and the audit looks for that
            place = fault_of(error, home_of(environment))
            report.add([Finding("raises", f"demonstration(task) raised {place}", tasks=(task.id,))])
    if lacking:
        report.skipped[f"demonstrations of {len(lacking)} tasks"] = lacking[0]
    if lacking and not shown:
        return [Shown(task, ("",)) for task in tasks], "no task has a demonstration"
    return shown, why


def _why_none(environment: Environment, tasks: Sequence[Task], own: bool) -> str:
    """Why no script is known to be perfect; empty if the demonstrations are."""
    agents = environment.agents
    if len(agents) > 1:
        return f"no single reply is perfect: {len(agents)} agents ({', '.join(agents)}) play"
    if not own and all(task.answer is None for task in tasks):
        return "tasks have no answer, and there is no demonstration(task); write one that returns a perfect reply"
    return ""
