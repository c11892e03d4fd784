"""Environments of ``verifiers`` 0.4 (its v1 API), for ``program.py``; it imports nothing from Lachesis.

A client object cannot be given to them, only an address. So this process serves OpenAI's chat completions to itself, on
a free port of the loopback interface, and each episode has an address of its own.
"""

import contextlib
import importlib
import itertools
import json
import time
from typing import Any

from aiohttp import web

V1 = "verifiers.v1"
vf = importlib.import_module(V1)
clients = importlib.import_module(f"{V1}.clients")
generic = importlib.import_module(f"{V1}.utils.generic")
loaders = importlib.import_module(f"{V1}.utils.loaders")
types = importlib.import_module(f"{V1}.types")

MAX_LIMITED = 3
"""Empty replies after a limit, until a harness that still goes on is told an error."""
MAX_BODY = 64 << 20
"""Most bytes of a request."""
PRIVATE = {"harness": {"id": "null"}, "runtime": {"type": "subprocess"}}
"""How an agent is run unless ``args`` says otherwise: a loop of chat and tools, which runs no code of the policy."""


class Loaded:
    """A loaded environment with one agent."""

    def __init__(self, name: str, args: dict[str, Any]) -> None:
        environment = loaders.environment_class(name, args.get("id", ""))
        config = generic.concrete_type(environment, vf.EnvConfig, origin=vf.Env) or vf.EnvConfig
        roles = [key for key, field in config.model_fields.items() if isinstance(field.default, vf.AgentConfig)]
        settings = {**args, "taskset": {"id": name, **args.get("taskset", {})}}
        settings |= {role: {**PRIVATE, **args.get(role, {})} for role in roles}
        self._environment = environment(config.model_validate(settings))
        self._task = type(self._environment.taskset).task_type()
        self._tasks = iter(self._environment.taskset)
        self._seen: list[dict[str, Any]] = []
        self._models: dict[str, Any] = {}
        self._limited: dict[str, int] = {}
        self._served = contextlib.AsyncExitStack()
        self._port = 0

    async def about(self) -> dict[str, Any]:
        """Begin to serve; it has one set of tasks."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_post("/{n}/v1/chat/completions", self._complete)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._port = runner.addresses[0][1]
        await self._served.enter_async_context(self._environment.serving())
        return {"splits": ["train"]}

    def rows(self, split: str, start: int, stop: int) -> list[Any]:
        """The tasks from ``start`` to ``stop``; fewer at the end."""
        missing = max(0, stop - len(self._seen))
        self._seen += [task.data.model_dump(mode="json") for task in itertools.islice(self._tasks, missing)]
        return self._seen[start:stop]

    async def play(self, row: dict[str, Any], model: Any, n: int) -> dict[str, Any]:
        """Play and score an episode of the task."""
        task = self._task(self._task.data_type().model_validate(row), self._environment.config.taskset.task)
        address = f"http://127.0.0.1:{self._port}/{n}/v1"
        client = clients.EvalClientConfig(base_url=address, api_key_var="LACHESIS_NO_KEY")
        context = clients.ModelContext(model="policy", client=client, sampling=types.Sampling())
        self._models[str(n)] = model
        try:
            episode = await self._environment.run_slot(self._environment.slots(task)[0], context)
        finally:
            self._models.pop(str(n), None)
            self._limited.pop(str(n), None)
        errors = [*episode.errors, *(error for trace in episode.traces for error in trace.errors)]
        if len(episode.traces) != 1:
            errors.append(f"{len(episode.traces)} agents took part; only one is supported")
        trace = episode.traces[0] if episode.traces else None
        rewards = trace.rewards if trace else {}
        return {
            "reward": trace.reward if trace else 0.0,
            "rewards": [(name, part.score, part.weight) for name, part in rewards.items() if part is not None],
            "metrics": dict(trace.metrics) if trace else {},
            "faults": [f"{name} was not scored" for name, part in rewards.items() if part is None],
            "error": "; ".join(map(_text, errors)) if errors or not episode.ok else None,
            "truncated": bool(trace and trace.is_truncated),
            "stop": trace.stop_condition if trace else None,
        }

    async def _complete(self, request: web.Request) -> web.Response:
        """OpenAI's chat completions, answered by the episode's model."""
        n = request.match_info["n"]
        body = await request.json()
        if n not in self._models:
            return _refused(404, "this episode has ended")
        sampling = {key: value for key, value in body.items() if key not in ("messages", "tools", "model")}
        answer = await self._models[n].ask(body["messages"], body.get("tools") or [], sampling)
        said = answer.get("said")
        if "limit" in answer:  # an empty reply ends the harness, and the task is scored
            self._limited[n] = self._limited.get(n, 0) + 1
            if self._limited[n] <= MAX_LIMITED:
                empty = {"content": "", "reasoning": "", "tool_calls": [], "prompt_tokens": 0, "tokens": 0}
                said = {**empty, "finish": "length"}
        if not said:
            return _refused(400, answer.get("failed") or answer.get("limit") or "no reply")
        completion = _completion(said)
        if body.get("stream"):
            return web.Response(body=_streamed(completion), content_type="text/event-stream")
        return web.json_response(completion)


def _streamed(completion: dict[str, Any]) -> bytes:
    """The completion as a stream of one event with everything, one with the usage, and the end."""
    (choice,) = completion["choices"]
    delta = dict(choice["message"])
    if "tool_calls" in delta:
        delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(delta["tool_calls"])]
    rest = {**completion, "object": "chat.completion.chunk"}
    told = {"index": 0, "delta": delta, "finish_reason": choice["finish_reason"]}
    events = [{**rest, "choices": [told], "usage": None}, {**rest, "choices": []}]
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"


def _completion(said: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": said["content"]}
    if said["reasoning"]:
        message["reasoning_content"] = said["reasoning"]
    if said["tool_calls"]:
        message["tool_calls"] = [
            {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
            for call in said["tool_calls"]
        ]
    finish = "tool_calls" if said["tool_calls"] else said["finish"]
    prompt, completion = said["prompt_tokens"], said["tokens"]
    return {
        "id": "lachesis",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": "policy",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion},
    }


def _refused(status: int, why: str) -> web.Response:
    return web.json_response({"error": {"message": why, "type": "invalid_request_error"}}, status=status)


def _text(error: Any) -> str:
    return f"{error.type}: {error.message}" if hasattr(error, "message") else str(error)
