"""A learner on several Ray actors, each of them a rank of ``torch.distributed``."""

import socket
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Concatenate, ParamSpec, TypeVar

import ray
import torch
import torch.distributed as dist
from ray.exceptions import RayError, RayTaskError

from ....rollout.cluster.delivery import model_here, named_node
from ....rollout.cluster.placement import rank_seat
from ....rollout.config import ModelConfig
from ....rollout.engines.own_code import OwnCode
from ....rollout.engines.weight_transport.transport import Shipment, WeightSender
from ....verifiers.errors import DeadlineExceeded, InfrastructureError, LachesisError
from ...config import TrainerConfig
from ...losses.config import PreferenceConfig
from ...losses.objective import Objective
from ..learner import Computed, Metrics, StepResult
from ..local import LocalLearner
from ..pair import Pair
from ..sample import Sample
from ..throughput import Scale
from .deadlines import FIRST, Deadlines, within

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Rank:
    """The Ray actor that holds one rank's learner."""

    def __init__(self, rank: int, size: int) -> None:
        self._rank, self._size = rank, size

    def address(self) -> str:
        """Return this host and a free port, at which all ranks connect."""
        host: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        with socket.socket() as free:
            free.bind((host, 0))
            return f"{host}:{free.getsockname()[1]}"

    def join(self, address: str, model: ModelConfig, config: TrainerConfig, longest: int) -> tuple[int, Scale]:
        """Connect to the other ranks and load the model; return its vocabulary and scale."""
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        patience = timedelta(seconds=FIRST)  # for the others; the driver's own deadlines are shorter
        place: dict[str, Any] = {"init_method": f"tcp://{address}", "rank": self._rank, "world_size": self._size}
        dist.init_process_group(backend, timeout=patience, **place)
        with named_node():
            self._learner = LocalLearner(model_here(model), config, longest)
        return self._learner.vocabulary, self._learner.scale

    def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Call a method of the learner. Ranks other than the first return the result only if it is a bool."""
        found = getattr(self._learner, method)(*arguments, **named)
        return found if self._rank == 0 or isinstance(found, bool) else None


@dataclass(frozen=True)
class Once:
    """An argument that is put into the object store once, for all ranks.

    Attributes:
        value: the argument.
        part: the setting whose own code pickles it; empty if it is ours.
    """

    value: Any
    part: str = ""

    def put(self) -> Any:
        """A reference to the value in the object store."""
        with OwnCode(self.part) if self.part else nullcontext():
            return ray.put(self.value)


def on_all_ranks(
    method: Callable[Concatenate[LocalLearner, Arguments], Result],
) -> Callable[Concatenate["RankedLearner", Arguments], Result]:
    """Make a method of ``RankedLearner`` that calls ``method`` on every rank and returns the first rank's result."""

    def call(learner: "RankedLearner", /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        answers: list[Result] = learner.call(method.__name__, *arguments, **named)
        return answers[0]

    call.__doc__ = method.__doc__
    return call


class RankedLearner:
    """A ``Learner`` on ``config.ranks`` Ray actors; Ray must have been started.

    Raises:
        InfrastructureError: A rank died, or does not answer in time. The others would wait for it forever, so all are
            ended; resume the run from its last checkpoint.
    """

    KILLING = 5.0
    """Seconds that it may take to kill the ranks."""

    def __init__(self, model: ModelConfig, config: TrainerConfig, longest: int = 0) -> None:
        self.objective = Objective(config.loss)
        self._deadlines = Deadlines()
        actor: Any = ray.remote(Rank)
        gpus = config.gpus_per_rank
        self._ranks = [
            actor.options(**rank_seat(rank, gpus)).remote(rank, config.ranks) for rank in range(config.ranks)
        ]
        address = self._get("address", lambda: [self._ranks[0].address.remote()])[0]
        joined = self._get("join", lambda: [rank.join.remote(address, model, config, longest) for rank in self._ranks])
        self.vocabulary: int
        self.scale: Scale
        self.vocabulary, self.scale = joined[0]

    keep_reference = on_all_ranks(LocalLearner.keep_reference)
    reset_optimizer = on_all_ranks(LocalLearner.reset_optimizer)
    compute_logprobs = on_all_ranks(LocalLearner.compute_logprobs)
    save = on_all_ranks(LocalLearner.save)
    load = on_all_ranks(LocalLearner.load)
    memory = on_all_ranks(LocalLearner.memory)

    def add_gradient(self, samples: Sequence[Sample]) -> None:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        self._call("add_gradient", self._work(samples), Once(samples))

    def policy_step(self, samples: Sequence[Sample], lr: float) -> StepResult:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        result: StepResult = self._call("policy_step", self._work(samples), Once(samples), lr)[0]
        return result

    def supervised_step(self, samples: Sequence[Sample], lr: float) -> Metrics:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        metrics: Metrics = self.call("supervised_step", Once(samples), lr)[0]
        return metrics

    def preference_step(self, pairs: Sequence[Pair], config: PreferenceConfig, lr: float) -> Metrics:
        """As in ``Learner``; the pairs are put into the object store once, for all ranks."""
        metrics: Metrics = self.call("preference_step", Once(pairs), config, lr)[0]
        return metrics

    def compute_each(self, samples: Sequence[Sample]) -> list[Computed]:
        """As in ``Learner``; the samples are put into the object store once, for all ranks."""
        found: list[Computed] = self.call("compute_each", Once(samples))[0]
        return found

    def send(self, sender: WeightSender, version: int, adapters: bool = False) -> Shipment:
        """As in ``Learner``."""
        once = Once(sender, "rollout.weight_transport: pickling its sender")
        shipment: Shipment = self.call("send", once, version, adapters)[0]
        return shipment

    def saved(self) -> bool:
        """As in ``Learner``, for every rank's part."""
        return all(self.call("saved"))

    def close(self) -> None:
        """Kill all ranks. Those that Ray cannot kill, because they are stopped, end with Ray itself."""
        within(self.KILLING, lambda: [ray.kill(rank) for rank in self._ranks])

    def call(self, method: str, *arguments: Any, **named: Any) -> list[Any]:
        """Call ``method`` of every rank's learner; return the results by rank."""
        return self._call(method, 1.0, *arguments, **named)

    def _call(self, method: str, work: float, *arguments: Any, **named: Any) -> list[Any]:
        """As ``call``; for ``work`` see ``Deadlines``."""

        def begin() -> list[Any]:
            given = [one.put() if isinstance(one, Once) else one for one in arguments]
            return [rank.call.remote(method, *given, **named) for rank in self._ranks]

        return self._get(method, begin, work)

    def _work(self, samples: Sequence[Sample]) -> float:
        """Tokens of the samples that have a gradient."""
        return float(sum(one.tokens.size for one in samples if self.objective.needs_all or one.has_advantage))

    def _get(self, method: str, begin: Callable[[], list[Any]], work: float = 1.0) -> list[Any]:
        """Return the results of the calls that ``begin`` makes, in time.

        The first failure is raised at once, because the other ranks wait for the failed one.
        """
        try:
            return self._deadlines.within(method, lambda: _results(begin()), work)
        except RayTaskError as error:
            self.close()
            raise error.cause if isinstance(error.cause, LachesisError) else error from None
        except RayError as error:
            self.close()
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise InfrastructureError(f"a rank of the trainer was lost: {reason}; continue with --resume") from None
        except DeadlineExceeded as late:
            self.close()
            raise InfrastructureError(
                f"the ranks of the trainer do not answer: {late}. One of them is stopped or cut off; continue with "
                "--resume"
            ) from None


def _results(references: list[Any]) -> list[Any]:
    """All results; the first failure is raised at once."""
    waiting = references
    while waiting:
        done, waiting = ray.wait(waiting)
        ray.get(done)
    found: list[Any] = ray.get(references)
    return found
