"""An exported page: one HTML file with the page's scripts and styles and the answers it needs, to share."""

import base64
import hashlib
import logging
import re
from pathlib import Path
from typing import Any

from ...verifiers.errors import LachesisError
from ...verifiers.files import replace_text
from ..sources.eval_source import EvalSource
from ..sources.library import Source
from ..sources.row import Filter, Row
from ..sources.run_source import RunSource
from ..sources.training_rows_source import TrainingRowsSource
from .answers import Answers, as_json, row_json
from .server import STATIC

log = logging.getLogger("lachesis")

_ORDER = "dom api chart parts curves conversation tokens rows home trajectory timeline run eval training_rows main"
SCRIPTS = _ORDER.split()
"""The page's scripts, each after those that it imports."""
STYLES = ("vendor/oat.min.css", "vendor/uPlot.min.css", "style.css")
LIBRARIES = ("vendor/htm-preact.umd.js", "vendor/uPlot.iife.min.js")
POINTS = 2000
"""Most rows of a run's metrics in the file; of a longer run, every n-th."""


def export(answers: Answers, file: Path, trajectories: int) -> int:
    """Write the page of everything in the library into one file; what cannot be read is left out, and logged.

    Args:
        answers: what the page shows.
        file: the HTML file.
        trajectories: most trajectories of each run or evaluation; whole groups, spread over the steps, the last one
            included.

    Returns:
        The size of the file in bytes.
    """
    sources = answers.library.sources()
    data: dict[str, Any] = {"home": answers.home()}
    for source in sources:
        try:
            data[source.key] = answers.page(source.key)
            if isinstance(source, TrainingRowsSource):
                data[f"{source.key}/sample"] = answers.sample(source.key, {})
                continue
            if isinstance(source, RunSource):
                data[f"{source.key}/curves"] = _thinned(source)
                data[f"{source.key}/timeline"] = source.timeline.page()
            data |= _trajectories(answers, source, trajectories)
        except (LachesisError, OSError) as error:
            log.warning("%s is not exported as a whole: %s", source.path, error)
    evals = [source for source in sources if isinstance(source, EvalSource) and source.key in data]
    for one in evals:
        for other in evals:
            if one is not other:
                data[f"compare/{one.key}/{other.key}"] = answers.comparison(one.key, other.key)
    text = page(as_json(data))
    replace_text(file, text)
    return len(text.encode())


def page(data: str) -> str:
    """The HTML of a page that carries its ``data``, a JSON text, and runs no script but its own."""
    styles = "\n".join(_read(name) for name in STYLES)
    scripts = "\n".join([*(_read(name) for name in LIBRARIES), _joined()])
    policy = (
        f"default-src 'none'; script-src {_hash(scripts)}; style-src {_hash(styles)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    carried = data.replace("<", "\\u003c")  # so that no text in it can end the element that holds it
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lachesis</title>
<style>{styles}</style>
</head>
<body>
<div id="page"></div>
<script type="application/json" id="data">{carried}</script>
<script>{scripts}</script>
</body>
</html>
"""


def _joined() -> str:
    """The page's modules as one script: their imports are left out, because all names are in one function."""
    texts = [re.sub(r"^import .*$", "", _read(f"js/{name}.js"), flags=re.MULTILINE) for name in SCRIPTS]
    joined = re.sub(r"^export ", "", "\n".join(texts), flags=re.MULTILINE)
    return "(() => {\n" + joined + "\n})();"


def _read(name: str) -> str:
    return STATIC.joinpath(*name.split("/")).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _thinned(run: RunSource) -> dict[str, Any]:
    curves = run.curves()
    chosen = curves.chosen(sorted(curves.columns))
    every = max(1, -(-len(curves.steps) // POINTS))
    last = len(curves.steps) - 1
    rows = [row for row in range(len(curves.steps)) if row % every == 0 or row == last]
    columns = {name: [values[row] for row in rows] for name, values in chosen["columns"].items()}
    steps = [curves.steps[row] for row in rows]
    return {**chosen, "steps": steps, "columns": columns, "alerts": curves.alerts, "alive": False}


def _trajectories(answers: Answers, source: Source, most: int) -> dict[str, Any]:
    """The answers for whole groups of at most ``most`` trajectories."""
    data: dict[str, Any] = {}
    rows: list[Row] = []
    for group in _groups(source, most):
        answer = answers.group(source.key, group)
        found = source.index.find(Filter(group=group), seconds=60).rows
        data[f"{source.key}/groups/{group}"] = answer
        for row in found:
            place = f"{source.key}/trajectories/{group}/{row.attempt}"
            data[place] = answers.trajectory(source.key, group, row.attempt)
        rows += found
    listed = sorted(rows, key=lambda row: (row.step, row.group, row.attempt))
    data[f"{source.key}/rows"] = {
        "rows": [row_json(row) for row in listed],
        "first": 0,
        "total": len(listed),
        "means": None,
        "complete": True,
        "known": len(listed),
        "indexed": len(listed),
        "damages": [],
        "environments": {},
        "stops": {},
        "errors": {},
    }
    return data


def _groups(source: Source, most: int) -> list[int]:
    """Numbers of groups that together have at most ``most`` trajectories, spread evenly and ending with the last."""
    source.index.fill(600)
    sizes: dict[int, int] = {}
    for row in source.index.find(Filter(), seconds=600).rows:
        sizes[row.group] = sizes.get(row.group, 0) + 1
    groups = sorted(sizes)
    wanted = max(1, most * len(groups) // max(1, sum(sizes.values()))) if most else 0
    if wanted >= len(groups):
        return groups
    if wanted < 2:
        return groups[-wanted:] if wanted else []
    return sorted({groups[round(place * (len(groups) - 1) / (wanted - 1))] for place in range(wanted)})
