"""The protocol by which new weights travel from the trainer to the engines, and the transports to choose from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ....verifiers.errors import EngineError
from ....verifiers.plugins import Plugins
from ..own_code import CURE, OwnCode
from .adapters import Adapters
from .layout import Layout, TensorSpec, layout_of

if TYPE_CHECKING:  # settings and workers import this file, and do without torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Shipment:
    """One version of the weights on its way; it can be pickled, and be received by any number of engines.

    Attributes:
        version: counts publications; a number is never used twice.
        layout: the tensors, so that an engine can refuse what does not fit before it changes anything.
        digest: what a receiver's ``finish`` returns if everything arrived whole.
        receiver: makes the engine's side of the transport; a class or function, so that it can be pickled. Engines call
            ``open`` instead.
        payload: what that receiver needs: the bytes, a path, handles, an address.
        adapters: says what the tensors belong to, if they are adapters alone; None if they are all of the weights. Only
            engines whose ``info`` has ``adapters`` are given such a shipment.
    """

    version: int
    layout: Layout
    digest: str
    receiver: "Callable[[], WeightReceiver]"
    payload: Any = None
    adapters: Adapters | None = None

    def open(self) -> "CheckedReceiver":
        """The engine's side of the transport; its mistakes are errors that name ``rollout.weight_transport``."""
        return CheckedReceiver(self.receiver)

    def check_delivery(self, digest: str, who: str) -> None:
        """Raise ``EngineError`` unless ``digest``, which ``who`` returned, is that of the weights as they were sent."""
        if digest != self.digest:
            raise EngineError(
                f"weights version {self.version} arrived damaged at {who}: digest {digest}, expected {self.digest}"
            )


class WeightSender(Protocol):
    """The trainer's side; used for one version after the other, on the first rank of the trainer.

    A pool makes it and it is pickled to that rank, so connections are opened in ``begin``, not before. A transport that
    needs both sides at the same time sends on a thread of its own and lets ``finish`` return before the tensors have
    arrived: the trainer changes no weight before every engine has received the shipment.
    """

    def begin(self, version: int, layout: Layout) -> None:
        """Start a version; the tensors of ``layout`` follow in its order."""
        ...

    def send(self, name: str, tensor: "Tensor") -> None:
        """Send one tensor. It may be the model's own parameter, so it is copied if it is needed for longer."""
        ...

    def finish(self) -> Shipment:
        """End the version and return what the engines need to receive it."""
        ...


class WeightReceiver(Protocol):
    """An engine's side, made for one shipment. May raise ``EngineError``."""

    def receive(self, shipment: Shipment) -> "Iterator[tuple[str, Tensor]]":
        """Yield every tensor with its name, in the order of ``shipment.layout``."""
        ...

    def finish(self) -> str:
        """The digest of all that ``receive`` has yielded."""
        ...


class CheckedReceiver:
    """A ``WeightReceiver`` around the one that ``make`` makes.

    Raises:
        EngineError: that one raises, or yields other tensors than those of the layout; the message says which differ.
    """

    def __init__(self, make: Callable[[], WeightReceiver]) -> None:
        self._setting = _setting(make)
        with OwnCode(f"{self._setting}: its constructor"):
            self._receiver = make()

    def receive(self, shipment: Shipment) -> "Iterator[tuple[str, Tensor]]":
        """As in ``WeightReceiver``."""
        with OwnCode(f"{self._setting}: receive"):
            tensors = iter(self._receiver.receive(shipment))
        for expected in (*shipment.layout, None):
            with OwnCode(f"{self._setting}: receive"):
                arrived = next(tensors, None)
                found = None if arrived is None else layout_of(dict([arrived]))[0]
            if found != expected:
                raise EngineError(
                    f"{self._setting} delivered {_described(found)}, where the layout of version {shipment.version} "
                    f"has {_described(expected)}; {CURE}"
                )
            if arrived is not None:
                yield arrived

    def finish(self) -> str:
        """As in ``WeightReceiver``."""
        with OwnCode(f"{self._setting}: finish"):
            digest: object = self._receiver.finish()
        if not isinstance(digest, str):
            raise EngineError(f"{self._setting}: finish returns a digest as text, found {digest!r:.80}; {CURE}")
        return digest


TRANSPORTS: Plugins[Callable[..., WeightSender]] = Plugins(
    "weight transport",
    __package__,
    {
        "object_store": "object_store:ObjectStoreSender",
        "direct": "direct:DirectSender",
        "cuda_ipc": "gpu:ipc_sender",
        "nccl": "gpu:nccl_sender",
        "folder": "folder:FolderSender",
    },
    keywords=("auto",),
)
"""The choices for ``rollout.weight_transport``."""


def open_sender(name: str, folder: str = "") -> WeightSender:
    """The trainer's side of the transport that ``rollout.weight_transport`` names; ``auto`` is an ``AutoSender``.

    Args:
        name: the setting.
        folder: ``rollout.weight_folder``, for ``folder``.

    Raises:
        ConfigError: it cannot be imported.
        EngineError: its constructor raised.
    """
    with OwnCode(f"rollout.weight_transport = {name!r}: its constructor"):
        made = TRANSPORTS.load(name)
        return made(Path(folder)) if name == "folder" else made()


def ship(sender: WeightSender, version: int, state: "Mapping[str, Tensor]") -> Shipment:
    """Send all of ``state`` as ``version``; errors as in ``ship_each``."""
    return ship_each(sender, version, layout_of(state), state.items())


def ship_each(sender: WeightSender, version: int, layout: Layout, tensors: "Iterable[tuple[str, Tensor]]") -> Shipment:
    """Send the tensors of ``layout`` as ``version``, one after the other.

    Raises:
        EngineError: the sender raised, or returned another thing than a shipment of these tensors.
    """
    with OwnCode(f"{_setting(type(sender))}: sending"):
        sender.begin(version, layout)
        for name, tensor in tensors:
            sender.send(name, tensor)
        shipment: object = sender.finish()
    if not isinstance(shipment, Shipment) or not isinstance(shipment.digest, str) or not callable(shipment.receiver):
        raise EngineError(
            f"{_setting(type(sender))}: finish returns a Shipment with a digest as text and a receiver, found "
            f"{shipment!r:.80}; {CURE}"
        )
    if (shipment.version, shipment.layout) != (version, layout):
        raise EngineError(
            f"{_setting(type(sender))}: finish returned a Shipment with another version or layout than begin was given "
            f"(version {shipment.version!r:.20}, expected {version}); {CURE}"
        )
    return shipment


def _setting(made: object) -> str:
    """The setting behind a part of a transport, with the part's name."""
    name = getattr(made, "__qualname__", type(made).__qualname__)
    return f"rollout.weight_transport ({getattr(made, '__module__', '?')}:{name})"


def _described(spec: TensorSpec | None) -> str:
    return f"{spec.name!r} as {spec.shape} {spec.dtype}" if spec else "no further tensor"
