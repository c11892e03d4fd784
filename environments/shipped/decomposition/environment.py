"""Goals about lists of numbers that must be split into steps with dependencies; the plan is executed on other lists."""

import hashlib
import json
from collections.abc import Iterator
from random import Random
from typing import Annotated, Any

from pydantic import Field

from ....verifiers.case import Case
from ....verifiers.json_data.text import NotJson, read_json
from ....verifiers.rubric import Rubric, reward, use
from ....verifiers.task import Task
from ....verifiers.text.instructions.wording import strip_fence
from ....verifiers.text.think import split_reasoning
from ....verifiers.verdict import Verdict, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from ..leveled_tasks import leveled_tasks
from .plan import GOAL, OPERATIONS, BadPlan, Step, execute, read_plan, rounds

LEVELS = 8
TRIALS = 8
"""On how many inputs, which are never shown, a plan is executed."""
_HELD_OUT = 8
"""One goal in this many is held out and never trained on."""
_INPUTS = ("A", "B", "C")
_TASK = """There are lists of whole numbers: {inputs}. Wanted is {goal}.

Split this into steps. Each does one operation on lists or on results of other steps:
{operations}
Reply with a JSON list of steps, and nothing else, as in {example}
The step with the id "{final}" gives what is wanted, and every other step must be needed for it. The plan must be \
right for any lists."""
_EXAMPLE = '[{"id": "big", "do": "above", "of": ["A"], "by": 3}, {"id": "goal", "do": "count", "of": ["big"]}]'


class Decomposition(Environment):
    """A goal about lists of numbers; the reply is a plan of small steps that depend on each other, as JSON.

    An attempt is a success if the plan is sound and gives the right result for lists that are never shown. ``rounds``
    is a metric: the fewest rounds of steps that can run at the same time, as a share of those that the plan takes.
    """

    class Config(EnvironmentConfig):
        """How large the goals are."""

        difficulty: list[Annotated[int, Field(ge=1, le=LEVELS)]] = Field(list(range(1, LEVELS + 1)), min_length=1)
        """Levels from 1 to 8, each drawn as often as it is listed; a goal of level n needs about n + 1 steps."""
        test_tasks: int = Field(8, ge=1)
        """Held-out goals of each level."""

    rubric = Rubric(use("format", weight=0.0, required=False), success="plan")

    @reward()
    def plan(self, case: Case) -> Verdict:
        """Whether the plan can be carried out, and gives the right result on all hidden lists."""
        try:
            steps = _plan_in(case)
        except (NotJson, BadPlan) as error:
            return unparseable(f"this is no plan: {error!s:.160}")
        right = _steps(case.answer)
        for inputs in _trials(case.task):
            try:
                found = execute(steps, inputs)
            except BadPlan as error:
                return wrong(f"the plan fails: {error}")
            if found != (expected := execute(right, inputs)):
                return wrong(f"on hidden lists the result is {found!r:.60} instead of {expected}")
        return passed(steps=len(steps), rounds=rounds(steps))

    @reward(weight=0.0)
    async def rounds(self, case: Case) -> float:
        """The rounds of the intended plan as a share of those of this one; 0 for a plan that is not right."""
        if not self.plan(case).passed:
            return 0.0
        return min(1.0, rounds(_steps(case.answer)) / rounds(_plan_in(case)))

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """The test split is finite and the same for every seed; the training split never ends and excludes it."""
        levels, tests = self.config.difficulty, self.config.test_tasks
        return leveled_tasks("decomposition", self._drawn, levels, split=split, seed=seed, test_tasks=tests)

    def demonstration(self, task: Task) -> str:
        """The plan from which the goal was made."""
        return json.dumps(task.answer)

    def _drawn(self, level: int, rng: Random, held_out: bool) -> Task:
        while True:
            steps: dict[str, Step] = {}
            goal = _draw(rng, gives_list=False, size=level + 1, steps=steps)
            digest = hashlib.blake2b(goal.encode(), digest_size=2).digest()
            if (digest[0] % _HELD_OUT == 0) != held_out:
                continue
            task = self._task(goal, steps, level)
            if _varies(task, steps):
                return task

    def _task(self, goal: str, steps: dict[str, Step], level: int) -> Task:
        used = sorted({name for step in steps.values() for name in step.of if name in _INPUTS})
        operations = "\n".join(
            f"- {name} (of {len(each.takes)}{', by' if each.by else ''}): {each.meaning}"
            for name, each in OPERATIONS.items()
        )
        prompt = _TASK.format(inputs=", ".join(used), goal=goal, operations=operations, example=_EXAMPLE, final=GOAL)
        answer = [
            {"id": name, "do": step.operation, "of": list(step.of)}
            | ({"by": step.by} if OPERATIONS[step.operation].by else {})
            for name, step in steps.items()
        ]
        return Task(prompt, answer=answer, info={"inputs": used, "difficulty": level})


