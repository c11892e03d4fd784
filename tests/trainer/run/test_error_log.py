"""Errors of episodes are counted by place, survive a resume, and are bounded."""

from dataclasses import replace
from pathlib import Path

from lachesis.rollout.orders import Failure
from lachesis.trainer.run.error_log import MOST, ErrorLog, problem_of
from lachesis.verifiers.boundary import Fault
from lachesis.verifiers.group import Group, Lost
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import StopReason, Trajectory


def group(error: str | None = None, *lost: str) -> Group:
    task = Task("q")
    stop = StopReason.ENVIRONMENT_ERROR
    made = Trajectory(task, "toy", stop=stop, error=error) if error else Trajectory(task, "toy")
    return Group(0, task, (made,), (0,), tuple(Lost(n + 1, stop, reason) for n, reason in enumerate(lost)))


def test_errors_of_one_place_are_one_problem_whatever_they_say(tmp_path: Path) -> None:
    log = ErrorLog(tmp_path)
    log.note(1, [group("KeyError: 'a' (/x/toy.py, line 7)", "KeyError: 'b' (/x/toy.py, line 7)")])
    log.note(
        3, [group("ValueError: (see line 2) (/x/toy.py, line 9)")], [Failure(4, "the group took more than its 60 s")]
    )
    log.note(4, [group()], [Failure(5, "the group took more than its 61 s")])
    assert [str(problem) for problem in log.problems] == [
        "2 × KeyError: 'a' at /x/toy.py:7 (step 1)",
        "2 × the group took more than its 60 s (steps 3 to 4)",
        "1 × ValueError: (see line 2) at /x/toy.py:9 (step 3)",
    ]
    again = ErrorLog(tmp_path)
    again.note(5, [group("KeyError: 'c' (/x/toy.py, line 7)")])
    assert str(again.problems[0]) == "3 × KeyError: 'a' at /x/toy.py:7 (steps 1 to 5)"


def test_a_place_has_the_traceback_of_its_first_exception_and_no_other(tmp_path: Path) -> None:
    reason = "KeyError: 'a' (/x/toy.py, line 7)"
    fault = Fault("KeyError: 'a'", "/x/toy.py", 7, "Traceback: one")
    elsewhere = Fault("KeyError: 'a'", "/x/toy.py", 8, "Traceback: other")
    log = ErrorLog(tmp_path)
    log.note(1, [replace(group(reason), faults=(elsewhere, fault))])
    log.note(2, [], [Failure(3, reason, (replace(fault, traceback="Traceback: later"),))])
    assert [problem.traceback for problem in ErrorLog(tmp_path).problems] == ["Traceback: one"]
    assert log.problems[0].count == 2


def test_a_run_without_errors_leaves_no_file_and_a_damaged_one_is_begun_again(tmp_path: Path) -> None:
    ErrorLog(tmp_path).note(1, [group()])
    assert not (tmp_path / "errors.json").exists()
    (tmp_path / "errors.json").write_text('{"problems": [{"what": 3, "nonsense": 1}]}')
    log = ErrorLog(tmp_path)
    assert log.problems == []


def test_ever_new_places_are_bounded(tmp_path: Path) -> None:
    log = ErrorLog(tmp_path)
    log.note(1, [group(None, *(f"E: x (/x/toy.py, line {n})" for n in range(MOST + 50)))])
    assert len(log.problems) == MOST + 1
    assert log.problems[0].what == "other errors"
    assert log.problems[0].count == 50


def test_a_place_is_read_from_the_end_of_a_fault() -> None:
    found = problem_of("A: b (c) (/with (brackets), line 3/f.py, line 12)")
    assert (found.what, found.file, found.line) == ("A: b (c)", "/with (brackets), line 3/f.py", 12) or found.line == 12
