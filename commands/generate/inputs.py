"""The trajectories for ``lachesis generate``: played as ``lachesis eval`` plays them, or read where they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...rollout.training_rows.row_files import MANIFEST, shard_paths
from ...trainer.run.storage.reader import CONFIG, TRAJECTORIES
from ...verifiers.errors import ConfigError
from ..eval.evaluation import run_evaluation
from ..eval.request import evaluation_of
from ..sources.library import Library
from ..sources.stored import StoredEpisodes, open_episodes

ATTEMPTS = "attempts.jsonl"
"""The evaluation in a folder of rows, from which they were made."""


def is_stored(word: str) -> bool:
    """Whether ``word`` names trajectories that are read, and not an environment that is played."""
    path = Path(word)
    if path.is_file():
        return path.suffix not in (".py", ".toml")
    return path.is_dir() and ((path / CONFIG).is_file() or bool(Library([path]).sources()))


def attempts_at(words: Sequence[str]) -> list[StoredEpisodes]:
    """The trajectories of runs and evaluations, and of those in folders.

    Raises:
        ConfigError: a path holds none, or an environment of theirs cannot be found.
    """
    found: dict[Path, StoredEpisodes] = {}
    for word in words:
        path = Path(word)
        if path.is_dir() and not (path / CONFIG).is_file():
            paths = [source.path for source in Library([path]).sources() if source.kind in ("run", "eval")]
            if not paths:
                raise ConfigError(f"{word} holds rows, but no run and no evaluation to make others of; name another")
        else:
            paths = [path]
        for one in paths:
            key = (one.parent if one.name == TRAJECTORIES else one).resolve()
            if key not in found:
                found[key] = open_episodes(one)
    return list(found.values())


def play_attempts(words: Sequence[str], overrides: Sequence[str], options: Mapping[str, Any]) -> None:
    """Make the attempts that the file in ``options["out"]`` lacks.

    Raises:
        ConfigError: a setting is unknown or not possible, or the file belongs to other attempts.
        EngineError: the model cannot be reached; the file keeps what was made before.
    """
    if not options["model"]:
        raise ConfigError(
            f"no trajectories are stored at {words[0]}, so it is an environment to play, which needs --model: a folder "
            "or Hub id, or with --url the endpoint's name for the model"
        )
    evaluation = evaluation_of(words, overrides, options)
    path = options["out"] / ATTEMPTS
    run_evaluation(evaluation, options["concurrency"], path, options["time_limit"])
    if not path.exists():
        raise ConfigError("no attempt was made before the time limit; run the same command again")


def check_folder(out: Path) -> None:
    """Make the folder; refuse one that holds something else.

    Raises:
        ConfigError: it is a file, a run's folder, or has files but no rows or attempts of ``generate``.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in out.iterdir()}
    except OSError as error:
        raise ConfigError(f"cannot use {out}: {error.strerror}; choose another --out") from None
    own = {MANIFEST, ATTEMPTS, *(path.name for path in shard_paths(out))}
    if names and (not names & own or CONFIG in names):
        raise ConfigError(f"{out} holds files that generate did not write, such as {min(names)}; choose another --out")
