"""Lachesis: RL environments, verifiers and a GRPO trainer for language models.

The public names are imported on first use, so that ``import lachesis`` costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .environments.chat import Chat, Reply
    from .environments.environment import Environment, EnvironmentConfig
    from .environments.episode import Episode
    from .environments.limits import Limits
    from .verifiers.case import Case
    from .verifiers.code.fences import last_code_block
    from .verifiers.errors import LachesisError
    from .verifiers.group import Group
    from .verifiers.math.extraction import last_box
    from .verifiers.rows.jsonl import read_jsonl
    from .verifiers.rows.row_file import read_rows
    from .verifiers.reward import Reward
    from .verifiers.rubric import Rubric
    from .verifiers.segment import Segment
    from .verifiers.task import Task
    from .verifiers.text.final_answer import last_tagged
    from .verifiers.text.json_answer import last_json_object
    from .verifiers.text.think import split_reasoning
    from .verifiers.trajectory import StopReason, Trajectory
    from .verifiers.use import group_reward, reward, use
    from .verifiers.verdict import Verdict

_HOME = {
    "Case": "verifiers.case",
    "Chat": "environments.chat",
    "Environment": "environments.environment",
    "EnvironmentConfig": "environments.environment",
    "Episode": "environments.episode",
    "Group": "verifiers.group",
    "LachesisError": "verifiers.errors",
    "Limits": "environments.limits",
    "Reply": "environments.chat",
    "Reward": "verifiers.reward",
    "Rubric": "verifiers.rubric",
    "Segment": "verifiers.segment",
    "StopReason": "verifiers.trajectory",
    "Task": "verifiers.task",
    "Trajectory": "verifiers.trajectory",
    "Verdict": "verifiers.verdict",
    "group_reward": "verifiers.use",
    "last_box": "verifiers.math.extraction",
    "last_code_block": "verifiers.code.fences",
    "last_json_object": "verifiers.text.json_answer",
    "last_tagged": "verifiers.text.final_answer",
    "read_jsonl": "verifiers.rows.jsonl",
    "read_rows": "verifiers.rows.row_file",
    "reward": "verifiers.use",
    "split_reasoning": "verifiers.text.think",
    "use": "verifiers.use",
}

__all__ = [  # in the order of _HOME, which a test holds equal to it
    "Case",
    "Chat",
    "Environment",
    "EnvironmentConfig",
    "Episode",
    "Group",
    "LachesisError",
    "Limits",
    "Reply",
    "Reward",
    "Rubric",
    "Segment",
    "StopReason",
    "Task",
    "Trajectory",
    "Verdict",
    "group_reward",
    "last_box",
    "last_code_block",
    "last_json_object",
    "last_tagged",
    "read_jsonl",
    "read_rows",
    "reward",
    "split_reasoning",
    "use",
]

_IN_ATROPOS = {
    "APIServer": "await episode.chat().reply()",
    "APIServerConfig": "await episode.chat().reply(); the run's config names the model",
    "BaseEnv": "lachesis.Environment",
    "BaseEnvConfig": "lachesis.EnvironmentConfig, as the class Config of your Environment",
    "EvalHandlingEnum": "the split test of Environment.tasks; the run's config says when to evaluate",
    "ManagedServer": "await episode.chat().reply(), which keeps the exact ids",
    "ScoredDataGroup": "lachesis.Group, which the framework makes",
    "ScoredDataItem": "lachesis.Trajectory, which the framework makes",
    "ServerBaseline": "await episode.chat().reply()",
    "ServerManager": "await episode.chat().reply()",
    "TeacherDistillationEnv": "lachesis.Environment",
    "tokenize_for_trainer": "await episode.chat().reply(), which keeps the exact ids",
}


def __getattr__(name: str) -> Any:
    if name in _IN_ATROPOS:  # an ImportError, since `from lachesis import name` hides the text of an AttributeError
        raise ImportError(
            f"{name} belongs to Atropos (atroposlib). Here it is {_IN_ATROPOS[name]}. An environment of Atropos also runs "
            "unchanged; docs/from-atropos.md shows both ways",
            name=__name__,
        )
    if name not in _HOME:
        raise AttributeError(f"module 'lachesis' has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
