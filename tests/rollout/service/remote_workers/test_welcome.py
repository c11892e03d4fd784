from pathlib import Path

import msgspec
import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.models.tiny import build_tiny_tokenizer
from lachesis.rollout.models.tokenizer import load_tokenizer
from lachesis.rollout.service.remote_workers.welcome import _digest, pack_tokenizer, unpack_tokenizer
from lachesis.verifiers.errors import InfrastructureError

SAID = [{"role": "user", "content": "hello <|im_end|> 12"}, {"role": "assistant", "content": "the sum"}]


def test_the_tokenizer_that_arrives_renders_the_same_ids(tmp_path: Path) -> None:
    renderer = Renderer(build_tiny_tokenizer(words=("the", "sum")), stop_ids=[3])
    digest, body = pack_tokenizer(renderer)
    unpack_tokenizer(body, digest, tmp_path)
    found = Renderer(load_tokenizer(str(tmp_path)), stop_ids=renderer.stop_ids)
    assert found.prompt(SAID).tolist() == renderer.prompt(SAID).tolist()  # type: ignore[arg-type]
    assert (found.stop_ids, found.vocabulary) == (renderer.stop_ids, renderer.vocabulary)


def test_files_of_another_digest_are_not_written(tmp_path: Path) -> None:
    _, body = pack_tokenizer(Renderer(build_tiny_tokenizer()))
    with pytest.raises(InfrastructureError, match="digest"):
        unpack_tokenizer(body, "0" * 32, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", ".x", "", "a\0"])
def test_no_file_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    body = msgspec.msgpack.encode({name: b"x"})
    with pytest.raises(InfrastructureError, match="not written"):
        unpack_tokenizer(body, _digest(body), tmp_path)
    assert not list(tmp_path.iterdir())
