"""Reasoning Gym: a hundred procedural datasets of the package ``reasoning-gym``, run in worker processes."""

import hashlib
import random
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.errors import ConfigError, nearest
from ....verifiers.processes.worker import Worker
from ....verifiers.rubric import Rubric, reward, use
from ....verifiers.task import Task
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, infra_error, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from .process import ask_maker, scorers, start_maker

INSTRUCTION = "Put the final answer, and nothing else, within <answer> and </answer>."
MAX_ANSWER = 20_000
"""Most characters in an answer; a longer answer gets the verdict ``limit``."""
_CHUNK = 16
_TRIES = 20
_SCORING_SECONDS = 2.0
_REFUSED = {"composite": "it mixes others: name those in `datasets`"}
_ANSWER = re.compile(r"<answer>((?:(?!</?answer>).)*+)</answer>", re.DOTALL)
_EXAMPLES = ("example_answer", "example_correct_answer")


class ReasoningGym(Environment):
    """Procedural puzzles, sums, games, graphs and logic; the answer is put between ``<answer>`` tags.

    An attempt is a success if the dataset's own scorer gives it the full score of 1.
    """

    class Config(EnvironmentConfig):
        """Which datasets to draw from, how often, and how the questions are asked."""

        datasets: dict[str, float] = Field(default_factory=dict)
        """Weights by dataset. If empty, all datasets have equal weights."""
        options: dict[str, dict[str, Any]] = Field(default_factory=dict)
        """Settings by dataset, such as {chain_sum: {max_terms: 3}}."""
        test_tasks: int = Field(10, ge=1)
        """Held-out tasks of each dataset."""
        instruction: str = INSTRUCTION
        """Text after each question."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="reasoning_gym")

    @reward()
    async def reasoning_gym(self, case: Case) -> Verdict:
        """The dataset's own score for the content of the last ``<answer>``."""
        found = _ANSWER.findall(split_reasoning(case.completion)[1])
        if not found:
            return unparseable("no <answer>…</answer> in the reply")
        answer = found[-1].strip()
        if len(answer) > MAX_ANSWER:
            return Verdict(0.0, "limit", f"the answer has more than {MAX_ANSWER} characters")
        info = case.task.info
        request = {"do": "score", "name": info["dataset"], "options": info["options"], "item": info["item"]}
        outcome = await scorers().ask({**request, "answer": answer}, _SCORING_SECONDS)
        if outcome.status != "ok":
            score = None if outcome.status == "infra_error" else 0.0
            return Verdict(score, outcome.status, outcome.reason, {"found": answer[:200]})
        if problem := outcome.answer.get("broken") or outcome.answer.get("failed"):
            return infra_error(f"the scorer of {info['dataset']} failed on the task's own answer: {problem}")
        score, why = outcome.answer["score"], outcome.answer.get("reason", "")
        evidence = {"found": answer[:200], "dataset": info["dataset"]}
        return passed(**evidence) if score >= 1 else wrong(why or f"its scorer gives {score:g}", score, **evidence)

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it.

        Raises:
            ConfigError: the package is missing, a dataset is unknown, or its options are not possible.
        """
        with closing(start_maker()) as worker:
            weights = self._weights(ask_maker(worker, do="names")["names"])
            if split == "test":
                yield from self._tested(worker, list(weights))
                return
            rng, trained = random.Random(seed), {name: self._trained(worker, name, seed) for name in weights}
            while True:
                (name,) = rng.choices(list(weights), list(weights.values()))
                yield next(trained[name])

    def demonstration(self, task: Task) -> str:
        """The dataset's own answer, or its example of an answer.

        Raises:
            ConfigError: the dataset gives neither (boxnet, graph_color and rush_hour only check answers).
        """
        metadata = dict(task.info["item"]["metadata"]["dict"])
        answer = task.answer or next((metadata[key] for key in _EXAMPLES if key in metadata), None)
        if answer is None:
            raise ConfigError(f"the dataset {task.info['dataset']} gives no answer to demonstrate; leave it out")
        return f"<answer>{answer}</answer>"

    def _weights(self, known: list[str]) -> dict[str, float]:
        for name in (*self.config.datasets, *self.config.options):
            if name in _REFUSED or name not in known:
                cure = _REFUSED.get(name) or nearest(name, known)
                raise ConfigError(f"reasoning_gym has no dataset {name!r} to draw from; {cure}")
        return self.config.datasets or {name: 1.0 for name in known if name not in _REFUSED}

    def _tested(self, worker: Worker, names: list[str]) -> Iterator[Task]:
        """One held-out task of each dataset in turn; a dataset makes its tasks when its turn first comes."""
        held_out: dict[str, list[Task]] = {}
        for number in range(self.config.test_tasks):
            for name in names:
                if name not in held_out:
                    held_out[name] = self._held_out(worker, name)
                yield from held_out[name][number : number + 1]

    def _held_out(self, worker: Worker, name: str) -> list[Task]:
        return self._made(worker, name, "test", self.config.test_tasks)

    def _trained(self, worker: Worker, name: str, seed: int) -> Iterator[Task]:
        questions = {task.prompt for task in self._held_out(worker, name)}
        chunk = empty = 0
        while empty < _TRIES:
            tasks = [t for t in self._made(worker, name, f"train {seed} {chunk}", _CHUNK) if t.prompt not in questions]
            yield from tasks
            chunk, empty = chunk + 1, 0 if tasks else empty + 1
        raise ConfigError(f"the dataset {name} makes no tasks besides those held out; lower test_tasks or leave it out")

    def _made(self, worker: Worker, name: str, seed: str, size: int) -> list[Task]:
        options = self.config.options.get(name, {})
        number = int.from_bytes(hashlib.blake2b(f"{name} {seed}".encode(), digest_size=4).digest(), "big") >> 1
        made = []
        for item in ask_maker(worker, do="make", name=name, options=options, seed=number, size=size)["items"]:
            info = {"dataset": name, "options": options, "item": item}
            made.append(
                Task(f"{item['question']}\n\n{self.config.instruction}".strip(), answer=item["answer"], info=info)
            )
        return made
