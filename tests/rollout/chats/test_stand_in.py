import json
import random
from typing import Any

import pytest

from lachesis.rollout.chats.renderer import Renderer
from lachesis.rollout.chats.stand_in import Trust, stand_in
from lachesis.rollout.models.tiny import TEMPLATE, build_tiny_tokenizer
from lachesis.verifiers.errors import DataError

CHATML = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{%- endfor -%}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)
PLAIN = (
    "{%- if tools -%}{{ '<|im_start|>system\n' + tools | tojson + '<|im_end|>\n' }}{%- endif -%}"
    "{%- for message in messages -%}{{ '<|im_start|>' + message.role + '\n' + message.content }}"
    "{%- for call in message.tool_calls or [] -%}{{ call.function | tojson }}{%- endfor -%}{{ '<|im_end|>\n' }}"
    "{%- endfor -%}{{ '<|im_start|>assistant\n' if add_generation_prompt }}"
)
DROPS = (
    "{%- set text = message.content.split('</think>')[-1].lstrip('\n') if message.role == 'assistant' and "
    "FROM | map(attribute='role') | list | select('equalto', 'user') | list | length > MOST else message.content -%}"
    "{{ '<|im_start|>' + message.role + '\n' + text }}"
).replace("FROM", "messages[loop.index0:]")
HEAD = "{{ '<|im_start|>' + message.role + '\n' + message.content }}"
TEMPLATES = {
    "hermes": TEMPLATE.read_text(encoding="utf-8"),
    "plain": PLAIN,
    "drops earlier reasoning": PLAIN.replace(HEAD, DROPS.replace("MOST", "0")),
    "opens the reasoning": PLAIN.replace(
        "'<|im_start|>assistant\n' if add", "'<|im_start|>assistant\n<think>\n' if add"
    ),
}
# These look at what the stand-in leaves out, or at how much that is.
PECULIAR = {
    "numbers the messages": CHATML.replace("message.role + '\n'", "message.role ~ loop.index ~ '\n'"),
    "keeps the reasoning of two turns": PLAIN.replace(HEAD, DROPS.replace("MOST", "1")),
    "wants alternating roles": CHATML.replace(
        "{{ '<|im_start|>'",
        "{{ raise_exception('no') if (message.role == 'user') != loop.index0 is even }}{{ '<|im_start|>'",
    ),
    "repeats the tools": PLAIN.replace(
        "{{ '<|im_start|>assistant", "{{ (tools or []) | tojson + '<|im_start|>assistant"
    ),
    "repeats the second message": CHATML.replace(
        "message.content + '<", "message.content + (messages[1].content if loop.index0 > 1 else '') + '<"
    ),
}
PIECES = [
    "the answer is 4",
    "hello",
    " \n",
    "né 😀 漢",
    "<think>",
    "hm\n</think>\n\n",
    "<|im_end|>",
    "<",
    "",
    "x" * 300,
]
PIECES += [
    "<think>\nhm\n</think>\n\n",
    '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>',
    "\U000f0000",
    '"\\',
]
SCHEMAS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": text, "parameters": {"type": "object"}}}
    for name, text in (("look", "Looks <tools>."), ("put", "né"), ("take", "<|im_end|>"))
]


class Always(Trust):
    def due(self, shape: object) -> bool:
        return False


class Never(Trust):
    def trusts(self, shape: object) -> bool:
        return False


def renderer(template: str, trust: Trust | None = None) -> Renderer:
    tokenizer = build_tiny_tokenizer()
    tokenizer.chat_template = template
    made = Renderer(tokenizer)
    made._trust = trust or made._trust
    return made


class Conversation:
    """A generated conversation that goes on."""

    def __init__(self, seed: str) -> None:
        self.rng = random.Random(seed)
        self.tools = SCHEMAS[: self.rng.choice((0, 1, 3))]
        systems = [{"role": "system", "content": self.text()}] * self.rng.choice((0, 1, 1, 2))
        self.before: list[Any] = [*systems, {"role": "user", "content": self.text()}]

    def text(self) -> str:
        return "".join(self.rng.choices(PIECES, k=self.rng.randint(1, 3)))

    def next(self) -> tuple[Any, ...]:
        """What ``bridge`` takes, but for the tools."""
        reply: dict[str, Any] = {"role": "assistant", "content": self.text()}
        if self.rng.random() < 0.3:
            function = {"name": "look", "arguments": {"at": self.text()}}
            reply["tool_calls"] = [{"id": "a", "type": "function", "function": function}]
        named = {"name": "look"} if self.rng.random() < 0.5 else {}
        results = [{"role": "tool", "content": self.text(), **named} for _ in range(self.rng.choice((0, 1, 1, 3)))]
        asked = [{"role": "user", "content": self.text()}] if self.rng.random() < (0.2 if results else 0.9) else []
        taken = list(self.before), reply["content"], self.rng.random() < 0.8, [*results, *asked]
        self.before += [reply, *results, *asked]
        return taken


