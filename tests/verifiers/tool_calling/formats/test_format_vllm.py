"""The formats against vLLM's own parsers on the same replies; every difference is named, with who is right."""

import json
from functools import cache
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.format import tool_format

pytest.importorskip("vllm")  # the parts that take seconds to import are imported by the tests alone

PARAMETERS = {
    "s": {"type": "string"},
    "t": {"type": "string"},
    "n": {"type": "integer"},
    "x": {"type": "number"},
    "b": {"type": "boolean"},
    "l": {"type": "array", "items": {"type": "string"}},
    "o": {"type": "object"},
    "z": {"type": ["integer", "null"]},
}
TOOLS = declarations(
    [{"name": "f", "parameters": {"properties": PARAMETERS}}, {"name": "g.h-2", "parameters": {"properties": {}}}]
)
DEEPSEEK = (
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁calls▁end｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁sep｜>",
)
XML = ("<tool_call>", "</tool_call>")
TOKENS = {
    "hermes": XML,
    "qwen_coder": XML,
    "glm45": XML,
    "glm47": XML,
    "deepseek_v3": DEEPSEEK,
    "deepseek_v31": DEEPSEEK,
    "deepseek_v32": ("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
    "kimi_k2": (
        *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>", "<|tool_call_end|>"),
        "<|tool_call_argument_begin|>",
    ),
    "minimax_m2": ("<minimax:tool_call>", "</minimax:tool_call>"),
    "mistral": ("[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]"),
    "mistral_list": ("[TOOL_CALLS]",),
    "llama": ("<|python_tag|>",),
    "llama_pythonic": (),
}
"""Format → the tokens that vLLM's parser looks for in the tokenizer."""
PARSERS = {"mistral_list": "mistral", "qwen_coder": "qwen3_coder", "llama": "llama3_json", "llama_pythonic": "pythonic"}
REASONING = {
    "qwen_coder": "qwen3",
    "glm45": "glm45",
    "deepseek_v3": "deepseek_r1",
    "deepseek_v31": "deepseek_r1",
    "kimi_k2": "kimi_k2",
    "minimax_m2": "minimax_m2",
    "mistral": "mistral",
}
Calls = list[tuple[str, Any]]


@cache
def tokenizer(name: str) -> PreTrainedTokenizerFast:
    alphabet = {char: number for number, char in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    backend = Tokenizer(models.BPE(alphabet, []))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=backend)
    thinking = () if name == "mistral_list" else ("<think>", "</think>")
    made.add_tokens([*TOKENS[name], *thinking], special_tokens=True)
    return made


def request() -> Any:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest, ChatCompletionToolsParam

    tools = [ChatCompletionToolsParam(**tool.to_json()) for tool in TOOLS.values()]
    return ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "x"}], tools=tools)


def tool_parser(name: str) -> Any:
    from vllm.tool_parsers import ToolParserManager

    return ToolParserManager.get_tool_parser(PARSERS.get(name, name))


def vllm_calls(name: str, text: str) -> Calls:
    """What vLLM's parser finds: names and arguments; arguments that are not JSON as the text ``not JSON``."""
    asked = request()
    parser = tool_parser(name)(tokenizer(name), asked.tools)
    return [
        (call.function.name, decoded(call.function.arguments))
        for call in parser.extract_tool_calls(text, asked).tool_calls
    ]


def decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except json.JSONDecodeError:
        return "not JSON"


def our_calls(name: str, text: str) -> Calls:
    calls = tool_format(name).read(text, TOOLS).calls
    return [(call.name, "error" if call.error else call.arguments) for call in calls]


def same(ours: Any, theirs: Any) -> bool:
    """Equality that tells 1 from 1.0 and from True."""
    return json.dumps(ours, sort_keys=True) == json.dumps(theirs, sort_keys=True)


