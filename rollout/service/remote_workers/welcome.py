"""The welcome: what a worker must know of the run that it feeds, and the files of the run's tokenizer."""

import hashlib
import re
import tempfile
from pathlib import Path

import msgspec

from ....verifiers.errors import InfrastructureError
from ....verifiers.processes.temporary import own_prefix
from ...chats.renderer import Renderer
from ...engines.engine import Sampling


class Figures(msgspec.Struct):
    """Where the run is; these change while it goes on.

    Attributes:
        version: of the weights now.
        step: the trainer's step.
        steps: the run's last step.
        wanted: groups that are still needed before enough of them wait; 0 during the warm start.
    """

    version: int
    step: int
    steps: int
    wanted: int


class Welcome(msgspec.Struct):
    """What a worker is told when it joins, and whenever it asks.

    Attributes:
        run: identifies the run, also after it was resumed.
        name: of the run.
        context: most tokens of prompt and completion together.
        tokenizer: digest of the tokenizer's files.
        stop_ids: ids that end a turn.
        group_size: attempts at each task.
        sampling: how replies are drawn.
        figures: where the run is.
    """

    run: str
    name: str
    context: int
    tokenizer: str
    stop_ids: list[int]
    group_size: int
    sampling: Sampling
    figures: Figures

    @property
    def identity(self) -> tuple[str, int, str]:
        """If this changes, a worker has to begin anew."""
        return self.run, self.context, self.tokenizer


def pack_tokenizer(renderer: Renderer) -> tuple[str, bytes]:
    """The files of the tokenizer and its chat template as one body, and its digest."""
    with tempfile.TemporaryDirectory(prefix=own_prefix("tokenizer")) as folder:
        renderer.save(Path(folder))
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
    body = msgspec.msgpack.encode(files)
    return _digest(body), body


def unpack_tokenizer(body: bytes, digest: str, folder: Path) -> None:
    """Write the files in ``body`` into ``folder``.

    Raises:
        InfrastructureError: these are not the files of this digest.
    """
    try:
        files = msgspec.msgpack.decode(body, type=dict[str, bytes])
    except msgspec.DecodeError as error:
        raise InfrastructureError(f"the service sent no tokenizer: {error}") from None
    if _digest(body) != digest:
        raise InfrastructureError(f"the tokenizer that arrived has the digest {_digest(body)}, not {digest}")
    for name, content in files.items():
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise InfrastructureError(f"the service sent a tokenizer with a file {name!r:.80}; it is not written")
        (folder / name).write_bytes(content)


def _digest(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=16).hexdigest()
