"""The pool that a run asked for: in this process, or on Ray."""

from ...verifiers.errors import ConfigError
from .pool import InlinePool, Pool, PoolSpec


def open_pool(spec: PoolSpec) -> Pool:
    """The pool that ``rollout.inline`` chooses; call it while the event loop that will use the pool runs.

    Raises:
        ConfigError: Ray cannot be imported, or the model cannot be loaded.
    """
    if spec.rollout.inline:
        return InlinePool(spec)
    try:
        from .ray_pool import RayPool
    except ImportError as error:
        raise ConfigError(
            f"Ray cannot be imported ({error}); reinstall it, or set rollout.inline = true (--inline)"
        ) from None
    return RayPool(spec)
