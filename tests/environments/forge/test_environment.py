"""Environments of walks: what is trained, what the rubric sees, and what a walk that does not finish earns."""

import asyncio
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest

from lachesis.environments.forge.environment import ForgeEnvironment
from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.model_node import ModelNode
from lachesis.environments.forge.node import node
from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.config import AgentConfig, RolloutConfig
from lachesis.rollout.engines.engine import Request, Sampling
from lachesis.rollout.engines.scripted import ScriptedEngine
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.orders import Order
from lachesis.rollout.workers.agents import AgentPolicies
from lachesis.rollout.workers.worker import GroupWorker
from lachesis.trainer.advantages.estimator import compute_advantages
from lachesis.trainer.learner.sample import samples_of
from lachesis.trainer.run.warm_start import demonstration_samples
from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.group import Group
from lachesis.verifiers.rubric import Rubric, group_reward, reward, use
from lachesis.verifiers.sandbox.settings import SandboxSettings
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory

TOKENIZER = build_tiny_tokenizer()
GIVES = {"instruction": str, "answer": str, "reference": str}


@node(takes={"text": str}, gives={"word": str, "reference": str})
def pick(record: dict[str, Any], rng: Random) -> dict[str, Any]:
    word = rng.choice(record["text"].split())
    return {"word": word, "reference": word.upper()}


NODES = [
    pick,
    ModelNode(
        name="ask",
        takes={"word": str},
        gives={"instruction": str},
        prompt="Ask about {word}.",
        postcondition=lambda record: record["word"] in record["instruction"],
        demonstration=lambda record: f"What is {record['word']}?",
    ),
    ModelNode(
        name="reply",
        takes={"instruction": str},
        gives={"answer": str},
        prompt="{instruction}",
        trainable=False,
        demonstration=lambda record: record["instruction"].split()[-1].rstrip("?").upper(),
    ),
]


class Shouts(ForgeEnvironment):
    """Questions about words, which a helper answers."""

    graph = Graph(name="shouts", takes={"text": str}, gives=GIVES, nodes=NODES)
    rubric = Rubric(use("exact"), success="exact")

    def documents(self, split: str, seed: int) -> Iterator[dict[str, Any]]:
        for number in range(3):
            yield {"text": f"tea{number} milk{number} salt{number}"}

    @reward(weight=0.0)
    def seen(self, case: Case) -> bool:
        """Whether the rubric sees the task that was made, and the walk."""
        made = case.task.prompt == case.artifacts["walk"]["record"]["instruction"]
        return made and case.task.info["document"]["text"].startswith("tea") and len(case.messages) == 2

    @group_reward(weight=0.5)
    def longest(self, cases: Any) -> list[bool]:
        sizes = [len(case.task.prompt) for case in cases]
        return [size == max(sizes) for size in sizes]


class Alone(ForgeEnvironment):
    """The same without a helper."""

    graph = Graph(name="alone", takes={"text": str}, gives=GIVES, nodes=[*NODES[:2], ModelNode(
        name="reply", takes={"instruction": str}, gives={"answer": str}, prompt="{instruction}")])  # fmt: skip
    rubric = Rubric(use("exact"), success="exact")

    documents = Shouts.documents


SHOUTS = Shouts()
TASK = next(iter(SHOUTS.tasks("train", 0)))


def word_of(task: Task) -> str:
    return SHOUTS.demonstrated(task)[0].record["reference"].lower()


def test_a_task_is_a_document_and_its_attempts_take_the_same_way() -> None:
    environment = Shouts(walks=20)
    tasks = list(environment.tasks("train", 0))
    assert (len(tasks), len({task.hash for task in tasks})) == (60, 60)
    assert tasks[0].prompt == "tea0 milk0 salt0"
    assert len({word_of(task) for task in tasks[:20]}) == 3
    assert {word_of(TASK) for _ in range(5)} == {word_of(TASK)}
    replies = SHOUTS.demonstration(TASK)
    assert replies == {"policy": [f"What is {word_of(TASK)}?"], "helper": [word_of(TASK).upper()]}


