"""Facts about one machine, for ``lachesis doctor``: this file imports only the standard library.

Ray sends it as code, so that it also runs on a node where Lachesis is not installed.
"""

import hashlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that must be the same on all nodes; empty for a missing one."""
    found = {"Python": platform.python_version(), "lachesis": lachesis_code()}
    return {**found, **{package: _version(package) for package in ("ray", "torch", "transformers", "vllm")}}


def lachesis_code() -> str:
    """A digest of the source of Lachesis, because two checkouts may have the same version; empty without it."""
    spec = find_spec("lachesis")
    if spec is None or spec.origin is None:
        return ""
    root, digest = Path(spec.origin).parent, hashlib.blake2b(digest_size=4)
    found = [Path(folder) / name for folder, _, names in os.walk(root, followlinks=True) for name in names]
    for file in sorted(file for file in found if file.suffix == ".py"):
        digest.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return f"code {digest.hexdigest()}"


def existing(paths: list[str]) -> list[str]:
    """Those of ``paths`` that exist here."""
    return [path for path in paths if Path(path).exists()]


def hub_model(name: str) -> bool:
    """Whether the cache of the Hugging Face Hub has a model of that name."""
    home = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface"), "hub"
    )
    return Path(home, "models--" + name.replace("/", "--")).is_dir()


def facts(paths: list[str], model: str) -> tuple[dict[str, str], list[str], bool]:
    """Versions, the ``paths`` that exist, and whether the model is in the cache of the Hub."""
    return versions(), existing(paths), hub_model(model)


def _version(package: str) -> str:
    for name in (package, f"{package}-cpu"):  # vLLM for CPUs has a name of its own
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""
