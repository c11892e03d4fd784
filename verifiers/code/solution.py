"""Verifier for programs: it runs completions against tests."""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal, get_args

from ..case import Case
from ..errors import ConfigError, DataError, InfrastructureError, nearest
from ..registry import verifier
from ..sandbox.job import MIB
from ..sandbox.protocol import Sandbox
from ..verdict import Verdict, infra_error, unparseable
from .asserts import Script, check_asserts
from .budget import Budget
from .calls import check_calls
from .inside.wire import NotPlain
from .outputs import COMPARISONS, Compare
from .prelude import with_prelude
from .program import extract_program
from .suite import as_text, fields_of, read_pairs, read_texts, with_integer_keys
from .tally import POLICIES, Policy
from .whole_programs.checker import STYLES, Checker, Style
from .whole_programs.executable import DoesNotCompile, build, check_language
from .whole_programs.interactive import check_interaction
from .whole_programs.languages import LANGUAGES, PYTHON
from .whole_programs.standard_io import check_outputs, comparison

Format = Literal["stdin", "call", "humaneval", "mbpp", "interactive"]
FORMATS: tuple[str, ...] = get_args(Format)
DEFAULT_BUDGET = Budget()
MAX_BUDGET = Budget(timeout=600.0, total=3600.0, memory=16 << 30)
"""Largest limits that an author may set; dataset rows cannot set limits."""

MAX_PROGRAM = MIB // 2
"""Longest program, in bytes of UTF-8."""