def bridged(by: Renderer, taken: tuple[Any, ...], tools: Any) -> list[int] | None:
    before, reply, ended, new = taken
    found = by.bridge(before, reply, by.end_of_turn if ended else None, new, tools)
    return None if found is None else found.tolist()


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_stand_in_gives_the_bridge_of_the_whole_conversation(template: str) -> None:
    fast, slow = renderer(TEMPLATES[template], Always()), renderer(TEMPLATES[template], Never())
    shorter = 0
    for seed in range(30):
        talk = Conversation(f"{template} {seed}")
        for _ in range(talk.rng.randint(1, 9)):
            taken = talk.next()
            assert bridged(fast, taken, talk.tools) == bridged(slow, taken, talk.tools), taken
            short = stand_in(taken[0], taken[3], len(talk.tools))
            shorter += short is not None and len(short.messages) < len(taken[0])
    assert shorter > 20


@pytest.mark.parametrize("template", PECULIAR)
def test_a_template_that_looks_at_what_is_left_out_is_shown_the_whole(template: str) -> None:
    careful, slow = renderer(PECULIAR[template]), renderer(PECULIAR[template], Never())
    result: Any = {"role": "user" if "alternating" in template else "tool", "content": "42"}
    before: list[Any] = [{"role": "user", "content": "a"}]
    for turn in range(14):
        reply = "<think>\nhm\n</think>\n\nb" if turn % 4 < 2 else "b"
        new = [result] if turn % 5 else [{"role": "user", "content": f"and {turn}?"}]
        taken = list(before), reply, True, new
        assert bridged(careful, taken, SCHEMAS) == bridged(slow, taken, SCHEMAS), turn
        before += [{"role": "assistant", "content": reply}, *new]


def test_what_a_template_is_shown_does_not_grow_with_the_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    hermes = renderer(TEMPLATES["hermes"])
    shown: list[int] = []
    template = hermes._template

    def counted(messages: Any, tools: Any, ask: bool = True) -> str:
        shown.append(len(messages) + len(json.dumps(tools)) // 100)
        return template(messages, tools, ask)

    monkeypatch.setattr(hermes, "_template", counted)
    talks: list[Any] = [[{"role": "user", "content": f"task {number}"}] for number in range(8)]
    for turn in range(32):
        if turn == 16:
            early = sum(shown)
        for before in talks:
            new = [{"role": "tool", "content": f"{turn} {len(shown)}"}]
            assert hermes.bridge(before, "b", hermes.end_of_turn, new, SCHEMAS) is not None
            before += [{"role": "assistant", "content": "b"}, *new]
    assert sum(shown) < 2.2 * early


def test_a_shortcut_is_compared_ever_more_rarely_and_never_used_after_it_was_wrong() -> None:
    trust = Trust()
    assert [use for use in range(1, 40) if trust.due("a")] == [1, 2, 4, 8, 16, 32]
    assert trust.due("b")
    trust.compared("a", equal=False)
    trust.compared("b", equal=True)
    assert (trust.trusts("a"), trust.trusts("b")) == (False, True)


def test_messages_that_are_none_are_refused_as_before() -> None:
    hermes = renderer(TEMPLATES["hermes"])
    fine: Any = {"role": "user", "content": "a"}
    for bad in (
        {},
        {"role": []},
        {"role": "user"},
        {"role": "user", "content": [1]},
        None,
        5,
        {"role": "x", "content": ""},
    ):
        broken: Any = bad
        for before, new in (([fine, broken], []), ([fine], [broken]), ([broken, fine, fine], [])):
            with pytest.raises(DataError):
                hermes.bridge(before, "b", None, new, SCHEMAS)
