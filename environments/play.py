"""Playing one episode from ``setup`` to ``close``, whatever the environment's code does."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from ..verifiers.boundary import Boundary
from ..verifiers.errors import DataError, InfrastructureError
from ..verifiers.task import Task
from ..verifiers.trajectory import StopReason, Trajectory
from .chat import Policy
from .episode import Episode
from .metered_chat import LimitReached
from .tools import ToolBox

if TYPE_CHECKING:
    from .environment import Environment

Stage = TypeVar("Stage", bound=Callable[..., Awaitable[None]])


async def play(
    environment: "Environment",
    task: Task,
    policies: Mapping[str, Policy],
    seed: tuple[int, ...],
    *,
    inline: bool = False,
) -> Trajectory:
    """Play one episode: setup, run, finish, close. The trajectory is not scored yet.

    Errors of the environment's code are recorded in the trajectory and never raised. ``close`` is called even if the
    episode failed or was cancelled. ``inline`` runs sync tools on the caller's thread.
    """
    episode = Episode(task, policies, seed, environment.config, environment.rubric.owns)
    start = time.perf_counter()
    tools = ToolBox([])

    async def setup_and_run() -> None:
        nonlocal tools
        await environment.setup(episode)
        episode.tools = tools = ToolBox(environment.tools(episode), inline)
        await tools.open()
        await environment.run(episode)

    try:
        stop, error = await _guarded(setup_and_run, environment)
        if error is None and not is_idle(environment.finish):
            finished, error = await _guarded(lambda: environment.finish(episode), environment)
            stop = stop if finished is StopReason.DONE else finished
        if error is None and episode.unanswered:  # even if the environment caught the error
            stop, error = StopReason.INFRA_ERROR, episode.unanswered
        seconds = time.perf_counter() - start
    finally:
        closed, close_error = StopReason.DONE, None
        if not is_idle(environment.close):
            closed, close_error = await _guarded(lambda: environment.close(episode), environment)
        await tools.close()
    if closed is not StopReason.DONE:
        worse = closed if closed is StopReason.INFRA_ERROR else StopReason.ENVIRONMENT_ERROR
        stop = stop if error else worse
        error = error or close_error or f"close reached the limit of {closed.value}"
    with Boundary(home_of(environment), passing=()) as outcome:  # artifacts may be anything
        return episode.trajectory(environment.label, stop, error, {"episode": seconds})
    why = str(outcome.error if isinstance(outcome.error, DataError) else outcome.fault)
    return Trajectory(task, environment.label, stop=StopReason.ENVIRONMENT_ERROR, error=error or why)


def idle(stage: Stage) -> Stage:
    """Mark a stage that does nothing, so that ``play`` does not spend time on guarding it."""
    stage.idle = True  # type: ignore[attr-defined]
    return stage


def is_idle(stage: Callable[..., Awaitable[None]]) -> bool:
    """Whether a stage was marked; one that overrides it was not."""
    return getattr(stage, "idle", False)


async def _guarded(stage: Callable[[], Awaitable[None]], environment: "Environment") -> tuple[StopReason, str | None]:
    """Run one stage within ``limits.seconds``; return how it ended, and the error if one was raised."""
    clock = asyncio.timeout(environment.config.limits.seconds)
    with Boundary(home_of(environment), passing=()) as outcome:
        async with clock:
            await stage()
    match _single(outcome.error):
        case None:
            return StopReason.DONE, None
        case LimitReached() as limit:
            return limit.reason, None
        case InfrastructureError() as failure:
            return StopReason.INFRA_ERROR, f"{type(failure).__name__}: {failure}"
        case TimeoutError() if clock.expired():
            return StopReason.SECONDS, None
        case _:
            return StopReason.ENVIRONMENT_ERROR, str(outcome.fault)


def _single(error: BaseException | None) -> BaseException | None:
    """``error``, or one of a task group's errors if all of them are limits and infrastructure failures."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    _, others = error.split((LimitReached, InfrastructureError))
    if others is not None:
        return error
    first: BaseException = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first


def home_of(environment: "Environment") -> str | None:
    """The file that defines the environment's class; None if there is no such file, as in a console."""
    return getattr(sys.modules.get(type(environment).__module__), "__file__", None)
