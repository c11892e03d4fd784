"""The trajectory services that a run hosts, one for each environment that gets its groups from outside."""

import logging
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

from aiohttp import web

from ...environments.environment import Environment
from ...rollout.chats.renderer import Renderer
from ...rollout.engines.engine import Generator, Sampling
from ...rollout.orders import Outcome, Passed
from ...rollout.service.app import make_app, make_runner
from ...rollout.service.engine.conversations import Conversations
from ...rollout.service.engine.openapi import engine_part
from ...rollout.service.engine.routes import engine_routes
from ...rollout.service.posted import Posted
from ...rollout.service.remote_workers.routes import Terms, WorkerRoutes
from ...rollout.service.remote_workers.welcome import Figures, Welcome
from ...rollout.service.service import Service
from ...rollout.service.storage.queue import GroupQueue, QueuedGroup
from ...rollout.service.training.scored_data import Limits
from ...rollout.service.training.source import ServiceSource, SourcedPool
from ...rollout.service.training.trainer_door import TrainerDoor
from ...rollout.service.wire import Registration, encode, refused
from ...rollout.workers.pool import GroupMaker
from ...verifiers.errors import ConfigError
from ..config import RunConfig
from .metrics import Metrics
from .storage.run_state import RunState

log = logging.getLogger("lachesis")

_REQUESTS = 4096  # at a time; each attempt that a worker plays is one while its reply is sampled


class RunServices:
    """Hosts the services of a run, and forgets groups only when a checkpoint contains them.

    Args:
        environments: of the run.
        config: of the run.
        folder: of the run; each queue is a file in it.
        state: of the run, now; at first the one that the run goes on from.
        vocabulary: token ids are below it.
    """

    def __init__(
        self,
        environments: Sequence[Environment],
        config: RunConfig,
        folder: Path,
        state: Callable[[], RunState],
        vocabulary: int,
    ) -> None:
        played = any(environment.played for environment in environments)
        self._hosts = {
            place: ServiceHost(
                environment,
                config,
                folder / f"service-{place}.sqlite",
                state,
                Limits(config.model.context, vocabulary),
                size=config.environments[place].group_size,
                others=len(environments) > 1,
                played=played,
            )
            for place, environment in enumerate(environments)
            if not environment.played
        }

    @property
    def hosted(self) -> bool:
        """Whether there are any."""
        return bool(self._hosts)

    @property
    def addresses(self) -> dict[str, str]:
        """Label → URL at which the service listens, once they are open."""
        return {host.label: host.address for host in self._hosts.values()}

    @property
    def consumed(self) -> dict[str, int]:
        """Label → number of the last group that was consumed."""
        return {host.label: host.source.consumed for host in self._hosts.values()}

    def over(self, pool: GroupMaker) -> GroupMaker:
        """``pool``, with the services answering the orders of their environments."""
        sources = {place: host.source for place, host in self._hosts.items()}
        return SourcedPool(pool, sources) if sources else pool

    def learn(self, outcome: Outcome | Passed) -> None:
        """What became of an order, told in admission order."""
        for host in self._hosts.values():
            host.source.learn(outcome)

    def metrics(self) -> Metrics:
        """Of all services."""
        return {name: value for host in self._hosts.values() for name, value in host.metrics().items()}

    async def open(self, generator: Callable[[], Generator], renderer: Renderer) -> None:
        """Begin to listen.

        Raises:
            ConfigError: an address cannot be used.
        """
        for host in self._hosts.values():
            await host.open(generator(), renderer)

    async def start(self) -> None:
        """Let environments register, now that the policy is the one that is trained: the warm start is over."""
        for host in self._hosts.values():
            await host.start()

    async def sealed(self, state: RunState) -> None:
        """A checkpoint of ``state`` is complete: what was consumed before it is needed no more."""
        for host in self._hosts.values():
            await host.queue.trained(state.services.get(host.label, 0))

    async def close(self) -> None:
        """Stop listening; what is queued stays in the run's folder."""
        for host in self._hosts.values():
            await host.close()


class HostedService(Service):
    """A service whose groups go to the run that hosts it, and to nobody else."""

    def _body(self, posted: Posted) -> bytes:
        """The group as the door left it, with what was sampled in place of what was posted."""
        return encode(posted.group)

    async def batch(self, trainer: str) -> list[QueuedGroup] | None:
        """None: the groups are not for other trainers."""
        return None

    async def reset(self) -> None:
        """Raise: the groups were acknowledged, and the run will train them."""
        raise refused([], "a trainer hosts this service, and trains what it has acknowledged; it cannot be reset")


