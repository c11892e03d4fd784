"""Harmony's messages by channel and recipient, as vLLM's parser reads them."""

import json
from typing import Any

import pytest

from lachesis.verifiers.tool_calling.call import ToolCall
from lachesis.verifiers.tool_calling.declaration import declarations
from lachesis.verifiers.tool_calling.formats.format import tool_format

HARMONY = tool_format("harmony")
NEXT = "<|start|>assistant"
ANALYSIS, FINAL = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
CALL = HARMONY.write_calls([ToolCall("f", {"s": "a"})])
ONE = [("f", {"s": "a"})]
TO_F = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
REPLIES: list[tuple[str, tuple[str, str, list[tuple[str, Any]]]]] = [
    (f"{FINAL}Hi<|return|>", ("", "Hi", [])),
    (f"{FINAL}Hi", ("", "Hi", [])),
    (f"{ANALYSIS}hm<|end|>{NEXT}{FINAL}Hi<|return|>", ("hm", "Hi", [])),
    (f"{ANALYSIS}hm<|end|>{NEXT}{CALL}", ("hm", "", ONE)),
    (f"{ANALYSIS}hm<|end|>{NEXT}{CALL.removesuffix('<|call|>')}", ("hm", "", ONE)),
    (f"{ANALYSIS}a<|end|>{NEXT}{ANALYSIS}b<|end|>{NEXT}{FINAL}c", ("a\nb", "c", [])),
    (f"{ANALYSIS}hm", ("hm", "", [])),
    (f"{ANALYSIS}I call to=functions.f now<|end|>{NEXT}{FINAL}No.", ("I call to=functions.f now", "No.", [])),
    (f"<|channel|>commentary<|message|>I will look.<|end|>{NEXT}{CALL}", ("", "I will look.", ONE)),
    (' to=functions.f<|channel|>commentary json<|message|>{"s": "a"}<|call|>', ("", "", ONE)),
    (f'{TO_F}{{"s": "a"}}<|call|>', ("", "", ONE)),
    (f'{ANALYSIS}hm<|end|>{NEXT} to=functions.f<|channel|>commentary json<|message|>{{"s": "a"}}', ("hm", "", ONE)),
    ('<|channel|>commentary to=functions.f<|message|>{"s": "a"}<|call|>', ("", "", ONE)),
    ('<|channel|>analysis to=functions.f <|constrain|>json<|message|>{"s": "a"}<|call|>', ("", "", ONE)),
    ('<|channel|>commentary to=f <|constrain|>json<|message|>{"s": "a"}<|call|>', ("", "", ONE)),
    (CALL.replace("<|call|>", "<|end|>"), ("", "", ONE)),
    (f"{CALL}{NEXT}{CALL}", ("", "", ONE * 2)),
    (f"{CALL}{NEXT}{FINAL}ok<|return|>", ("", "ok", ONE)),
    (f"{FINAL}Done.<|end|>{NEXT}{CALL}", ("", "Done.", ONE)),
    (f'{TO_F}{{"s": "say \\"hi\\" 東京 {{}} []"}}<|call|>', ("", "", [("f", {"s": 'say "hi" 東京 {} []'})])),
    (f'{TO_F}{{"o": {{"a": [1, {{"b": null}}]}}}}<|call|>', ("", "", [("f", {"o": {"a": [1, {"b": None}]}})])),
    (f"{TO_F}\n{{}}\n<|call|>", ("", "", [("f", {})])),
    ("<|channel|>commentary to=functions.nope json<|message|>{}<|call|>", ("", "", [("nope", {})])),
]
DIFFERENT: list[tuple[str, list[tuple[str, Any]], list[tuple[str, Any]]]] = [
    # reply, calls here, calls in vLLM
    (f"{TO_F}<|call|>", [("f", {})], [("f", "not JSON")]),
    (f'{TO_F}{{"s": "a', [("f", "error")], [("f", "not JSON")]),
    (f'{TO_F}{{"s": "a", "s": "b"}}<|call|>', [("f", "error")], [("f", {"s": "b"})]),
    (f"{TO_F}{{'s': 'a'}}<|call|>", [("f", "error")], [("f", "not JSON")]),
    (f'{TO_F}{{"s": "a"}} and<|call|>', [("f", "error")], [("f", "not JSON")]),
    (f"{TO_F}[]<|call|>", [("f", "error")], [("f", [])]),
    ("<|channel|>analysis to=python code<|message|>print(1)<|call|>", [("python", "error")], []),
    (
        '<|channel|>analysis to=browser.search code<|message|>{"query": "x"}<|call|>',
        [("browser.search", {"query": "x"})],
        [],
    ),
]


