"""Entry point of a math worker, run by path under ``python -I``; of this package it can import only this folder."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Load this folder as the package ``checker`` without changing the search path, and serve requests."""
    spec = spec_from_file_location("checker", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
    assert spec is not None
    sys.modules["checker"] = module_from_spec(spec)
    import_module("checker.serving").main()


if __name__ == "__main__":
    main()