class ServiceHost:
    """One service: a queue, the source that reads it, and the HTTP server in front of it.

    Args:
        environment: whose groups come through the service.
        config: of the run.
        file: of the queue.
        state: of the run, now.
        limits: of the trained model.
        size: attempts that a group is expected to have.
        others: whether the run has other environments.
        played: whether any of them is played here.
    """

    def __init__(
        self,
        environment: Environment,
        config: RunConfig,
        file: Path,
        state: Callable[[], RunState],
        limits: Limits,
        *,
        size: int,
        others: bool,
        played: bool,
    ) -> None:
        settings = environment.config
        self.label, self._settings, self._config, self._state = environment.label, settings, config, state
        self._limits, self._size, self._folder = limits, size, file.parent.resolve()
        self.queue = GroupQueue(file, max_groups=settings.max_groups, max_bytes=settings.max_bytes)
        self.source = ServiceSource(
            self.queue,
            self.label,
            limits,
            consumed=state().services.get(self.label, 0),
            patience=settings.patience,
            max_staleness=settings.max_staleness,
            others=others,
            played=played,
        )
        self.address = ""
        self._runner: web.AppRunner | None = None
        self._memory: Conversations | None = None
        self._workers: WorkerRoutes | None = None
        self._service: HostedService | None = None

    async def open(self, generator: Generator, renderer: Renderer) -> None:
        """Serve the wire of Atropos, the engine and the routes for workers on one port.

        Raises:
            ConfigError: the address cannot be used.
        """
        state, settings, context = self._state, self._settings, self._config.model.context
        await self.queue.trained(self.source.consumed)  # the state that the run goes on from contains these
        memory = self._memory = Conversations(renderer)
        door = TrainerDoor(
            max_staleness=settings.max_staleness,
            limits=self._limits,
            current=lambda: state().version,
            memory=memory,
            refuse_unprovable=settings.unprovable == "refuse",
        )
        service = HostedService(self.queue, door=door, step=lambda: state().step, hold_odd=False)
        service.registration = self._registration()  # the run may be told other steps when it is resumed
        self._service = service
        routes = engine_routes(generator, renderer, context=context, version=lambda: state().version, memory=memory)
        self._workers = WorkerRoutes(service, door, generator, renderer, await self._terms(renderer))
        routes += self._workers.routes()
        app = make_app(service, token=settings.token, routes=routes, described=[engine_part()], max_requests=_REQUESTS)
        self._runner = make_runner(app)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port).start()
        except OSError as error:
            raise ConfigError(
                f"{self.label} cannot listen on {settings.host}:{settings.port}: {error.strerror or error}; "
                "choose another port (environments.config.port)"
            ) from None
        self.address = f"http://{settings.host}:{self._runner.addresses[0][1]}"
        log.info("%s: environments, workers and clients of the engine connect to %s", self.label, self.address)

    async def start(self) -> None:
        """Let environments register."""
        if self._service:
            await self._service.start()

    def metrics(self) -> Metrics:
        """Of the source, and how many sequences were as sampled, repaired, and neither, in this sitting."""
        metrics = self.source.metrics()
        if self._memory:
            counts = self._memory.counts
            found = {"exact": counts.exact, "repaired": counts.repaired, "unprovable": counts.unprovable}
            metrics |= {f"service/{self.label}/{name}": float(count) for name, count in found.items()}
        if self._workers:
            metrics[f"service/{self.label}/workers"] = float(self._workers.connected)
        return metrics

    async def close(self) -> None:
        """Answer what is under way, and stop."""
        if self._runner:
            await self._runner.cleanup()
        self.queue.close()

    async def _terms(self, renderer: Renderer) -> Terms:
        """What workers are told of the run; it is known by the same name after it was resumed."""
        run = self.queue.state().get("run") or secrets.token_hex(16)
        await self.queue.keep({"run": run})
        staleness = self._settings.max_staleness
        welcome = Welcome(
            run=run,
            name=self._folder.name,
            context=self._limits.context,
            tokenizer="",
            stop_ids=list(renderer.stop_ids),
            group_size=self._size,
            sampling=Sampling(**self._config.rollout.sampling.model_dump()),
            figures=Figures(0, 0, 0, 0),
        )
        return Terms(welcome, enough=self._config.trainer.prompts * (2 if staleness is None else 1 + staleness))

    def _registration(self) -> Registration:
        """What environments are told of the run."""
        trainer = self._config.trainer
        return Registration(
            wandb_group=self._config.name,
            wandb_project="lachesis",
            batch_size=trainer.prompts * self._size,
            max_token_len=self._limits.context,
            checkpoint_dir=str(self._folder),
            save_checkpoint_interval=trainer.checkpoint_every,
            starting_step=self._state().step,
            num_steps=trainer.steps,
        )
