"""Graphs drawn as Mermaid: every node and edge is there, and no name can write Mermaid of its own."""

import re

from lachesis.environments.forge.graph import Graph
from lachesis.environments.forge.model_node import ModelNode
from lachesis.environments.forge.node import FunctionNode


def test_functions_model_calls_and_inner_graphs_are_drawn_with_their_edges() -> None:
    first = FunctionNode(name='a "b]; end', takes={"text": str}, gives={"fact": str}, function=len)
    asked = ModelNode(name="asked", takes={"fact": str}, gives={"question": str}, prompt="{fact}", trainable=False)
    inner = Graph(name="inner", takes={"text": str}, gives={"question": str}, nodes=[first, asked])
    last = ModelNode(name="answer", takes={"question": str}, gives={"answer": str}, prompt="{question}")
    drawn = Graph(name="outer", takes={"text": str}, gives={"answer": str}, nodes=[inner, last]).mermaid()
    assert drawn == (
        "flowchart TD\n"
        '    nsource(["source<br/>text"])\n'
        '    subgraph n0 ["inner"]\n'
        '        n0_source(["source<br/>text"])\n'
        '        n0_0["a #34;b#93;#59; end<br/>text → fact"]\n'
        '        n0_1("asked<br/>fact → question<br/>model, not trained")\n'
        '        n0_target(["target<br/>question"])\n'
        "        n0_source --> n0_0\n"
        "        n0_0 --> n0_1\n"
        "        n0_1 --> n0_target\n"
        "    end\n"
        '    n1("answer<br/>question → answer<br/>model")\n'
        '    ntarget(["target<br/>answer"])\n'
        "    nsource --> n0\n"
        "    n0 --> n1\n"
        "    n1 --> ntarget\n"
    )
    ids = set(re.findall(r"^ *(?:subgraph )?(n\w+)[ (\[]", drawn, re.MULTILINE))
    assert {end for edge in re.findall(r"(\w+) --> (\w+)", drawn) for end in edge} <= ids
