"""Figures in Prometheus' text format 0.0.4."""

from collections.abc import Mapping


def head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The two lines before the figures of a metric: what it is, and its kind (``gauge`` or ``counter``)."""
    return f"# HELP lachesis_{name} {text}", f"# TYPE lachesis_{name} {kind}"


def figure(name: str, labels: Mapping[str, str], value: float) -> str:
    """The line of one figure; labels may hold any text."""
    shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"lachesis_{name}{'{' + shown + '}' if shown else ''} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
