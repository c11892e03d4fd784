"""A graph drawn as a flowchart in Mermaid's language."""

from typing import TYPE_CHECKING

from .ask import HELPER
from .node import SOURCE, TARGET, Node

if TYPE_CHECKING:
    from .graph import Graph


def flowchart(graph: "Graph") -> str:
    """The graph as text: functions are boxes, model calls are rounded, and graphs in it are boxes around theirs."""
    return "\n".join(["flowchart TD", *_lines(graph, "n", "    ")]) + "\n"


def _lines(graph: "Graph", prefix: str, indent: str) -> list[str]:
    ids = {node.name: f"{prefix}{number}" for number, node in enumerate(graph.nodes)}
    ids |= {SOURCE: f"{prefix}source", TARGET: f"{prefix}target"}
    lines = [f"{indent}{ids[SOURCE]}([{_label(SOURCE, ', '.join(graph.takes))}])"]
    for node in graph.nodes:
        lines += _node(node, ids[node.name], indent)
    lines.append(f"{indent}{ids[TARGET]}([{_label(TARGET, ', '.join(graph.gives))}])")
    return lines + [
        f"{indent}{ids[one]} --> {ids[other]}" for one, others in graph.followers.items() for other in others
    ]


def _node(node: Node, name: str, indent: str) -> list[str]:
    if hasattr(node, "followers"):
        graph: Graph = node  # type: ignore[assignment]
        return [
            f"{indent}subgraph {name} [{_label(node.name)}]",
            *_lines(graph, f"{name}_", f"{indent}    "),
            f"{indent}end",
        ]
    what = f"{', '.join(node.takes)} → {', '.join(node.gives)}"
    if node.asks:
        who = "model, not trained" if HELPER in node.asks else "model"
        return [f"{indent}{name}({_label(node.name, what, who)})"]
    return [f"{indent}{name}[{_label(node.name, what)}]"]


def _label(*lines: str) -> str:
    """A label that Mermaid shows as it is: its own signs are written as entities."""
    shown = [
        "".join(char if char.isalnum() or char in " ,._-→" else f"#{ord(char)};" for char in line) for line in lines
    ]
    return f'"{"<br/>".join(shown)}"'