WRITTEN: dict[str, list[ToolCall]] = {
    "one": [ToolCall("f", {"s": "a", "n": 1})],
    "two": [ToolCall("f", {"s": "a"}), ToolCall("f", {"s": "b"})],
    "the same twice": [ToolCall("f", {"s": "a"})] * 2,
    "unicode": [ToolCall("f", {"s": "Zürich 🏔 \u2028 東京 ｜", "l": ["ß"]})],
    "nested": [ToolCall("f", {"o": {"a": [{"b": {"c": [1, 2, {"d": None}]}}], "e": True}})],
    "no arguments": [ToolCall("g.h-2", {})],
    "lines": [ToolCall("f", {"s": "a\n  b\n\nc"})],
    "space at the edges": [ToolCall("f", {"s": " a ", "t": "\t"})],
    "empty text": [ToolCall("f", {"s": ""})],
    "digits as text": [ToolCall("f", {"s": "12"})],
    "words as text": [ToolCall("f", {"s": "None", "t": "true"})],
    "scalars": [ToolCall("f", {"b": False, "z": None, "x": 1e-7, "n": -3})],
    "an unknown argument": [ToolCall("f", {"q": "v"})],
    "quotes": [ToolCall("f", {"s": 'say "hi" \\ it\'s'})],
    "JSON as text": [ToolCall("f", {"s": '{"a": 1}'})],
    "tags of other formats": [ToolCall("f", {"s": "a <b> </c> [/d] <|e|> f", "n": 1})],
}
CANNOT = {("llama_pythonic", "no arguments")}  # g.h-2 is no name in Python


@pytest.mark.parametrize("name", TOKENS)
def test_what_a_format_writes_vllm_reads_alike(name: str) -> None:
    for label, calls in WRITTEN.items():
        if (name, label) in CANNOT:
            continue
        text = tool_format(name).write_calls(calls)
        expected = [(call.name, call.arguments) for call in calls]
        assert same(our_calls(name, text), expected), (label, text)
        assert same(vllm_calls(name, text), expected), (label, text)


CLOSING = {
    "qwen_coder": "</parameter>",
    "glm45": "</arg_value>",
    "deepseek_v31": "<｜tool▁call▁end｜>",
    "deepseek_v32": "</｜DSML｜invoke>",
    "kimi_k2": "<|tool_call_end|>",
    "minimax_m2": "</invoke>",
    "mistral": "[TOOL_CALLS]",
}


@pytest.mark.parametrize(("name", "tag"), CLOSING.items())
def test_an_argument_that_spells_a_tag_is_whole_here_and_cut_in_vllm(name: str, tag: str) -> None:
    text = tool_format(name).write_calls([ToolCall("f", {"s": f"a {tag} b", "n": 1})])
    assert same(our_calls(name, text), [("f", {"s": f"a {tag} b", "n": 1})])
    assert not same(vllm_calls(name, text), our_calls(name, text))


@pytest.mark.parametrize("name", ["glm45", "glm47", "minimax_m2"])
def test_a_call_of_an_unknown_tool_is_a_call_here_and_dropped_in_vllm(name: str) -> None:
    text = tool_format(name).write_calls([ToolCall("nope", {"s": "a"})])
    assert our_calls(name, text) == [("nope", {"s": "a"})]
    assert vllm_calls(name, text) == []


@pytest.mark.parametrize("name", ["kimi_k2", "mistral", "deepseek_v32"])
def test_a_value_of_the_wrong_type_stays_wrong_here_and_is_converted_in_vllm(name: str) -> None:
    text = tool_format(name).write_calls([ToolCall("f", {"n": "12", "x": 2.0})])
    assert same(our_calls(name, text), [("f", {"n": "12", "x": 2.0})])
    assert same(vllm_calls(name, text), [("f", {"n": 12, "x": 2})])


