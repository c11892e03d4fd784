"""Questions about a database: the policy explores it with queries, then answers with rows or with a query."""

import asyncio
import json
import random
import re
from collections.abc import Iterator
from typing import Any, Literal

from ....verifiers.case import Case
from ....verifiers.json_data.text import NotJson, read_json
from ....verifiers.rubric import Rubric, reward
from ....verifiers.task import Task
from ....verifiers.tool_calling.formats.hermes import read_hermes
from ....verifiers.verdict import Verdict, passed, unparseable, wrong
from ...environment import Environment, EnvironmentConfig, Split
from ...episode import Episode
from ...limits import Limits
from .database import DOMAINS, Database, QueryError
from .questions import draw_question

HELD_OUT = 500
"""Databases in the test split; each has one question."""

OTHER_ROWS = 1 << 32
"""Added to a database's seed to make the same tables with other rows, which the policy never sees."""

_BLOCK = re.compile(r"```(?:sql|sqlite|json)?[ \t]*\n(.*?)```", re.DOTALL)


class Shell:
    """The tool of one episode: queries on its database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def query(self, sql: str) -> str:
        """Run one SELECT on the database. Gives the columns and the rows as JSON."""
        result = self._database.run(sql)
        text = json.dumps({"columns": result.columns, "rows": result.rows}, ensure_ascii=False)
        return f"{text}\n(there are more rows)" if result.more else text


class Sql(Environment):
    """A question about a small database; the reply is the rows that answer it, or a query that finds them.

    An attempt is a success if the rows are right; a query must be right on a second database, too.
    """

    class Config(EnvironmentConfig):
        """How the question is asked."""

        answer: Literal["rows", "query"] = "rows"
        """The form of the last reply: rows as JSON, or a query that also works on a database that is never shown."""
        show_schema: bool = True
        """Whether the question shows the tables. If not, the policy must query sqlite_master."""
        limits: Limits = Limits(turns=8, tool_calls=16, seconds=120.0)
        """Limits of an episode on turns, tokens, tool calls and seconds."""

    rubric = Rubric(success="correct")

    def tasks(self, split: Split, seed: int) -> Iterator[Task]:
        """Databases and questions by number: the test split has numbers of its own, the training split never ends."""
        if split == "test":
            yield from map(self._task, range(HELD_OUT))
            return
        rng = random.Random(seed)
        while True:
            yield self._task(rng.randrange(HELD_OUT, OTHER_ROWS))

    def tools(self, episode: Episode) -> list[Any]:
        """A tool with the episode's own database, which is opened on the tools' thread."""
        return [Shell(_database(episode.task))]

    async def finish(self, episode: Episode) -> None:
        """If the answer is a query, run it on the database and on one with other rows."""
        messages = episode.chat().messages
        reply = messages[-1]["content"] if messages and messages[-1]["role"] == "assistant" else ""
        if self.config.answer == "query" and (sql := _answer(reply)):
            episode.artifacts["runs"] = await asyncio.to_thread(_runs, episode.task, sql)

    @reward()
    def correct(self, case: Case) -> Verdict:
        """Whether the rows are right; their order counts only if the question names one."""
        text = _answer(case.completion)
        if not text:
            return unparseable("no answer: the last reply is empty or calls a tool")
        if self.config.answer == "rows":
            try:
                found = _rows(read_json(text))
            except NotJson as error:
                return unparseable(f"the answer is not JSON: {error}")
            return _compared(found, case.answer, case.task.info["ordered"])
        for run in case.artifacts["runs"]:
            if "error" in run:
                return wrong(f"the query fails: {run['error']}")
            verdict = _compared(run["found"], run["expected"], case.task.info["ordered"])
            if not verdict.passed:
                break
        return verdict

    def demonstration(self, task: Task) -> list[str]:
        """One query, then the answer."""
        call = {"name": "query", "arguments": {"sql": task.info["query"]}}
        answer = json.dumps(task.answer) if self.config.answer == "rows" else f"```sql\n{task.info['query']}\n```"
        return [f"<tool_call>{json.dumps(call)}</tool_call>", answer]

    def _task(self, number: int) -> Task:
        rng = random.Random(f"question {number}")
        domain = rng.randrange(len(DOMAINS))
        question = draw_question(DOMAINS[domain], rng)
        form = "the rows as a JSON list of lists" if self.config.answer == "rows" else "one sqlite query in ```sql"
        tables = f"{DOMAINS[domain].schema}\n\n" if self.config.show_schema else ""
        return Task(
            f"{tables}{question.text}\nUse the tool query as you need it. Your last reply is {form}, and nothing else.",
            answer=Database(DOMAINS[domain], number).run(question.query).rows,
            info={"database": number, "domain": domain, "query": question.query, "ordered": question.ordered},
        )


def _database(task: Task, shift: int = 0) -> Database:
    return Database(DOMAINS[task.info["domain"]], task.info["database"] + shift)


def _runs(task: Task, sql: str) -> list[dict[str, Any]]:
    """The rows that the query finds and should find, in the episode's database and in one that was never shown."""
    runs: list[dict[str, Any]] = []
    for shift in (0, OTHER_ROWS):
        database = _database(task, shift)
        try:
            found = database.run(sql)
        except QueryError as error:
            runs.append({"error": str(error)})
            continue
        runs.append({"found": found.rows, "expected": database.run(task.info["query"]).rows})
    return runs


def _answer(reply: str) -> str:
    """The last fenced block, or the whole reply; empty if the reply calls a tool."""
    reading = read_hermes(reply)
    blocks = _BLOCK.findall(reading.text)
    return "" if reading.calls else (blocks[-1] if blocks else reading.text).strip()


def _rows(value: Any) -> list[Any]:
    """The value as rows; brackets around a single row or a single cell may be missing."""
    rows = value if isinstance(value, list) else [value]
    return [row if isinstance(row, list) else [row] for row in rows]


def _compared(found: list[Any], expected: list[Any], ordered: bool) -> Verdict:
    spelled = [[json.dumps(_number(row)) for row in rows] for rows in (found, expected)]
    if not ordered:
        spelled = [sorted(rows) for rows in spelled]
    if spelled[0] == spelled[1]:
        return passed(rows=len(expected))
    return wrong(f"expected {len(expected)} rows such as {expected[:1]}, found {len(found)} such as {found[:1]!s:.200}")


def _number(value: Any) -> Any:
    """The value with whole floats as integers (3.0 becomes 3), also inside a row."""
    if isinstance(value, list):
        return [_number(item) if not isinstance(item, list) else item for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
