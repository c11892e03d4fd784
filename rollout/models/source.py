"""The source of a model: a folder, or a name on the Hugging Face Hub; a wrong one is refused before anything starts."""

import difflib
import logging
from pathlib import Path

from ...verifiers.errors import ConfigError

log = logging.getLogger("lachesis")


def check_source(name: str) -> None:
    """Check that ``name`` is a folder, or a model that the Hugging Face Hub or its local cache has.

    Only a possible Hub name is looked up: once, for at most ``HF_HUB_ETAG_TIMEOUT`` seconds (10).

    Raises:
        ConfigError: there is no such folder, and neither the Hub nor the cache gives the model.
    """
    if Path(name).is_dir():
        return
    # only now, because a folder needs none of it and it takes a moment
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, RepositoryNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # it is exported lazily

    try:
        validate_repo_id(name)
    except HFValidationError:  # a path, such as ./mine or runs/mine-1/checkpoints/step-000030
        raise ConfigError(f"{_missing(name)}; {_cure(name)}") from None
    cached = isinstance(try_to_load_from_cache(name, "config.json"), str)
    reason, waits = "", constants.HF_HUB_ETAG_TIMEOUT
    if constants.HF_HUB_OFFLINE:
        reason = "" if cached else "is not asked because HF_HUB_OFFLINE is set, and its local cache has no such model"
    else:
        try:
            get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=waits)
        except (RepositoryNotFoundError, EntryNotFoundError):
            reason = "gives no such model; if it is private or gated, call `hf auth login` first"
        except HfHubHTTPError as error:
            reason = f"answered with HTTP status {error.response.status_code}"
        except Exception as error:  # noqa: BLE001 - these are the errors of its HTTP library, which varies by version
            reason = f"could not be reached within {waits} s ({type(error).__name__})"
    if reason and not cached:
        raise ConfigError(f"{_missing(name)}, and the Hugging Face Hub {reason}; {_cure(name)}")
    if reason:
        cause = f"the Hugging Face Hub {reason}; HF_HUB_OFFLINE=1 does not ask it"
        log.warning("%s is loaded from the local cache, because %s", name, cause)
    elif not cached:
        log.warning("%s is downloaded from the Hugging Face Hub first, which can take minutes", name)


def longest_context(name: str) -> int | None:
    """The most tokens that the model in a folder or on the Hub can attend to; None if its config does not say.

    A sliding window bounds it too, because engines may compute full attention only.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name).get_text_config()
    except (OSError, ValueError):  # the engine says what is wrong with the model
        return None
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"]  # else the window is everywhere
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    return min(filter(None, (getattr(config, "max_position_embeddings", None), window)), default=None)


def _missing(name: str) -> str:
    return f"the model {name} is a file, not a folder" if Path(name).is_file() else f"there is no model folder {name}"


def _cure(name: str) -> str:
    """What to do: try the folder of the most similar name beside the missing one, or check the path."""
    path = Path(name)
    parent = next(folder for folder in path.parents if folder.is_dir())  # the last one is . or /
    try:
        beside = [folder.name for folder in parent.iterdir() if folder.is_dir()]
    except OSError:  # a folder that cannot be read
        beside = []
    close = difflib.get_close_matches(path.relative_to(parent).parts[0], beside, n=1)
    return f"did you mean {parent / close[0]}?" if close else "check the name; a model folder holds a config.json"
