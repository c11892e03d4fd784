"""The pool that a run asked for: in this process, or on Ray."""

from ...verifiers.errors import ConfigError
from ..event_log import EventLog
from .pool import InlinePool, Pool, PoolSpec


def open_pool(spec: PoolSpec, events: EventLog | None = None) -> Pool:
    """The pool that ``rollout.inline`` chooses; call it while the event loop that will use the pool runs.

    Args:
        spec: what its parts are built from.
        events: is told what engines and workers do.

    Raises:
        ConfigError: Ray cannot be imported, or the model cannot be loaded.
    """
    if spec.rollout.inline:
        return InlinePool(spec, events)
    try:
        from .ray_pool import RayPool
    except ImportError as error:
        raise ConfigError(
            f"Ray cannot be imported ({error}); reinstall it, or set rollout.inline = true (--inline)"
        ) from None
    return RayPool(spec, events)
