"""Puzzles about dates, times and calendars."""

import datetime
from fractions import Fraction
from random import Random
from typing import Self

from ..answers import CLOCK, DATE, FRACTION, INTEGER, NAMES
from ..puzzle import Puzzle, family

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_DAY = datetime.timedelta(days=1)


def day(rng: Random, years: int) -> datetime.date:
    """A day at most so many years before or after the year 2000."""
    return datetime.date(2000 + rng.randint(-years, years), 1, 1) + rng.randrange(365) * _DAY


def clock(minutes: int) -> str:
    """Minutes after midnight as HH:MM."""
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def minutes_of(text: str) -> int:
    """The minutes after midnight of HH:MM."""
    hours, minutes = text.split(":")
    return 60 * int(hours) + int(minutes)


@family
class Weekdays(Puzzle):
    """On which weekdays several dates fall."""

    sizes = range(2, 10)
    answer = NAMES
    form = "the English names of the weekdays in the order of the dates, separated by commas"
    wordings = (
        "Which days of the week are these dates (Gregorian calendar)? {dates}",
        "Give the weekday of each of {dates} in the Gregorian calendar.",
    )
    dates: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls([day(rng, 10 * size).isoformat() for _ in range(size)])

    def solve(self) -> list[str]:
        return [WEEKDAYS[datetime.date.fromisoformat(date).weekday()] for date in self.dates]

    def accepts(self, found: list[str]) -> bool:
        return [word.lower() for word in found] == [word.lower() for word in self.solve()]


@family
class DaysBetween(Puzzle):
    """How many days are between two dates."""

    sizes = (1, 2, 5, 10, 25, 60, 150, 400)
    answer = INTEGER
    wordings = (
        "How many days after {first} is {second} (Gregorian calendar)?",
        "Count the days from {first} to {second}, without the first day and with the last.",
    )
    first: str
    second: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        first = day(rng, 150)
        return cls(first.isoformat(), (first + rng.randint(100 * size, 366 * size) * _DAY).isoformat())

    def solve(self) -> int:
        return (datetime.date.fromisoformat(self.second) - datetime.date.fromisoformat(self.first)).days


