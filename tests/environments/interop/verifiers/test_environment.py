"""The adapter against a program that speaks the protocol of ``program.py``, and against the real packages."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lachesis.environments.environment import Environment
from lachesis.environments.interop.verifiers import environment as adapter
from lachesis.environments.loading import describe
from lachesis.environments.play import play
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.trajectory import StopReason, Trajectory

from .exact_policy import ExactPolicy

PYTHONS = {version: os.environ.get(f"LACHESIS_VERIFIERS_{version.upper()}_PYTHON", "") for version in ("v0", "v1")}

PROGRAM = """
import json, os, sys, time
first = json.loads(sys.stdin.readline())
n, args = first["n"], first["args"]
rows = [{"prompt": f"{k} + 1?", "answer": str(k + 1), "example_id": k} for k in range(args.get("rows", 250))]
def send(n, **message): print(json.dumps({"n": n, **message}), flush=True)
send(n, ok={"version": "0", "splits": args.get("splits", ["train"])})
mode = args.get("mode", "")
result = {"reward": 0.7, "rewards": [["right", 0.5, 1.0], ["total", 1.0, 0.2]], "metrics": {"right": 0.5, "turns": 2},
          "faults": [], "error": None, "truncated": False, "stop": "done", **args.get("result", {})}
for line in sys.stdin:
    told = json.loads(line)
    n, do = told["n"], told.get("do")
    if do == "rows": send(n, ok=rows[told["start"]:told["stop"]])
    elif do == "ping" and mode != "stuck": send(n, ok=True)
    elif do == "play":
        if mode == "raise": send(n, failed="KeyError: 'x' (env.py, line 3)")
        elif mode == "die": os.kill(os.getpid(), 9)
        elif mode == "silent" or mode == "stuck": pass
        else:
            asked = [{"role": "user", "content": told["row"]["prompt"]}]
            sampling = {"max_tokens": 64, **args.get("sampling", {})}
            ask = {"call": 0, "messages": asked, "tools": [], "sampling": sampling}
            send(n, ask=ask)
    elif "said" in told and told["call"] == 0:
        asked += [{"role": "assistant", "content": told["said"]["content"]}, {"role": "user", "content": "Sure?"}]
        send(n, ask={**ask, "call": 1, "messages": asked})
    elif "said" in told or "limit" in told or "failed" in told: send(n, ok=result)
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    path = tmp_path / "python"
    path.write_text(f"#!{sys.executable}\n{PROGRAM}")
    path.chmod(0o755)
    return path


def made(python: Path | str, args: dict[str, Any] | None = None, **config: Any) -> Environment:
    settings = {"python": str(python), "id": "theirs", "args": args or {}, "deadline": 60.0, **config}
    return describe("verifiers", config=settings).build()


def played(environment: Environment, lines: list[str], index: int = 0) -> Trajectory:
    """An episode with exact tokens, scored."""
    task = list(environment.tasks("test", 0))[index]
    policy = ExactPolicy(lines)

    async def run() -> Trajectory:
        trajectory = await play(environment, task, {"policy": policy.policy}, (1,))
        return await environment.score_trajectory(trajectory)

    trajectory = asyncio.run(run())
    policy.check(trajectory.segments)
    return trajectory


def test_its_calls_are_replies_and_its_rubric_gives_the_rewards(python: Path) -> None:
    trajectory = played(made(python, success=0.6), ["one", "two"])
    assert trajectory.stop is StopReason.DONE, trajectory.error
    assert len(trajectory.segments) == 1
    reward = trajectory.rewards["policy"]
    assert {part.label: (part.verdict.score, part.weight) for part in reward.components} == {
        "right": (0.5, 1.0),
        "total_": (1.0, 0.2),
    }
    assert (reward.total, reward.success) == (0.7, True)
    assert trajectory.metrics["turns"] == 2
    assert "right" not in trajectory.metrics


def test_rows_are_split_by_their_content_unless_it_has_two_datasets(python: Path) -> None:
    one = made(python)
    tested, trained = ({task.prompt for task in one.tasks(split, 1)} for split in ("test", "train"))  # type: ignore[arg-type]
    assert (len(tested | trained), tested & trained) == (250, set())
    assert 5 < len(tested) < 60
    assert [task.prompt for task in one.tasks("train", 1)] == [task.prompt for task in one.tasks("train", 1)]
    assert [task.prompt for task in one.tasks("train", 1)] != [task.prompt for task in one.tasks("train", 2)]
    assert len(list(made(python, {"splits": ["train", "test"]}, limit=120).tasks("test", 0))) == 120
    only = made(python, {"splits": ["test"]})
    assert only.splits == ("test",)
    with pytest.raises(ConfigError, match="no dataset for the split 'train'"):
        next(iter(only.tasks("train", 0)))
    with pytest.raises(DataError, match="no rows"):
        next(iter(made(python, {"rows": 0}).tasks("test", 0)))