V31 = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>f<｜tool▁sep｜>{}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
KIMI = (
    "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
    "<|tool_calls_section_end|>"
)
GLM = "<tool_call>f\n{}\n</tool_call>"
PAIR = "<arg_key>{}</arg_key><arg_value>{}</arg_value>"
ONE = [("f", {"s": "a"})]
ERROR = [("f", "error")]
HOSTILE: list[tuple[str, str, Calls, Calls]] = [
    # format, reply, here, in vLLM
    ("deepseek_v31", V31.replace("{}", '{"s": "a"}') + "\nDone.", ONE, ONE),
    ("deepseek_v31", "```\n" + V31.replace("{}", '{"s": "a"}') + "\n```", ONE, ONE),
    ("deepseek_v31", V31.replace("{}", ""), [("f", {})], [("f", "not JSON")]),
    ("deepseek_v31", V31.replace("{}", '{"s": "a", "s": "b"}'), ERROR, [("f", {"s": "b"})]),
    ("deepseek_v31", V31.replace("{}", '{"n": 01}'), ERROR, [("f", "not JSON")]),
    ("deepseek_v31", V31.replace("{}", "{'s': 'a'}"), ERROR, [("f", "not JSON")]),
    ("deepseek_v31", V31.replace("{}", "[]"), ERROR, [("f", [])]),
    ("deepseek_v31", V31.replace("{}", '{"s": "a"} and'), ERROR, [("f", "not JSON")]),
    ("deepseek_v31", V31.replace("{}", '{"s": "a"}').removesuffix("<｜tool▁calls▁end｜>"), ERROR, ONE),
    ("deepseek_v31", V31.partition("{}")[0] + '{"s": "a', ERROR, []),
    ("deepseek_v31", V31.replace("{}", '{"s": "a"}') * 2, ONE * 2, ONE * 2),
    ("deepseek_v3", V31.replace("{}", '{"s": "a"}'), [("", "error")], []),
    ("kimi_k2", KIMI.replace("{}", "") + "text", [("f", {})], [("f", {})]),
    ("kimi_k2", KIMI.replace("functions.", "").replace("{}", '{"s": "a"}'), ONE, ONE),
    ("kimi_k2", KIMI.replace("f:0", "f:12").replace("{}", '{"s": "a"}'), ONE, ONE),
    ("kimi_k2", KIMI.replace("f:0", "f").replace("{}", '{"s": "a"}'), [("", "error")], []),
    ("kimi_k2", KIMI.replace("{}", '{"s": "a", "s": "b"}'), ERROR, [("f", {"s": "b"})]),
    ("kimi_k2", KIMI.partition("{}")[0] + '{"s": "a', ERROR, [("f", "not JSON")]),
    ("kimi_k2", KIMI.replace("{}", '{"s": "a"}').removesuffix("<|tool_calls_section_end|>"), ERROR, ONE),
    ("kimi_k2", KIMI.replace("{}", "\n  {\n}\n"), [("f", {})], [("f", {})]),
    ("glm45", GLM.replace("{}", PAIR.format(" s ", "a")), ONE, ONE),
    ("glm45", "<tool_call>\nf\n\n" + PAIR.format("s", "a") + "\n\n</tool_call>", ONE, ONE),
    ("glm45", GLM.replace("{}", PAIR.format("n", " 1 ")), [("f", {"n": 1})], [("f", {"n": 1})]),
    ("glm45", GLM.replace("{}", PAIR.format("n", "01")), [("f", {"n": "01"})], [("f", {"n": 1})]),
    ("glm45", GLM.replace("{}", PAIR.format("b", "True")), [("f", {"b": True})], [("f", {"b": True})]),
    ("glm45", GLM.replace("{}", PAIR.format("b", "1")), [("f", {"b": 1})], [("f", {"b": True})]),
    ("glm45", GLM.replace("{}", PAIR.format("z", "None")), [("f", {"z": None})], [("f", {"z": "None"})]),
    ("glm45", GLM.replace("{}", PAIR.format("s", "a") + PAIR.format("s", "b")), ERROR, [("f", {"s": "b"})]),
    ("glm45", "<tool_call>f\n" + PAIR.format("s", "a"), ERROR, ONE),
    ("glm45", "<tool_call>f\n<arg_key>s</arg_key><arg_value>a", ERROR, [("f", {})]),
    ("glm45", '<tool_call>{"name": "f"}</tool_call>', [("", "error")], []),
    (
        "glm47",
        "Sure.<tool_call>f</tool_call><tool_call>g.h-2</tool_call>",
        [("f", {}), ("g.h-2", {})],
        [("f", {}), ("g.h-2", {})],
    ),
    ("minimax_m2", '<minimax:tool_call><invoke name="f"></invoke></minimax:tool_call>', [("f", {})], [("f", {})]),
    ("minimax_m2", '<invoke name="f"></invoke>', ERROR, [("f", {})]),
    ("minimax_m2", "<minimax:tool_call><invoke name='f'></invoke></minimax:tool_call>", [("", "error")], [("f", {})]),
    ("minimax_m2", '<minimax:tool_call><invoke name="f">', ERROR, [("f", {})]),
    ("mistral", '[TOOL_CALLS]f{"s": "a"}', ONE, ONE),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "a"}\nDone.', ONE, ONE),
    ("mistral", '```\n[TOOL_CALLS]f[ARGS]{"s": "a"}\n```', ONE, ONE),
    ("mistral", "[TOOL_CALLS]f[ARGS]", ERROR, [("f", {})]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "a', ERROR, [("f", "not JSON")]),
    ("mistral", '[TOOL_CALLS]f[ARGS]{"s": "a", "s": "b"}', ERROR, [("f", {"s": "b"})]),
    ("mistral", "[TOOL_CALLS]f[ARGS]{'s': 'a'}", ERROR, [("f", "not JSON")]),
    ("mistral", "[TOOL_CALLS]f[ARGS][]", ERROR, [("f", [])]),
    ("mistral_list", '[TOOL_CALLS][{"name": "f", "arguments": {"s": "a"}, "id": "abcdefghi"}]</s>', ONE, ONE),
    ("mistral_list", 'Yes.\n[TOOL_CALLS] [{"name": "f"}]', [("f", {})], [("f", {})]),
    ("mistral_list", "[TOOL_CALLS] [{'name': 'f', 'arguments': {}}]", ERROR, []),
    ("mistral_list", '[TOOL_CALLS] [{"name": "f", "arguments": {"s": "a"}}', [("", "error")], []),
    ("mistral_list", '[TOOL_CALLS] [{"name": "f", "arguments": {"s": "a"}}] [/TOOL_CALLS]', ONE, ONE),
]