@family
class DateAfter(Puzzle):
    """The date some days later or earlier."""

    sizes = (20, 60, 150, 400, 1000, 3000, 10_000, 30_000)
    answer = DATE
    wordings = (
        "Which date is {days} days {direction} {start} (Gregorian calendar)?",
        "Today is {start}. What is the date {days} days {direction} today?",
    )
    start: str
    days: int
    direction: str

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        return cls(day(rng, 100).isoformat(), rng.randint(size // 2, size), rng.choice(["before", "after"]))

    def solve(self) -> str:
        days = self.days if self.direction == "after" else -self.days
        return (datetime.date.fromisoformat(self.start) + days * _DAY).isoformat()


@family
class WorkingDays(Puzzle):
    """The date after some working days."""

    sizes = range(5, 85, 10)
    answer = DATE
    wordings = (
        "A parcel sent on {start} arrives after {days} working days (Monday to Friday, the day of sending not "
        "counted; holidays: {holidays}). On which date?",
        "Count {days} days forward from {start}, without that day, Saturdays, Sundays and the holidays {holidays}. "
        "Which date do you reach?",
    )
    start: str
    days: int
    holidays: list[str]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        start = day(rng, 40)
        holidays = sorted((start + n * _DAY).isoformat() for n in rng.sample(range(1, size + 3), 1 + size // 10))
        return cls(start.isoformat(), size + rng.randrange(10), holidays)

    def solve(self) -> str:
        date, left = datetime.date.fromisoformat(self.start), self.days
        while left:
            date += _DAY
            left -= date.weekday() < 5 and date.isoformat() not in self.holidays
        return date.isoformat()


@family
class ClockTime(Puzzle):
    """The time after several periods."""

    sizes = range(2, 10)
    answer = CLOCK
    wordings = (
        "It is {start} on a 24-hour clock. What time is it after these periods, one after another: {periods}?",
        "A train leaves at {start}. Its legs and stops take {periods}. At what time of day does it arrive?",
    )
    start: str
    minutes: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            found = cls(clock(rng.randrange(1440)), [rng.randint(5, 600) for _ in range(size)])
            if found.solve() != found.start:
                return found

    def shown(self) -> dict[str, str]:
        periods = [f"{n // 60} h {n % 60} min" if n >= 60 else f"{n} min" for n in self.minutes]
        return {"start": self.start, "periods": ", ".join(periods)}

    def solve(self) -> str:
        return clock(minutes_of(self.start) + sum(self.minutes))


@family
class ClockAngle(Puzzle):
    """The angle between the hands of a clock."""

    sizes = (30, 15, 10, 6, 4, 3, 2, 1)
    answer = FRACTION
    form = "the angle in degrees, from 0 to 180, as an integer or a fraction in lowest terms"
    wordings = (
        "What is the smaller angle between the hour hand and the minute hand at {time}?",
        "An analogue clock shows {time}, with hands that move continuously. How large is the angle between its hands?",
    )
    hours: int
    minutes: int
    seconds: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        seconds = rng.choice([15, 20, 24, 36, 40, 48]) if size <= 3 else 0
        return cls(rng.randint(1, 12), rng.randrange(0, 60, size), seconds)

    def shown(self) -> dict[str, str]:
        return {"time": f"{self.hours}:{self.minutes:02d}" + (f":{self.seconds:02d}" if self.seconds else "")}

    def solve(self) -> Fraction:
        minutes = self.minutes + Fraction(self.seconds, 60)
        angle = abs(30 * (self.hours % 12) + minutes / 2 - 6 * minutes) % 360
        return min(angle, 360 - angle)


@family
class MeetingTime(Puzzle):
    """The first time at which everyone is free."""

    sizes = range(2, 10)
    answer = CLOCK
    form = "the earliest start in the form HH:MM"
    wordings = (
        "Several people want to meet for {length} minutes between 09:00 and 18:00. They are busy at these "
        "times:\n{busy}\nWhat is the earliest possible start?",
        "Find the first time from 09:00 on at which a meeting of {length} minutes overlaps none of these "
        "appointments:\n{busy}",
    )
    length: int
    busy: list[list[int]]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        while True:
            starts = [540] + [rng.randrange(540, 1020, 5) for _ in range(2 * size)]
            found = cls(rng.choice([30, 45, 60]), [[start, start + rng.randrange(20, 90, 5)] for start in starts])
            if minutes_of(found.solve()) + found.length <= 1080:
                return found

    def shown(self) -> dict[str, str]:
        return {"length": str(self.length), "busy": "\n".join(f"{clock(a)}-{clock(b)}" for a, b in self.busy)}

    def solve(self) -> str:
        start = 540
        for a, b in sorted(self.busy):
            if a < start + self.length and b > start:
                start = b
        return clock(start)


@family
class LeapYears(Puzzle):
    """How many leap years are in a range."""

    sizes = (20, 50, 100, 200, 400, 800, 1500, 2500)
    answer = INTEGER
    wordings = (
        "How many leap years of the Gregorian calendar are there from {first} to {last}, both included?",
        "Count the Gregorian leap years among the years {first}, …, {last}.",
    )
    first: int
    last: int

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        first = rng.randint(1600, 2400)
        return cls(first, first + rng.randint(size // 2, size))

    def solve(self) -> int:
        return sum(year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) for year in range(self.first, self.last + 1))


@family
class TimeZones(Puzzle):
    """A time in one zone as a time in another."""

    sizes = range(1, 9)
    answer = CLOCK
    wordings = (
        "A flight starts at {time} local time in a zone of UTC{start}. After {legs}, it lands in a zone of UTC{end}. "
        "What is the local time there?",
        "It is {time} where the clocks show UTC{start}. What do clocks at UTC{end} show after {legs}?",
    )
    time: str
    start: int
    end: int
    legs: list[int]

    @classmethod
    def make(cls, rng: Random, size: int) -> Self:
        start, end = rng.sample(range(-44, 53), 2)
        while True:
            found = cls(clock(rng.randrange(1440)), start, end, [rng.randint(30, 700) for _ in range(size)])
            if found.solve() != found.time:
                return found

    def shown(self) -> dict[str, str]:
        zones = [f"{'-' if zone < 0 else '+'}{clock(15 * abs(zone))}" for zone in (self.start, self.end)]
        legs = " and then ".join(f"{n} minutes" for n in self.legs)
        return {"time": self.time, "start": zones[0], "end": zones[1], "legs": legs}

    def solve(self) -> str:
        return clock(minutes_of(self.time) + sum(self.legs) + 15 * (self.end - self.start))