@pytest.mark.parametrize(
    ("args", "stop", "says"),
    [
        ({"result": {"faults": ["right: KeyError: 'x'"]}}, StopReason.ENVIRONMENT_ERROR, "a reward failed"),
        ({"result": {"error": "SandboxError"}}, StopReason.ENVIRONMENT_ERROR, "ended in an error: SandboxError"),
        ({"result": {"rewards": [["right", None, 1]]}}, StopReason.ENVIRONMENT_ERROR, "found None"),
        ({"result": {"rewards": [["right", "x", 1]]}}, StopReason.ENVIRONMENT_ERROR, "must be a finite number"),
        ({"mode": "raise"}, StopReason.ENVIRONMENT_ERROR, "KeyError: 'x' (env.py, line 3)"),
        ({"mode": "die"}, StopReason.INFRA_ERROR, "ended with SIGKILL"),
        ({"mode": "silent"}, StopReason.INFRA_ERROR, "sent nothing for 0.5 s"),
        ({"sampling": {"stop": "x"}}, StopReason.ENVIRONMENT_ERROR, "sampling argument 'stop'"),
    ],
)
def test_a_fault_of_the_other_side_is_never_a_score(
    python: Path, args: dict[str, Any], stop: StopReason, says: str
) -> None:
    trajectory = played(made(python, args, deadline=0.5 if args.get("mode") == "silent" else 60.0), ["one", "two"])
    assert trajectory.stop is stop
    assert says in (trajectory.error or "")
    assert not trajectory.scored


def test_after_a_death_the_next_episode_has_a_new_process(python: Path) -> None:
    environment = made(python)
    assert played(environment, ["one", "two"]).scored
    environment._bridge().close("killed")  # type: ignore[attr-defined]
    assert played(environment, ["one", "two"]).scored


