"""Loading tokenizers from Hugging Face folders, with one clear line if that fails, and writing them.

transformers is imported only when a tokenizer is loaded, because it imports torch, which workers do without.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ...verifiers.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def load_tokenizer(path: str) -> "PreTrainedTokenizerBase":
    """The tokenizer in folder (or of Hub id) ``path``.

    Raises:
        ConfigError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(refusal(path, "tokenizer", error)) from error
    return cast("PreTrainedTokenizerBase", tokenizer)


def save_tokenizer(tokenizer: "PreTrainedTokenizerBase", folder: str | Path) -> None:
    """Write a tokenizer so that transformers 4 can read it too; many environments and engines still use that.

    Transformers 5 reads the names that transformers 4 has, and not the other way round.
    """
    tokenizer.save_pretrained(folder)
    path = Path(folder) / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def refusal(path: str, kind: str, error: Exception) -> str:
    """The message for a folder or Hub id ``path`` that holds no ``kind``."""
    reason = str(error).strip().split("\n")[0]
    return f"{path!r} holds no {kind} that can be loaded ({reason:.160}); give a folder with config.json, or a Hub id"