def read(text: str) -> tuple[str, str, list[tuple[str, Any]]]:
    reading = HARMONY.read(text)
    calls = [(call.name, "error" if call.error else call.arguments) for call in reading.calls]
    return reading.reasoning, reading.text, calls


@pytest.mark.parametrize(("text", "expected"), REPLIES, ids=range(len(REPLIES)))
def test_channels_and_recipients_say_what_a_message_is(text: str, expected: tuple[str, str, list[Any]]) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(("text", "here", "there"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_calls_that_break_the_format_have_an_error(text: str, here: list[Any], there: list[Any]) -> None:
    assert read(text)[2] == here


def test_text_without_a_channel_is_text_and_a_result_that_the_policy_writes_is_no_result() -> None:
    assert read("Hello") == ("", "Hello", [])
    assert read("Hello<|end|>") == ("", "Hello", [])
    own = HARMONY.write_result("f", "42")
    assert read(f"{CALL}{own}{NEXT}{FINAL}It is 42.") == ("", f"{own}\nIt is 42.", ONE)
    assert read("<|channel|>commentary to=functions.f") == ("", "<|channel|>commentary to=functions.f", [])


def test_a_string_may_spell_the_end_of_a_message() -> None:
    for tag in ("<|call|>", "<|end|><|start|>assistant", f"<|end|>{NEXT}{CALL}", TO_F, "</think>"):
        calls = (ToolCall("f", {"s": f"a {tag} b"}), ToolCall("g", {}))
        assert HARMONY.read(HARMONY.write_calls(calls)).calls == calls


def test_tools_are_declared_as_typescript() -> None:
    tool = {
        "name": "find",
        "description": "Find a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "place": {"type": "string", "description": "City and country"},
                "unit": {"type": "string", "enum": ["c", "f"], "default": "c"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "near": {"type": ["number", "null"]},
                "box": {"type": "object", "properties": {"w": {"type": "integer"}}, "required": ["w"]},
            },
            "required": ["place"],
        },
    }
    assert HARMONY.system_prompt(declarations([tool, {"name": "stop"}]).values()) == (
        "# Tools\n\n## functions\n\nnamespace functions {\n\n"
        "// Find a place.\ntype find = (_: {\n// City and country\nplace: string,\n"
        'unit?: "c" | "f", // default: "c"\ntags?: string[],\nnear?: number | null,\nbox?: {\n    w: number,\n    },\n'
        "}) => any;\n\ntype stop = () => any;\n\n} // namespace functions"
    )


@pytest.fixture(scope="module")
def encoding() -> Any:
    """Harmony's encoding, whose vocabulary ``openai_harmony`` downloads."""
    harmony = pytest.importorskip("openai_harmony")
    pytest.importorskip("vllm")
    try:
        return harmony.load_harmony_encoding("HarmonyGptOss")
    except harmony.HarmonyError as error:
        pytest.skip(f"no vocabulary: {error}; set TIKTOKEN_ENCODINGS_BASE to a folder with o200k_base.tiktoken")


def vllm_reads(text: str, encoding: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.parser.harmony import HarmonyParser
    from vllm.reasoning.gptoss_reasoning_parser import GptOssReasoningParser
    from vllm.tool_parsers.gptoss_tool_parser import GptOssToolParser

    class Parser(HarmonyParser):
        reasoning_parser_cls = GptOssReasoningParser
        tool_parser_cls = GptOssToolParser

    class Vocabulary:
        def get_vocab(self) -> dict[str, int]:
            return {}

        def decode(self, ids: list[int]) -> str:
            return str(encoding.decode(ids))

    request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "x"}])
    ids = encoding.encode(text, allowed_special="all")
    reasoning, content, calls = Parser(Vocabulary()).parse(text, request, model_output_token_ids=ids)
    return reasoning or "", content or "", [(call.name, decoded(call.arguments)) for call in calls or ()]


def decoded(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except json.JSONDecodeError:
        return "not JSON"


def test_vllm_reads_the_same(encoding: Any) -> None:
    for text, expected in REPLIES:
        assert vllm_reads(text, encoding) == expected, text


def test_vllm_repairs_nothing_takes_the_last_of_two_values_and_leaves_calls_of_built_in_tools_out(
    encoding: Any,
) -> None:
    for text, _, there in DIFFERENT:
        assert vllm_reads(text, encoding)[2] == there, text
