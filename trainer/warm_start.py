"""Supervised samples made of an environment's own demonstrations, so that reinforcement has something to reinforce."""

import numpy as np

from ..environments.environment import Environment
from ..rollout.renderer import Renderer
from ..verifiers.message import Message
from ..verifiers.task import Task
from .batch import Sample


def demonstration_sample(environment: Environment, task: Task, renderer: Renderer) -> Sample:
    """The task's prompt as context and the environment's demonstration, end of turn included, as what is learned."""
    system: list[Message] = []
    if environment.config.system_prompt:
        system.append({"role": "system", "content": environment.config.system_prompt})
    prompt = renderer.prompt([*system, *task.messages])
    reply = renderer.reply(environment.demonstration(task))
    tokens = np.concatenate([prompt, reply]).astype(np.int32)
    mask = np.arange(tokens.size) >= prompt.size
    return Sample(tokens, mask, None, np.ones(tokens.size, np.float32))
