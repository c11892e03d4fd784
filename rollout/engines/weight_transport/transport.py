"""The protocol by which new weights travel from the trainer to the engines, and the transports to choose from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ....verifiers.errors import EngineError
from ....verifiers.plugins import Plugins
from .layout import Layout, layout_of

if TYPE_CHECKING:  # settings and workers import this file, and do without torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Shipment:
    """One version of the weights on its way; it can be pickled, and be received by any number of engines.

    Attributes:
        version: counts publications; a number is never used twice.
        layout: the tensors, so that an engine can refuse what does not fit before it changes anything.
        digest: what a receiver's ``finish`` returns if everything arrived whole.
        receiver: makes the engine's side of the transport; a class or function, so that it can be pickled.
        payload: what that receiver needs: the bytes, a path, handles, an address.
    """

    version: int
    layout: Layout
    digest: str
    receiver: "Callable[[], WeightReceiver]"
    payload: Any = None

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


TRANSPORTS: Plugins[Callable[[], WeightSender]] = Plugins(
    "weight transport", __package__, {"object_store": "object_store:ObjectStoreSender"}
)
"""The choices for ``rollout.weight_transport``."""


def ship(sender: WeightSender, version: int, state: "Mapping[str, Tensor]") -> Shipment:
    """Send all of ``state`` as ``version``."""
    sender.begin(version, layout_of(state))
    for name, tensor in state.items():
        sender.send(name, tensor)
    return sender.finish()