@verifier("code")
@dataclass(frozen=True)
class Code:
    r"""The program in the completion passes the task's tests, in a sandbox; reasoning in ``<think>`` does not count.

    ``stdin``: the answer is a list of ``{input, output}``, or ``{"inputs": […], "outputs": […]}``. ``call``: the same,
    with the arguments and the return value of ``fn_name``; texts have one JSON value per line, as in LiveCodeBench.
    Expected values never enter the job of the program. ``interactive``: the program talks to ``interactor``, which gets
    the input and output of each test as files. ``humaneval`` and ``mbpp``: the tests and the candidate run in separate
    jobs. Row-specific values (``fn_name``, ``entry_point``, ``test``, ``prompt``, ``canonical_solution``,
    ``test_list``, ``test_setup_code``, ``checker``, ``interactor``) may be given here, in the task's answer, or in its
    info.

    Attributes:
        format: ``stdin``, ``call``, ``humaneval``, ``mbpp`` or ``interactive``.
        language: for ``stdin`` and ``interactive``: ``python``, ``cpp``, ``javascript``, ``bash``, or your own
            ``module:name``.
        fn_name: for ``call``: name of the function, or of a method of the class ``Solution``; for ``mbpp``: name of the
            tested function, if the tests call several.
        entry_point: for ``humaneval``: name of the function passed to ``check``.
        test: for ``humaneval``: a script that defines ``check(candidate)``.
        prompt: for ``humaneval``: code that the completion may continue; candidate and tests can use its imports.
        canonical_solution: for ``humaneval``: reference for tests that call the entry point by name; a text answer is
            used as one.
        test_list: for ``mbpp``: statements that are one test each; an answer that is a list of texts is used as one.
        test_setup_code: for ``mbpp``: code that runs before the tests.
        checker: for ``stdin`` and ``interactive``: the source of a program that judges outputs, in place of
            ``compare``; tests then need no outputs.
        interactor: for ``interactive``: the source of the program that the completion's program talks to.
        checker_style: ``function``: Python that defines ``check(input, output, expected)``, which returns true or
            false, a score (1 passes), or that and a reason; ``testlib``: a program whose arguments are the files of
            input, output and expected output, and whose exit code is 0 if it accepts; ``printed``: a program whose
            arguments are the files of input, expected output and output, and that prints 1 if it accepts.
        checker_language: the language of the checker and the interactor.
        checker_headers: name → content of further files for them, such as ``testlib.h``.
        policy: ``all`` scores 1 if all tests pass, else 0, and stops at the first failure; ``fraction`` scores the
            share of tests that pass.
        compare: for ``stdin``: by ``lines`` (ignoring trailing white space), ``tokens``, or ``numbers`` (by value).
        tolerance: allowed absolute or relative difference of non-integer numbers, for ``numbers`` and ``call``.
        integer_keys: for ``call``: whether keys such as "1" of objects in the arguments stand for integers, which JSON
            cannot write as keys; so it is in APPS, TACO and PRIME.
        in_place: whether asserts see arguments that a call mutated even if it returned a value; they always do if it
            returned None.
        allow_shared: whether trainable trajectories may be scored by tests that cannot be separated from the candidate,
            or that use further functions which only the candidate defines. Others always may, and their evidence says
            so. Only values that the tests make, such as functions, keep them from being separated.
        timeout: seconds per test, or per script.
        total: seconds for all tests of ``stdin`` and ``call`` together.
        memory: bytes per job.

    Example:
        {"verifier": "code", "completion": "```python\ndef inc(x):\n    return x + 1\n```",
         "answer": {"inputs": [[1], [2]], "outputs": [2, 3]}, "params": {"format": "call", "fn_name": "inc"}} -> 1.0
    """

    format: Format = "stdin"
    language: str = "python"
    fn_name: str = ""
    entry_point: str = ""
    test: str = ""
    prompt: str = ""
    canonical_solution: str = ""
    test_list: list[str] | None = None
    test_setup_code: str = ""
    checker: str = ""
    interactor: str = ""
    checker_style: Style = "function"
    checker_language: str = "python"
    checker_headers: dict[str, str] | None = None
    policy: Policy = "all"
    compare: Compare = "lines"
    tolerance: float = 0.0
    integer_keys: bool = False
    in_place: bool = False
    allow_shared: bool = False
    timeout: float = DEFAULT_BUDGET.timeout
    total: float = DEFAULT_BUDGET.total
    memory: int = DEFAULT_BUDGET.memory

    needs_sandbox: ClassVar[bool] = True
    row_params: ClassVar[frozenset[str]] = frozenset(
        {"format", "fn_name", "entry_point", "test", "prompt", "canonical_solution", "test_list", "test_setup_code"}
        | {"policy", "compare", "tolerance", "integer_keys", "in_place", "checker", "interactor", "checker_style"}
    )

    def __post_init__(self) -> None:
        choices = ("format", FORMATS), ("policy", POLICIES), ("compare", COMPARISONS), ("checker_style", STYLES)
        for name, known in choices:
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"verifier 'code': unknown {name} {value!r}; {nearest(str(value), known)}")
        for name in ("timeout", "total", "memory"):
            value, most = getattr(self, name), getattr(MAX_BUDGET, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
                raise ConfigError(f"verifier 'code': {name} must be above 0 and at most {most:g}, found {value!r}")
        if not isinstance(self.memory, int) or self.memory < MIB:
            raise ConfigError(
                f"verifier 'code': memory must be a whole number of bytes, at least 1 MiB, found {self.memory!r}"
            )
        if (
            isinstance(self.tolerance, bool)
            or not isinstance(self.tolerance, int | float)
            or not 0 <= self.tolerance < 1
        ):
            raise ConfigError(f"verifier 'code': tolerance must be at least 0 and below 1, found {self.tolerance!r}")
        self._check_languages()

    def _check_languages(self) -> None:
        for name in ("language", "checker_language"):
            LANGUAGES.load(getattr(self, name))
        if self.language != "python" and self.format not in ("stdin", "interactive"):
            raise ConfigError(
                f"verifier 'code': format {self.format!r} takes Python programs only, found language "
                f"{self.language!r}; use 'stdin' or 'interactive'"
            )
        if self.checker_language != "python" and self.checker_style == "function":
            raise ConfigError(
                f"verifier 'code': a checker of style 'function' is Python, found checker_language "
                f"{self.checker_language!r}; set checker_style = 'testlib'"
            )
        headers = self.checker_headers or {}
        if not isinstance(headers, dict) or not all(isinstance(text, str) for text in headers.values()):
            raise ConfigError(f"verifier 'code': checker_headers is name → content, found {headers!r:.80}")

    async def check_sandbox(self, sandbox: Sandbox) -> None:
        """Try the languages in the sandbox. Raises ``ConfigError`` if it lacks the tools of one."""
        for name in {self.language, self.checker_language}:
            await check_language(sandbox, name)

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` or the partial score of the policy, or the status of the first failed test."""
        program = extract_program(case.completion, language=LANGUAGES.load(self.language))
        if not program.strip():
            return unparseable("the completion contains no program")
        try:
            size = len(program.encode())
        except UnicodeEncodeError:
            return unparseable("the program contains a lone surrogate, which is not valid text")
        if size > MAX_PROGRAM:
            return Verdict(0.0, "limit", f"the program has {size} bytes, more than {MAX_PROGRAM}")
        budget = Budget(timeout=self.timeout, total=self.total, memory=self.memory)
        try:
            if self.format in ("stdin", "interactive"):
                return await self._check_programs(case, budget, program)
            if self.format == "call":
                return await self._check_calls(case, budget)
            return await self._check_asserts(case, budget)
        except DoesNotCompile as error:
            return Verdict(0.0, error.status, error.reason)
        except (ConfigError, DataError, InfrastructureError) as error:
            return infra_error(str(error))

    async def _check_programs(self, case: Case, budget: Budget, source: str) -> Verdict:
        checker, interactor = (self._checker(case, name) for name in ("checker", "interactor"))
        pairs = [as_text(pair) for pair in read_pairs(case.answer, outputs_needed=not (checker or interactor))]
        if self.format == "interactive" and not interactor:
            raise DataError("a task of format 'interactive' needs the program to talk to; set 'interactor'")
        language = await check_language(case.sandbox, self.language)
        program = await build(case.sandbox, language, with_prelude(source) if language is PYTHON else source)
        if self.format == "interactive" and interactor:
            return await check_interaction(case.sandbox, program, interactor, checker, pairs, budget, self.policy)
        judge = comparison(self.compare, self.tolerance)
        if checker:
            judge = partial(checker.judge, case.sandbox, budget)
        return await check_outputs(case.sandbox, program, pairs, budget, self.policy, judge)

    def _checker(self, case: Case, name: str) -> Checker | None:
        source = self._row_value(case, name)
        style = "testlib" if name == "interactor" else self.checker_style
        headers = tuple(sorted((self.checker_headers or {}).items()))
        return Checker(source, self.checker_language, style, headers) if source else None

    async def _check_calls(self, case: Case, budget: Budget) -> Verdict:
        pairs = read_pairs(case.answer)
        name = self._row_value(case, "fn_name") or fields_of(case.answer).get("fn_name")
        if not name or not isinstance(name, str):
            raise DataError("a task of format 'call' needs the name of its function; set 'fn_name'")
        program = extract_program(case.completion, [name])
        if self.integer_keys:
            pairs = [with_integer_keys(pair) for pair in pairs]
        try:
            return await check_calls(case.sandbox, program, name, pairs, budget, self.policy, self.tolerance)
        except NotPlain as error:
            raise DataError(f"a test cannot be sent to a job: {error}; repair the dataset") from None

    async def _check_asserts(self, case: Case, budget: Budget) -> Verdict:
        script = self._humaneval(case) if self.format == "humaneval" else self._mbpp(case)
        trusting = self.allow_shared or not case.trajectory.segments
        return await check_asserts(case.sandbox, case.completion, script, budget, self.policy, trusting)

    def _humaneval(self, case: Case) -> Script:
        entry, test = self._row_value(case, "entry_point"), self._row_value(case, "test")
        if not entry.isidentifier() or not test.strip():
            raise DataError("a task of format 'humaneval' needs 'entry_point' and 'test'; set both")
        prompt = self._row_value(case, "prompt")
        canonical = self._row_value(case, "canonical_solution") or (case.answer if isinstance(case.answer, str) else "")
        references = [f"{prompt}\n{canonical}", canonical] if canonical.strip() else []
        return Script([test], [prompt] if prompt else [], entry, prompt, references, self.in_place)

    def _mbpp(self, case: Case) -> Script:
        tests = read_texts(self._row_value(case, "test_list", None), "'test_list'")
        if not tests and isinstance(case.answer, list):
            tests = read_texts(case.answer, "the task's answer")
        if not tests:
            raise DataError("a task of format 'mbpp' needs asserts; set 'test_list'")
        setup = read_texts(self._row_value(case, "test_setup_code"), "'test_setup_code'")
        tested = self._row_value(case, "fn_name") or self._row_value(case, "entry_point")
        return Script(tests, setup, in_place=self.in_place, tested=tested)

    def _row_value(self, case: Case, name: str, default: Any = "") -> Any:
        """Return a row-specific value from this verifier's parameters, the case's, the task's answer, or its info."""
        places: list[Any] = [{name: getattr(self, name)}, case.params, case.answer, case.task.info]
        for place in places:
            if isinstance(place, dict) and place.get(name):
                if not isinstance(place[name], str if default == "" else list):
                    raise DataError(f"{name!r} cannot be {place[name]!r:.80}; repair the dataset")
                return place[name]
        return default
