"""Verifier that compares a date, in the ways in which people write dates."""

import datetime
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from ..case import Case
from ..errors import ConfigError, DataError, nearest
from ..registry import verifier
from ..verdict import Verdict, infra_error, passed, unparseable, wrong
from .think import split_reasoning

ORDERS = ("unambiguous", "day_first", "month_first")
MAX_TAIL = 2000
"""How many characters at the end of an answer are searched for dates."""

_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in _MONTHS).replace("sep(?:tember)?", "sep(?:t(?:ember)?)?")
_DAY = r"(?P<{}>\d{{1,2}})(?:st|nd|rd|th)?"
_DATE = re.compile(
    rf"(?<![\w/.-])(?:(?P<y1>\d{{4}})[-/.](?P<m1>\d{{1,2}})[-/.](?P<d1>\d{{1,2}})"
    rf"|(?P<a>\d{{1,2}})(?P<mark>[-/.])(?P<b>\d{{1,2}})(?P=mark)(?P<y2>\d{{4}})"
    rf"|{_DAY.format('d3')}\.?(?:\s(?:of\s)?)(?P<m3>{_MONTH})\.?,?\s(?P<y3>\d{{4}})"
    rf"|(?P<m4>{_MONTH})\.?\s{_DAY.format('d4')},?\s(?P<y4>\d{{4}}))(?![\w/]|[.-]\d)",
    re.IGNORECASE | re.ASCII,
)


@verifier("date")
@dataclass(frozen=True)
class Date:
    """The last date in the answer is ``task.answer``, a date in the form 2024-03-05 or in any other form that is read.

    A date is written as ``2024-03-05``, ``5 March 2024``, ``March 5th, 2024``, ``05.03.2024`` or ``3/5/2024``. A number
    with a slash or a hyphen before the year may be a day or a month.

    Attributes:
        order: ``day_first``, ``month_first``, or ``unambiguous``: numbers with slashes or hyphens are read only if one
            of them is above 12 or both are equal; points always separate day, month and year.

    Example:
        {"verifier": "date", "completion": "It was on March 5th, 2024.", "answer": "2024-03-05"} -> 1.0
        {"verifier": "date", "completion": "3/5/2024", "answer": "2024-03-05",
         "params": {"order": "month_first"}} -> 1.0
        {"verifier": "date", "completion": "3/5/2024", "answer": "2024-03-05"} -> 0.0
    """

    order: str = "unambiguous"
    instances: ClassVar[tuple[str, ...]] = ORDERS
    row_params: ClassVar[frozenset[str]] = frozenset({"order"})

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(f"verifier 'date': unknown order {self.order!r}; {nearest(self.order, ORDERS)}")

    def check_expected(self, answer: Any, info: dict[str, Any]) -> None:
        """Raise ``DataError`` if the expected answer is not one date."""
        self._expected(answer)

    def _expected(self, answer: Any) -> datetime.date:
        found = read_dates(str(answer), self.order)
        if len(found) != 1 or found[0] is None:
            raise DataError(f"the task's answer is not one date: {answer!r:.80}; repair the dataset")
        return found[0]

    async def verify(self, case: Case) -> Verdict:
        """Return ``ok`` 1.0, ``wrong``, or ``unparseable`` if there is no date, or only an ambiguous one."""
        try:
            expected = self._expected(case.answer)
        except DataError as error:
            return infra_error(str(error))
        found = read_dates(split_reasoning(case.completion)[1][-MAX_TAIL:], self.order)
        if not found:
            return unparseable("no date in the answer")
        if found[-1] is None:
            return unparseable("the last date does not exist, or could be read with the day or the month first")
        if found[-1] == expected:
            return passed(found=found[-1].isoformat())
        return wrong(f"expected {expected.isoformat()}, found {found[-1].isoformat()}", found=found[-1].isoformat())


def read_dates(text: str, order: str = "unambiguous") -> list[datetime.date | None]:
    """Return the dates in ``text``; None stands for one that does not exist or that is ambiguous."""
    return [_date(match, order) for match in _DATE.finditer(text)]


def _date(match: re.Match[str], order: str) -> datetime.date | None:
    part = match.groupdict()
    if part["y2"]:
        year, first, second = int(part["y2"]), int(part["a"]), int(part["b"])
        clear = max(first, second) > 12 or first == second or part["mark"] == "."
        if order == "unambiguous" and not clear:
            return None
        month_first = part["mark"] != "." and (second > 12 or (order == "month_first" and first <= 12))
        month, day = (first, second) if month_first else (second, first)
    elif part["y1"]:
        year, month, day = int(part["y1"]), int(part["m1"]), int(part["d1"])
    else:
        year, name = int(part["y3"] or part["y4"]), (part["m3"] or part["m4"]).lower()
        day = int(part["d3"] or part["d4"])
        month = next(place for place, known in enumerate(_MONTHS, 1) if known.startswith(name[:3]))
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None
