"""``lachesis serve-sandbox``: what is refused before anything listens."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from lachesis.commands.serve.serve_sandbox import command
from lachesis.verifiers.errors import ConfigError
from lachesis.verifiers.sandbox.remote.service import TOKEN


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--host", "0.0.0.0"], f"can be reached from outside; set {TOKEN} to a token"),
        (["--host", "::"], "can be reached from outside"),
        (["--cert", "cert.pem"], "TLS needs both --cert and --key"),
        (["--cert", "cert.pem", "--key", "key.pem"], "cannot use --cert cert.pem with --key key.pem"),
        (["--sandbox.requires", "strong"], "unknown key 'requires'; did you mean 'require'"),
        (["--sandbox.url", "https://elsewhere", "--sandbox.backend", "remote"], "elsewhere"),
    ],
)
def test_what_cannot_be_served_is_refused(
    words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, ConfigError)
    assert says in str(done.exception)


def test_the_token_is_no_option_so_that_no_list_of_processes_shows_it() -> None:
    assert not [option for option in command.params if "token" in (option.name or "")]
