"""The start of a math worker, run by its path under ``python -I``: of ours it can import no more than this folder."""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Make this folder the package ``checker``, without a change to the search path, and serve."""
    spec = spec_from_file_location("checker", FOLDER / "__init__.py", submodule_search_locations=[str(FOLDER)])
    assert spec is not None
    sys.modules["checker"] = module_from_spec(spec)
    import_module("checker.serving").main()


if __name__ == "__main__":
    main()