def test_a_process_that_no_longer_answers_is_killed(python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_GRACE", 0.2)
    environment = made(python, {"mode": "stuck"}, deadline=0.2)
    assert played(environment, ["one"]).stop is StopReason.INFRA_ERROR
    old = environment._bridge()  # type: ignore[attr-defined]
    assert played(environment, ["one"]).stop is StopReason.INFRA_ERROR
    assert "no longer answered" in old.lost


def test_a_limit_ends_the_episode_and_the_score_stands(python: Path) -> None:
    trajectory = played(made(python, limits={"turns": 1}), ["one", "two"])
    assert (trajectory.stop, trajectory.rewards["policy"].total) == (StopReason.TURNS, 0.7)
    cut = played(made(python, {"result": {"truncated": True}}), ["one", "two"])
    assert (cut.stop, cut.rewards["policy"].total) == (StopReason.LENGTH, 0.7)


def test_the_time_limit_leaves_an_episode_without_a_score(python: Path) -> None:
    trajectory = played(made(python, {"mode": "silent"}, limits={"seconds": 0.3}), ["one"])
    assert trajectory.stop is StopReason.INFRA_ERROR
    assert "did not score the episode within limits.seconds" in str(trajectory.error)


V0 = '''
import verifiers as vf
from datasets import Dataset

def load_environment(fault="", tool=False, both=False, group=False):
    rows = [{"question": f"{k} + 1?", "answer": str(k + 1)} for k in range(40)]

    async def right(completion, answer, **kwargs):
        if fault == "raise":
            raise KeyError("boom")
        if fault == "nan":
            return float("nan")
        return float(completion[-1]["content"].strip().endswith(answer))

    def short(completion) -> float:
        print("this must not disturb the protocol")
        return "x" if fault == "text" else 0.5

    def ranked(completions) -> list[float]:
        return [0.0 for _ in completions]

    def add(a: int, b: int) -> int:
        """Add two numbers."""
        if fault == "tool":
            raise ValueError("jammed")
        return a + b

    rubric = vf.Rubric(funcs=[ranked] if group else [right, short], weights=[1.0] if group else [1.0, 0.2])
    more = {"eval_dataset": Dataset.from_list(rows[:3])} if both else {}
    if tool:
        return vf.ToolEnv(dataset=Dataset.from_list(rows), tools=[add], rubric=rubric, max_turns=3, **more)
    return vf.SingleTurnEnv(dataset=Dataset.from_list(rows), rubric=rubric, system_prompt="Be brief.", **more)
'''

V1 = """
import verifiers.v1 as vf

__all__ = ["SumTaskset"]

class SumData(vf.TaskData):
    answer: str

class SumConfig(vf.TasksetConfig):
    fault: str = ""
    tool: bool = False

class SumTask(vf.Task[SumData, vf.State, vf.TaskConfig]):
    @vf.reward(weight=1.0)
    async def right(self, trace) -> float:
        if self.data.name == "raise":
            raise KeyError("boom")
        return float(trace.last_reply.endswith(self.data.answer))

    @vf.reward(weight=0.2)
    async def short(self) -> float:
        print("this must not disturb the protocol")
        return 0.5

    @vf.metric
    async def letters(self, trace) -> float:
        return float(len(trace.last_reply))

class SumTaskset(vf.Taskset[SumTask, SumConfig]):
    def load(self):
        for k in range(40):
            data = SumData(prompt=f"{k} + 1?", system_prompt="Be brief.", answer=str(k + 1), name=self.config.fault)
            yield SumTask(data, self.config.task)
"""


@pytest.fixture
def real(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes environments of a real package in a version."""
    version: str = request.param
    if not PYTHONS[version]:
        pytest.skip(f"verifiers ({version}) is not installed: make interop")
    (tmp_path / "lachesis_sums.py").write_text(V0 if version == "v0" else V1)
    monkeypatch.setenv("PATH", f"{Path(PYTHONS[version]).parent}{os.pathsep}{os.environ['PATH']}")  # uv, for v1

    def build(args: dict[str, Any] | None = None, **config: Any) -> Environment:
        settings = {"id": "lachesis-sums", "folder": str(tmp_path), "deadline": 100.0, **config}
        return made(PYTHONS[version], args, **settings)

    return build


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v0", "v1"], indirect=True)
def test_the_real_packages_train_on_the_exact_tokens_and_score(real: Any) -> None:
    environment = real()
    task = next(iter(environment.tasks("test", 0)))
    trajectory = played(environment, [f"It is {task.answer}"])
    assert trajectory.stop is StopReason.DONE, trajectory.error
    roles = [message["role"] for message in trajectory.messages["policy"]]
    assert roles == ["system", "user", "assistant"]
    assert [part.label for part in trajectory.rewards["policy"].components] == ["right", "short"]
    assert trajectory.rewards["policy"].total == pytest.approx(1.1)
    assert played(environment, ["no idea"]).rewards["policy"].total == pytest.approx(0.1)
    assert len(trajectory.segments) == 1


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v0"], indirect=True)
@pytest.mark.parametrize("fault", ["raise", "nan", "text"])
def test_a_real_reward_that_raises_or_is_no_number_is_no_score(real: Any, fault: str) -> None:
    trajectory = played(real({"fault": fault}), ["one"])
    assert trajectory.stop is StopReason.ENVIRONMENT_ERROR
    assert "a reward failed" in str(trajectory.error)


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v1"], indirect=True)
def test_a_real_reward_of_v1_that_raises_is_no_score(real: Any) -> None:
    trajectory = played(real({"taskset": {"fault": "raise"}}), ["one"])
    assert "KeyError: 'boom'" in str(trajectory.error)
    assert not trajectory.scored


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v0"], indirect=True)
def test_real_tools_are_called_in_one_segment(real: Any) -> None:
    environment = real({"tool": True})
    task = next(iter(environment.tasks("test", 0)))
    call = f"<tool_call>{json.dumps({'name': 'add', 'arguments': {'a': int(task.answer), 'b': 0}})}</tool_call>"
    trajectory = played(environment, [call, f"It is {task.answer}"])
    assert trajectory.stop is StopReason.DONE, trajectory.error
    assert [m["content"] for m in trajectory.messages["policy"] if m["role"] == "tool"] == [task.answer]
    assert trajectory.rewards["policy"].total == pytest.approx(1.1)
    assert trajectory.metrics["add_calls"] == 1
    assert len(trajectory.segments) == 1
    limited = played(real({"tool": True}, limits={"turns": 1}), [call, "never"])
    assert (limited.stop, limited.scored) == (StopReason.TURNS, True)


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v0"], indirect=True)
def test_real_datasets_and_refusals(real: Any) -> None:
    assert len(list(real({"both": True}).tasks("test", 0))) == 3
    with pytest.raises(ConfigError, match="group rewards"):
        next(iter(real({"group": True}).tasks("test", 0)))
    with pytest.raises(ConfigError, match="no-such-environment"):
        next(iter(real(id="no-such-environment").tasks("test", 0)))
    with pytest.raises(ConfigError, match="colour"):
        next(iter(real({"colour": 1}).tasks("test", 0)))


@pytest.mark.slow
@pytest.mark.parametrize("real", ["v0", "v1"], indirect=True)
def test_many_real_episodes_at_once(real: Any) -> None:
    environment = real()
    tasks = list(environment.tasks("train", 0))[:20]

    async def run() -> list[Trajectory]:
        return await asyncio.gather(*(environment.attempt(task, [f"It is {task.answer}"]) for task in tasks))

    assert [one.rewards["policy"].total for one in asyncio.run(run())] == [pytest.approx(1.1)] * 20