def _draw(rng: Random, gives_list: bool, size: int, steps: dict[str, Step], name: str = GOAL) -> str:
    """Add steps that make a random list or number to ``steps``, the goal last, and return its description."""
    fitting = [
        (key, each)
        for key, each in OPERATIONS.items()
        if each.gives_list == gives_list and (len(each.takes) == 1 or size >= (3 if gives_list else 4))
    ]
    key, operation = rng.choice(fitting)
    left = size - 1
    sizes = [left] if len(operation.takes) == 1 else [left // 2, left - left // 2]
    phrases, of = list[str](), list[str]()
    for takes_list, part in zip(operation.takes, sizes, strict=True):
        if takes_list and part <= 0:
            of.append(rng.choice(_INPUTS))
            phrases.append(of[-1])
            continue
        inner = f"s{len(steps) + 1}"
        steps[inner] = Step("", ())  # takes the place, so that no other step has this id
        phrases.append(f"({_draw(rng, takes_list, max(1, part), steps, inner)})")
        of.append(inner)
    by = rng.randint(2, 6) if key in ("first", "multiply") else rng.randint(-5, 25) if operation.by else 0
    steps.pop(name, None)
    steps[name] = Step(key, tuple(of), by)
    return operation.phrase.format(*phrases, by=by)


def _trials(task: Task) -> list[dict[str, list[int]]]:
    """Lists on which a plan is executed; they follow from the task, and no prompt shows them."""
    rng = Random(f"lists {task.hash}")
    return [
        {name: [rng.randint(-20, 40) for _ in range(rng.randint(5, 12))] for name in task.info["inputs"]}
        for _ in range(TRIALS)
    ]


def _varies(task: Task, steps: dict[str, Step]) -> bool:
    """Whether the results differ so often that no constant is right, and each step matters."""
    trials = _trials(task)
    results = [execute(steps, inputs) for inputs in trials]
    if len(set(map(str, results))) < TRIALS // 2:
        return False
    return not any(_without(steps, name, trials) == results for name in steps if len(steps[name].of) == 1)


def _without(steps: dict[str, Step], name: str, trials: list[dict[str, list[int]]]) -> list[Any]:
    """The results if step ``name`` did nothing; empty if it cannot be left out."""
    if OPERATIONS[steps[name].operation].takes[0] != OPERATIONS[steps[name].operation].gives_list:
        return []
    (source,) = steps[name].of
    others = {
        each: Step(step.operation, tuple(source if used == name else used for used in step.of), step.by)
        for each, step in steps.items()
        if each != name
    }
    return [execute(others, inputs) for inputs in trials]


def _steps(answer: Any) -> dict[str, Step]:
    return {row["id"]: Step(row["do"], tuple(row["of"]), row.get("by", 0)) for row in answer}


def _plan_in(case: Case) -> dict[str, Step]:
    text = strip_fence(split_reasoning(case.completion)[1])
    return read_plan(read_json(text), case.task.info["inputs"])
