"""Function calls by the rules of the Berkeley Function-Calling Leaderboard (BFCL), from its rows or similar ones."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, field_validator

from ...verifiers.case import Case
from ...verifiers.errors import DataError
from ...verifiers.message import Message
from ...verifiers.rubric import Rubric, reward, use
from ...verifiers.task import Task
from ...verifiers.text.think import split_reasoning
from ...verifiers.tool_calling.bfcl import CATEGORIES, Bfcl
from ...verifiers.tool_calling.call import ToolCall
from ...verifiers.tool_calling.declaration import declarations
from ...verifiers.tool_calling.formats.format import tool_format
from ...verifiers.tool_calling.possible_answers import possible_answers
from ...verifiers.verdict import Verdict, unparseable
from ..dataset import DatasetConfig, DatasetEnvironment, Examples
from ..name_check import known_names
from ..rows.column import Row, column

NO_CALL = "None of these tools can do that."
_FENCE = re.compile(r"^[ \t]*+(?:```|~~~)[^\n]*", re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]+")
_QUESTION, _TOOLS, _ANSWERS = (
    ("question", "messages", "prompt"),
    ("function", "tools"),
    ("possible_answers", "ground_truth"),
)

EXAMPLE_ROW: Row = {
    "id": "simple_0",
    "question": "What is the weather in Rome?",
    "function": [
        {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {"type": "dict", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        }
    ],
}
EXAMPLE_ANSWERS = [{"weather": {"city": ["Rome", "Roma"]}}]


class ToolCalling(DatasetEnvironment):
    """A request and declared tools: the reply calls the tools that the request needs, or none if none helps.

    An attempt is a success if its calls are right by BFCL's rules.
    """

    class Config(DatasetConfig):
        """Which rows to use, and how tools and calls are written."""

        categories: Annotated[list[str], known_names("category", CATEGORIES)] = Field(default_factory=list)
        """Categories to use: simple, multiple, parallel, parallel_multiple, irrelevance, relevance; all if empty."""
        format: str = "hermes"
        """Format of tools and calls, such as hermes, llama, glm45 or harmony, or your own as module:name."""
        strict: bool = True
        """Whether a call that had to be repaired counts as wrong."""

        @field_validator("format")
        @classmethod
        def _known(cls, name: str) -> str:
            tool_format(name)
            return name

    example_rows: ClassVar[Examples] = {"": {**EXAMPLE_ROW, "possible_answers": EXAMPLE_ANSWERS}}
    rubric = Rubric(use("format", weight=0.0, required=False), success="bfcl")

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._system_prompt = self.config.system_prompt  # goes into the task, in one system message with the tools
        self.config = self.config.model_copy(update={"system_prompt": ""})

    @reward()
    async def bfcl(self, case: Case) -> Verdict:
        """Whether the calls are those that the row expects, by BFCL's rules; a reply without one is a sentence."""
        info = case.task.info
        verdict = await Bfcl(info["tools"], info["category"], self.config.format, self.config.strict).verify(case)
        if verdict.passed and info["category"] == "irrelevance" and not _is_sentence(split_reasoning(case.visible)[1]):
            return unparseable("no call was made, but the reply does not say so: expected a sentence of three words")
        return verdict

    def task_of(self, row: Row) -> Task | None:
        """The tools and the request as a task; the expected calls go into its answer."""
        category = str(row.get("category", "simple")).removeprefix("live_").removesuffix("_python")
        if category not in CATEGORIES:
            raise DataError(f"no category is named {category!r:.80}; known: {', '.join(CATEGORIES)}")
        if self.config.categories and category not in self.config.categories:
            return None
        tools = declarations(_first(row, _TOOLS))
        if not tools:
            raise DataError("the row declares no tools")
        answer = None
        if category not in ("irrelevance", "relevance"):
            answer = _first(row, _ANSWERS)
            possible_answers(answer, tools)
        messages = _messages(_first(row, _QUESTION))
        own = [message["content"] for message in messages if message["role"] == "system"]
        shown = tool_format(self.config.format).system_prompt(tools.values())
        system: Message = {"role": "system", "content": "\n\n".join(filter(None, [self._system_prompt, *own, shown]))}
        prompt = [system, *(message for message in messages if message["role"] != "system")]
        info = {"tools": [tool.to_json() for tool in tools.values()], "category": category}
        return Task(prompt, answer=answer, info=info, id=str(row.get("id") or ""))

    def demonstration(self, task: Task) -> str:
        """The first of the possible answers, or that none of the tools helps."""
        if task.info["category"] == "irrelevance":
            return NO_CALL
        if task.info["category"] == "relevance":
            return tool_format(self.config.format).write_calls([ToolCall(task.info["tools"][0]["function"]["name"])])
        tools = declarations(task.info["tools"])
        calls = []
        for expected in possible_answers(task.answer, tools):
            required = expected.parameters.get("required") or []
            calls.append(ToolCall(expected.name, _chosen(expected.values, required)))
        return tool_format(self.config.format).write_calls(calls)


def _is_sentence(text: str) -> bool:
    """Whether a text has three words outside the lines of code fences; scripts without spaces count as one run."""
    letters = _WORD.findall(_FENCE.sub("", text))
    return len(letters) >= 3 or sum(len(word) for word in letters if not word.isascii()) >= 3


def _first(row: Row, names: tuple[str, ...]) -> Any:
    """The row's value under the first of ``names`` that it has."""
    return column(row, next((name for name in names if row.get(name) is not None), names[0]))


def _messages(question: Any) -> list[Message]:
    """The first turn of BFCL's list of turns, a conversation, or one request in text."""
    if isinstance(question, str):
        question = [{"role": "user", "content": question}]
    if isinstance(question, list) and question and isinstance(question[0], list):
        if len(question) > 1:
            raise DataError(f"a row must ask for one turn, found {len(question)}")
        question = question[0]
    if not isinstance(question, list) or not all(isinstance(message, dict) for message in question):
        raise DataError(f"the request must be a text or a list of messages, found {question!r:.80}")
    if not any(message.get("role") == "user" for message in question):
        raise DataError("the request holds no message of role user")
    return question


def _chosen(values: dict[str, list[Any]], required: Sequence[str] = ()) -> dict[str, Any]:
    """The first possible value of each parameter; optional parameters are left out."""
    real = {name: [option for option in options if option != ""] for name, options in values.items()}
    needed = [name for name, options in values.items() if "" not in options or name in required]
    return {name: _plain(real[name][0] if real[name] else "") for name in needed if values[name]}


def _plain(option: Any) -> Any:
    """The value as a call writes it: in BFCL, objects list the possible values of each key."""
    if isinstance(option, list):
        return [_plain(item) for item in option]
    if isinstance(option, dict) and all(isinstance(values, list) for values in option.values()):
        return _chosen(option)
    return option