def test_the_rubric_scores_the_task_that_was_made() -> None:
    attempt = asyncio.run(SHOUTS.attempt(TASK, SHOUTS.demonstration(TASK), seed=3))
    assert attempt.rewards.keys() == {"policy"}
    reward = attempt.rewards["policy"]
    assert (reward.score("exact"), reward.score("seen"), reward.success) == (1.0, 1.0, True)
    assert attempt.task.hash == TASK.hash
    assert attempt.metrics["walk/finished"] == 1.0
    again = asyncio.run(SHOUTS.score_trajectory(Trajectory.from_json(attempt.to_json())))
    assert again.rewards["policy"].total == reward.total
    wrong = asyncio.run(SHOUTS.attempt(TASK, {"policy": [f"What is {word_of(TASK)}?"], "helper": ["no"]}))
    assert wrong.rewards["policy"].success is False


def test_a_walk_that_does_not_finish_fails_its_gate_and_is_counted() -> None:
    attempt = asyncio.run(SHOUTS.attempt(TASK, {"policy": ["What?"] * 5}))
    reward = attempt.rewards["policy"]
    assert (reward.gate, reward.total, reward.success, set(reward.skipped)) == ("walk", 0.0, False, {"exact", "seen"})
    assert "postcondition at ask" in reward.components[0].verdict.reason
    assert (attempt.metrics["walk/finished"], attempt.metrics["walk/postcondition"]) == (0.0, 1.0)
    assert attempt.metrics["turns"] == 1, "a call that is trained is made once"
    limited = Shouts(limits={"turns": 1}, trained_tries=3)
    cut = asyncio.run(limited.attempt(TASK, {"policy": ["What?"]}))
    assert cut.stop is StopReason.TURNS
    assert "the episode ended by its limit of turns" in cut.rewards["policy"].components[0].verdict.reason


def test_calls_that_are_trained_may_be_repeated_if_the_config_says_so() -> None:
    replies = {"policy": ["What?", f"What is {word_of(TASK)}?"], "helper": [word_of(TASK).upper()]}
    assert asyncio.run(Shouts(trained_tries=2).attempt(TASK, replies)).rewards["policy"].success is True
    assert asyncio.run(Shouts(trained_tries=1).attempt(TASK, replies)).rewards["policy"].success is False


def test_group_rewards_compare_what_was_made() -> None:
    long = {"policy": [f"What on earth is {word_of(TASK)}?"], "helper": ["X"]}
    unfinished = {"policy": ["What?"]}
    attempts = [asyncio.run(SHOUTS.attempt(TASK, said)) for said in (SHOUTS.demonstration(TASK), long, unfinished)]
    scored = asyncio.run(SHOUTS.score_group(attempts))
    assert [attempt.rewards["policy"].total for attempt in scored] == [1.0, 0.5, 0.0]
    assert "longest" in scored[2].rewards["policy"].skipped
    assert {attempt.task.hash for attempt in scored} == {TASK.hash}
    assert all(attempt.rewards.keys() == {"policy"} for attempt in scored)


def test_the_policy_learns_from_its_own_calls_alone_whatever_the_config_says() -> None:
    def script(request: Request) -> list[int]:
        asked = TOKENIZER.decode(request.prompt, skip_special_tokens=False)
        said = f"What is {word_of(TASK)}?" if "Ask about" in asked else word_of(TASK).upper()
        return [*TOKENIZER.encode(said, add_special_tokens=False), TOKENIZER.eos_token_id]

    engine = ScriptedEngine(script, context=4096)
    players = {"helper": AgentConfig(trainable=True, temperature=0.5)}
    renderer, config = Renderer(TOKENIZER), RolloutConfig(inline=True)
    worker = GroupWorker([], engine, renderer, config, 4096, SandboxSettings(), agents=[players])
    worker.environments = [SHOUTS]
    (outcome,) = asyncio.run(worker.run([Order(0, 0, TASK, 2, (0, 0), Sampling(max_tokens=100))]))
    assert isinstance(outcome, Group), outcome
    for attempt in outcome.trajectories:
        assert [(segment.agent, segment.trainable) for segment in attempt.segments] == [
            ("policy", True),
            ("helper", False),
        ]
        assert attempt.rewards["policy"].success is True
    samples_of([outcome], compute_advantages([outcome], "grpo"), 4096)
    assert AgentPolicies(SHOUTS, players).learners == {"policy"}
    learned = asyncio.run(demonstration_samples(SHOUTS, TASK, renderer, {"policy"}))
    assert len(learned) == 1