@pytest.mark.parametrize(("name", "text", "here", "there"), HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_replies_are_read_as_decided_here_and_as_known_in_vllm(
    name: str, text: str, here: Calls, there: Calls
) -> None:
    assert same(our_calls(name, text), here)
    assert same(vllm_calls(name, text), there)


def vllm_reading(name: str, text: str) -> tuple[str, str, Calls]:
    """Reasoning, the text without calls, and calls, by vLLM's parser of reasoning and then its parser of calls."""
    asked = request()
    from vllm.reasoning import ReasoningParserManager

    parser = ReasoningParserManager.get_reasoning_parser(REASONING[name])(tokenizer(name))
    reasoning, content = parser.extract_reasoning(text, asked)
    tools = tool_parser(name)(tokenizer(name), asked.tools)
    found = tools.extract_tool_calls(content or "", asked)
    calls = [(call.function.name, decoded(call.function.arguments)) for call in found.tool_calls]
    return (reasoning or "").strip(), (found.content or "").strip(), calls


@pytest.mark.parametrize("name", REASONING)
def test_reasoning_text_and_calls_are_told_apart_as_in_vllm(name: str) -> None:
    opened, closed = ("[THINK]", "[/THINK]") if name == "mistral" else ("<think>", "</think>")
    call = tool_format(name).write_calls([ToolCall("f", {"s": "a"})])
    replies = {
        f"{opened}hm{closed}\n\nHello": ("hm", "Hello", []),
        f"{opened}hm{closed}\n\n{call}": ("hm", "", ONE),
        f"{opened}hm{closed}\n\nI will look.\n{call}": ("hm", "I will look.", ONE),
        f"{opened}hm": ("hm", "", []),
        f"{opened}\n\n{closed}\n\n{call}": ("", "", ONE),
    }
    if name != "mistral":  # its template never opens the reasoning in the prompt
        replies |= {f"hm{closed}\n\n{call}": ("hm", "", ONE), f"hm{closed}Hello": ("hm", "Hello", [])}
    for text, expected in replies.items():
        reading = tool_format(name).read(text, TOOLS)
        ours = (reading.reasoning, reading.text, [(one.name, one.arguments) for one in reading.calls])
        assert ours == expected, text
        assert vllm_reading(name, text) == expected, text


@pytest.mark.parametrize("name", REASONING)
def test_a_call_in_closed_reasoning_is_not_made_here_and_ends_the_reasoning_in_most_of_vllm(name: str) -> None:
    opened, closed = ("[THINK]", "[/THINK]") if name == "mistral" else ("<think>", "</think>")
    call = tool_format(name).write_calls([ToolCall("f", {"s": "a"})])
    text = f"{opened}I could {call} but no.{closed}No."
    assert our_calls(name, text) == []
    assert vllm_reading(name, text)[2] == ([] if name.startswith("deepseek") else ONE)
    waiting = f"{opened}I need it.\n{call}"
    assert our_calls(name, waiting) == ONE
    assert vllm_reading(name, waiting)[2] == ([] if name.startswith("deepseek") else ONE)
