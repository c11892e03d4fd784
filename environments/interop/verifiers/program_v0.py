"""Environments of ``verifiers`` 0.1 (its v0 API), for ``program.py``; it imports nothing from Lachesis."""

import contextvars
import functools
import importlib
import inspect
import json
import math
import time
from typing import Any

PACKAGE = "verifiers"  # for tools that check Lachesis, `import verifiers` would be a folder of it
vf = importlib.import_module(PACKAGE)
types = importlib.import_module(f"{PACKAGE}.types")

FAULTS: contextvars.ContextVar[list[str]] = contextvars.ContextVar("faults")
"""The exceptions of reward functions in this episode, which ``verifiers`` would log and count as 0.0."""


class Loaded:
    """A loaded environment.

    Raises:
        ValueError: its rewards compare the attempts of a group, which are not played here together.
    """

    def __init__(self, name: str, args: dict[str, Any]) -> None:
        self._environment = vf.load_environment(name, **args)
        if self._environment.requires_group_rollouts:
            raise ValueError(
                f"{name} has group rewards, which need all attempts in one process; they are not supported"
            )
        self._datasets = {"train": self._environment.build_dataset(), "test": self._environment.build_eval_dataset()}
        rubric = self._environment.rubric
        self._weights = list(zip(rubric._get_reward_func_names(), rubric._get_reward_weights(), strict=True))

    async def about(self) -> dict[str, Any]:
        """The splits that it has."""
        return {"splits": [split for split, rows in self._datasets.items() if rows is not None]}

    def rows(self, split: str, start: int, stop: int) -> list[Any]:
        """The rows from ``start`` to ``stop``; fewer at the end."""
        dataset = self._datasets[split]
        return [dict(dataset[number]) for number in range(start, min(stop, len(dataset)))]

    async def play(self, row: dict[str, Any], model: Any, n: int) -> dict[str, Any]:
        """Play and score an episode of the row."""
        faults: list[str] = []
        FAULTS.set(faults)
        output = await self._environment.run_rollout(
            row, Client(model), model="policy", sampling_args=dict(self._environment.sampling_args)
        )
        metrics = {name: float(value) for name, value in (output.get("metrics") or {}).items()}
        return {
            "reward": output["reward"],
            "rewards": self._parts(metrics, output["reward"]),
            "metrics": metrics,
            "faults": faults,
            "error": _error(output.get("error")),
            "truncated": bool(output.get("is_truncated")),
            "stop": output.get("stop_condition"),
        }

    def _parts(self, metrics: dict[str, float], total: float) -> list[tuple[str, float, float]]:
        """Name, score and weight of each reward; empty if they are not what the total is made of."""
        names = [name for name, _ in self._weights]
        if len(set(names)) < len(names) or set(names) - set(metrics):
            return []
        parts = [(name, metrics[name], weight) for name, weight in self._weights if weight]
        whole = sum(score * weight for _, score, weight in parts)
        return parts if math.isclose(whole, total, rel_tol=1e-6, abs_tol=1e-9) else []


class Client(vf.Client):  # type: ignore[name-defined, misc]
    """A client of ``verifiers`` whose replies come from Lachesis."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)

    async def get_response(
        self, prompt: Any, model: str, sampling_args: dict[str, Any], tools: Any = None, **_: Any
    ) -> Any:
        """The model's reply.

        Raises:
            OverlongPromptError: a limit of the episode was reached; the episode ends and is scored.
            ModelError: the model cannot be reached.
        """
        messages = [_dumped(message) for message in prompt] if isinstance(prompt, list) else []
        if not messages or any(message.get("role") == "text" for message in messages):
            raise vf.ModelError("completion prompts (message_type 'completion') are not supported")
        schemas = [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters} for tool in tools or ()
        ]
        answer = await self.client.ask(messages, schemas, json.loads(json.dumps(sampling_args or {}, default=str)))
        if "limit" in answer:
            raise vf.OverlongPromptError(answer["limit"])
        if "said" not in answer:
            raise vf.ModelError(answer.get("failed", "no reply"))
        return _response(answer["said"])

    def setup_client(self, config: Any) -> Any:
        """Not used: the client is given."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing to close."""

    to_native_tool = to_native_prompt = get_native_response = setup_client
    raise_from_native_response = from_native_response = setup_client


def _response(said: dict[str, Any]) -> Any:
    calls = [types.ToolCall(**call) for call in said["tool_calls"]]
    prompt, completion = said["prompt_tokens"], said["tokens"]
    return types.Response(
        id="lachesis",
        created=int(time.time()),
        model="policy",
        usage=types.Usage(
            prompt_tokens=prompt, reasoning_tokens=0, completion_tokens=completion, total_tokens=prompt + completion
        ),
        message=types.ResponseMessage(
            content=said["content"],
            reasoning_content=said["reasoning"] or None,
            tool_calls=calls or None,
            finish_reason="tool_calls" if calls else said["finish"],
            is_truncated=said["finish"] == "length",
        ),
    )


def _dumped(message: Any) -> dict[str, Any]:
    return dict(message) if isinstance(message, dict) else message.model_dump(mode="json", exclude_none=True)


def _error(error: Any) -> str | None:
    """An error of the rollout; None if the policy caused it, so that the score stands."""
    if not error:
        return None
    text = error.get("error_chain_str") or error.get("error") or str(error) if isinstance(error, dict) else repr(error)
    infrastructure = any(name in text for name in ("InfraError", "SandboxError", "TunnelError", "ModelError"))
    tool = any(name in text for name in ("ToolError", "ToolParseError", "ToolCallError"))
    return None if tool and not infrastructure else text


def _noting(function: Any) -> Any:
    """``function``, which notes when it raises, or when what it returns is no finite number."""

    def note(value: Any) -> Any:
        if not math.isfinite(float(value)):
            raise ValueError(f"a reward must be a finite number, found {value!r}")
        return value

    @functools.wraps(function)
    async def noted(*args: Any, **more: Any) -> Any:
        try:
            value = function(*args, **more)
            return note(await value if inspect.isawaitable(value) else value)
        except Exception as error:
            FAULTS.get([]).append(f"{function.__name__}: {type(error).__name__}: {error}"[:500])
            raise

    return noted


_call = vf.Rubric._call_individual_reward_func


async def _call_noting(self: Any, func: Any, state: Any) -> Any:
    return await _call(self, _noting(func), state)


vf.Rubric._call_individual_reward_func = _call_noting