def test_all_calls_of_one_policy_are_samples_of_their_own() -> None:
    alone = Alone(system_prompt="Be brief.")
    (task,) = islice(alone.tasks("train", 0), 1)
    assert alone.agents == ("policy",)
    said = iter([f"What is {word_of(task)}?", word_of(task).upper()])
    engine = ScriptedEngine(
        lambda request: [*TOKENIZER.encode(next(said), add_special_tokens=False), TOKENIZER.eos_token_id], context=4096
    )
    worker = GroupWorker([], engine, Renderer(TOKENIZER), RolloutConfig(inline=True), 4096, SandboxSettings())
    worker.environments = [alone]
    (outcome,) = asyncio.run(worker.run([Order(0, 0, task, 1, (0, 0), Sampling(max_tokens=100))]))
    assert isinstance(outcome, Group), outcome
    first, second = outcome.trajectories[0].segments
    prompts = [TOKENIZER.decode(part.tokens[~part.sampled], skip_special_tokens=False) for part in (first, second)]
    assert all("Be brief." in prompt for prompt in prompts)
    assert "Ask about" in prompts[0]
    assert "Ask about" not in prompts[1]
    assert outcome.trajectories[0].rewards["policy"].success is True
    with pytest.raises(ConfigError, match="node 'reply' has no demonstration"):
        alone.demonstration(task)


def test_the_system_prompts_of_the_run_and_of_a_node_are_one_message() -> None:
    asks = ModelNode(
        name="asks", takes={"text": str}, gives={"instruction": str, "answer": str}, prompt="{text}", system="Ask.",
        read=lambda text, record: {"instruction": text, "answer": text},
    )  # fmt: skip
    graph = Graph(name="g", takes={"text": str}, gives=asks.gives, nodes=[asks])
    made = type("Told", (ForgeEnvironment,), {"graph": graph, "rubric": Rubric(use("number"))})
    environment = made(system_prompt="Be brief.")
    attempt = asyncio.run(environment.attempt(environment.task_of({"text": "Hi"}), ["3"]))
    assert attempt.messages["policy"][0] == {"role": "system", "content": "Be brief.\n\nAsk."}
    assert [message["role"] for message in attempt.messages["policy"]] == ["system", "user", "assistant"]


def test_an_environment_without_a_usable_graph_is_refused() -> None:
    function = Graph(name="f", takes={"text": str}, gives={"word": str}, nodes=[pick])
    with pytest.raises(ConfigError, match="must give 'instruction' as text"):
        type("Odd", (ForgeEnvironment,), {"graph": function})
    plain = node(takes={"text": str}, gives={"instruction": str, "answer": str})(lambda record, rng: {})
    with pytest.raises(ConfigError, match="no trainable model call"):
        type(
            "Odd",
            (ForgeEnvironment,),
            {"graph": Graph(name="f", takes={"text": str}, gives=plain.gives, nodes=[plain])},
        )
    with pytest.raises(ConfigError, match="graph is a Graph, found 3"):
        type("Odd", (ForgeEnvironment,), {"graph": 3})
    with pytest.raises(ConfigError, match=r"Odd has no graph; write graph = Graph\(…\)"):
        type("Odd", (ForgeEnvironment,), {})()
