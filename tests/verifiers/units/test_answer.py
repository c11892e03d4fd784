"""Quantities with units: the same in other units and notations, and all that looks alike and is not."""

import asyncio
from random import Random
from typing import Any

import pytest

from lachesis.verifiers.case import Case
from lachesis.verifiers.errors import ConfigError, DataError
from lachesis.verifiers.task import Task
from lachesis.verifiers.trajectory import Trajectory
from lachesis.verifiers.units.answer import Units
from lachesis.verifiers.verdict import Verdict

EQUAL = [
    ("1.39\\,\\text{m}\\cdot\\text{s}^{-1}", "5 km/h"),
    ("(5 km)", "5 km"),
    ("5 [km/h]", "5 km/h"),
    ("(5.0 ± 0.1) m", "5.0 ± 0.1 m"),
    ("So it is therefore **5 km**.", "5 km"),
    ("2 h 30 min", "2.5 h"),
    ("2 hours and 30 minutes", "150 min"),
    ("5 ft 3 in", "63 in"),
    ("1.234,5 m", "1234.5 m"),
    ("30 mpg", "12.75 km/L"),
    ("1 T", "10^4 G"),
    ("12V", "12 V"),
    ("25 degrees", "25°"),
    ("6.02×10²³ mol⁻¹", "6.022e23 1/mol"),
    ("1.389 m/s", "5 km/h"),
    ("5 km/h", "1.389 m/s"),
    ("5 km h^{-1}", "1.389 m/s"),
    ("\\boxed{5\\,\\mathrm{km/h}}", "5 km/h"),
    ("$5\\text{ km}$", "5 km"),
    ("5000 m", "5 km"),
    ("5 µm", "5e-6 m"),
    ("5 μm", "0.005 mm"),
    ("4.7 kΩ", "4700 ohm"),
    ("4.7\\ \\mathrm{k}\\Omega", "4700 Ω"),
    ("27 °C", "300.15 K"),
    ("0 °C", "273.15 K"),
    ("32 °F", "0 °C"),
    ("4.18 J/(g·°C)", "4180 J/(kg·K)"),
    ("4180 J/kg K", "4180 J/(kg K)"),
    ("9.81 m s⁻²", "9.81 m/s^2"),
    ("9.81 m·s^{-2}", "9.81 m/s²"),
    ("50%", "0.5"),
    ("0.5", "50%"),
    ("50 percent", "50 %"),
    ("1,000 m", "1 km"),
    ("1 000 m", "1 km"),
    ("1{,}000 m", "1 km"),
    ("3.0\\times10^8 m/s", "3e8 m/s"),
    ("3.0 × 10⁸ m/s", "3e8 m/s"),
    ("3 x 10^8 m/s", "3e8 m/s"),
    ("5–7 m", "5 m to 7 m"),
    ("5-7 m", "5 to 7 m"),
    ("between 5 and 7 m", "5–7 m"),
    ("500-700 cm", "5–7 m"),
    ("5.05 m", "5.0 ± 0.1 m"),
    ("5.0 ± 0.1 m", "5.0 ± 0.1 m"),
    ("60 rpm", "1 Hz"),
    ("6.283 rad/s", "60 rpm"),
    ("2 s^-1", "2 rad/s"),
    ("2 s⁻¹", "2 Hz"),
    ("180°", "3.14159 rad"),
    ("\\pi rad", "180 degrees"),
    ("\\frac{\\pi}{2} rad", "90°"),
    ("12 N·m", "12 Nm"),
    ("12 N m", "12 J"),
    ("1 kWh", "3.6 MJ"),
    ("1 kW·h", "3.6e6 J"),
    ("1 kilowatt-hour", "3.6 MJ"),
    ("v = 5 km/h = 1.389 m/s", "5 km/h"),
    ("The speed is 5 km/h.", "5 km/h"),
    ("**Answer: 5 km/h**", "5 km/h"),
    ("5 miles per hour", "8.047 km/h"),
    ("3 square meters", "30000 cm^2"),
    ("3 metres squared", "3 m2"),
    ("2 L", "2 dm^3"),
    ("2 liters", "2000 cc"),
    ("1/2 h", "30 min"),
    ("1 1/2 h", "90 min"),
    ("1 atm", "760 mmHg"),
    ("1 atm", "101.325 kPa"),
    ("5 Joules", "5 J"),
    ("70 Kg", "70 kg"),
    ("5 degrees Celsius", "5 °C"),
    ("5^{\\circ}\\mathrm{C}", "5 °C"),
    ("5 million km", "5e9 m"),
    ("0.1 nm", "1 Å"),
    ("3,5 km", "3.5 km"),
    ("about 5 km/h", "5 km/h"),
    ("-40 °C", "-40 °F"),
    ("\\SI{5}{\\kilo\\meter\\per\\hour}", "5 km/h"),
    ("8 Mbps", "1 MB/s"),
    ("1 m/s/s", "1 m/s^2"),
    ("20 dB", "20 dB"),
    ("\\frac{5}{3.6}\\ \\frac{\\text{m}}{\\text{s}}", "5 km/h"),
    ("10 mol/L", "10 M"),
    ("<answer>5 km/h</answer>", "5 km/h"),
    ("1 eV", "1.602e-19 J"),
    ("10^{-3} m", "1 mm"),
    ("5 1/s", "5 Hz"),
    ("5 N.m", "5 N·m"),
    ("E = 20 kJ", "20000 J"),
    ("1.2e3 Pa·s", "1.2 kPa·s"),
    ("50 W/m²·K", "50 W/(m² K)"),
    ("9 ft-lb", "9 foot pounds"),
    ("2 V/μs", "2e6 V/s"),
    ("The speed is not 3 km/h. It is 5 km/h.", "5 km/h"),
    ("**5 km/h**", "5 km/h"),
    ("`5 km/h`", "5 km/h"),
    ("Speed: 5 km/h", "5 km/h"),
    ("5 \\mu\\mathrm{m}", "5 μm"),
    ("2.5 \\times 10^{-3}\\,\\mathrm{mol\\,L^{-1}}", "2.5 mM"),
    ("100 cm^3/min", "1.667e-6 m^3/s"),
    ("1 light-year", "9.461e15 m"),
    ("3 nautical miles", "5.556 km"),
    ("1 psi", "6.895 kPa"),
    ("5 l", "5 L"),
    ("1 Ah", "3600 C"),
    ("20 ppm", "2e-5"),
]
UNEQUAL = [
    ("2 h 90 min", "3.5 h"),
    ("5 km and 6 km", "5 km to 6 km"),
    ("2 h 30 m", "2.5 h"),
    ("2 h 30 J/kg K", "2.5 h"),
    ("30 min 2 h", "2.5 h"),
    ("2 °C 3 K", "5 °C"),
    ("(5 km) or (6 km)", "5 km"),
    ("1.234,5 m", "1.2345 m"),
    ("5 km", "5 km/h"),
    ("5 m/s", "5 km/h"),
    ("5", "5 km"),
    ("5 km/h or 6 km/h", "5 km/h"),
    ("5 km/h and 6 km/h", "5 km/h"),
    ("5 mW", "5 MW"),
    ("27 °C", "27 K"),
    ("10 °C", "10 K"),
    ("50", "50%"),
    ("0.5%", "0.5"),
    ("2 Hz", "2 rad/s"),
    ("60 rpm", "6.283 Hz"),
    ("180 rad", "180°"),
    ("6 m", "5–7 m"),
    ("5-7 m", "6 m"),
    ("5 ± 100 m", "5 m"),
    ("5 ± 3 m", "5.0 ± 0.1 m"),
    ("", "5 m"),
    ("What is the speed in km/h?", "5 km/h"),
    ("5 apples", "5 m"),
    ("10**10**10 m", "5 m"),
    ("5 m**10**10", "5 m"),
    ("5 m^999", "5 m"),
    ("1e999 m", "5 m"),
    ("nan m", "5 m"),
    ("inf m", "5 m"),
    ("5 km/h = 7 m/s", "5 km/h"),
    ("20", "20 dB"),
    ("20 dB", "20"),
    ("-5 m", "5 m"),
    ("5 m/s", "5 m/s^2"),
    ("5 J/(kg K)", "5 J K/kg"),
    ("5 cd", "5 lm"),
    ("5.1 km", "5 km"),
    ("1,000 m", "1 m"),
    ("5 bit", "5 B"),
    ("__import__('os').system('x') m", "5 m"),
    ("3 m to 5 km", "3 m to 5 m"),
    ("between 4 and 6 km/h", "5 km/h"),
    ("at least 5 km", "5 km"),
    ("<5 km", "5 km"),
    (">= 5 km", "5 km"),
    ("5 C", "5 °C"),
    ("5 M", "5 m"),
    ("5 Pa", "5 N"),
    ("not 5 km", "5 km"),
    ("The speed is not 5 km/h", "5 km/h"),
    ("The answer is not: 5 km/h", "5 km/h"),
    ("It is at most: 5 km/h", "5 km/h"),
    ("5 mm", "5 Mm"),
    ("5 g", "5 G"),
    ("5 s", "5 S"),
    ("5 kPa", "5 kPa·s"),
    ("5 km/h?", "5 km/h"),
    ("5 m^2", "5 m"),
    ("5 m", "5 m²"),
    ("5 °C", "5 °F"),
    ("km/h", "5 km/h"),
    ("5/0 m", "5 m"),
    ("5 km/h, 6 km/h", "5 km/h"),
    ("5 km/h (or 6)", "5 km/h"),
]


def judge(completion: str, answer: Any, **params: Any) -> Verdict:
    messages = {"policy": ({"role": "assistant", "content": completion},)}
    return asyncio.run(Units(**params).verify(Case(Trajectory(Task("q", answer), messages=messages))))


@pytest.mark.parametrize(("completion", "answer"), EQUAL)
def test_the_same_quantity_in_another_unit_or_notation_is_right(completion: str, answer: str) -> None:
    found = judge(completion, answer)
    assert found.passed, found.reason


@pytest.mark.parametrize(("completion", "answer"), UNEQUAL)
def test_another_value_dimension_or_a_hedge_is_wrong_and_says_why(completion: str, answer: str) -> None:
    found = judge(completion, answer)
    assert found.score == 0.0
    assert found.reason


@pytest.mark.parametrize(
    "completion",
    [
        *(
            "9" * 5000,
            "5 " + "(" * 299,
            "5 m" + " m" * 149,
            "5 m" + "^2" * 100,
            "5 " + "m/" * 149,
            "1e999 m",
            "\\frac{" * 50,
        ),
        *("9" * 290 + " Ym", "5 Qm^12/Qm^12", "5 m" + "·Qm^10" * 9, "1e150 m", "5 Qm^12"),
        *("5 m" * 100, "5" + ",000" * 70 + " m", "5 " + "x" * 200, "5 m^(1/0)", "5 m^-", "5 km/h" * 100_000, "½" * 299),
    ],
)
def test_hostile_text_is_refused_and_nothing_in_it_is_evaluated(completion: str) -> None:
    assert judge(completion, "5 m").status in ("wrong", "unparseable")


def test_arbitrary_text_is_always_judged() -> None:
    rng = Random(0)
    parts = [
        "5",
        "m",
        "/",
        "s",
        "^",
        "-",
        "(",
        ")",
        "·",
        "km",
        "°C",
        "±",
        "to",
        "=",
        "x",
        "10",
        "π",
        ",",
        "1e5",
        "{",
        "}",
    ]
    parts += ["\\frac", "\\mathrm", "%", "and", "Hz", "**", "μ", "½", "²", "⁻¹", "per", "square", "million", "g_e", " "]
    for _ in range(2000):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 12)))
        assert judge(text, "5.3 kg").status in ("wrong", "unparseable"), text


def test_an_answer_without_a_unit_counts_only_if_the_question_names_it() -> None:
    assert judge("5", "5 km/h").reason.endswith("it has no unit")
    assert judge("5", "5 km/h", unit="km/h").passed
    assert not judge("5", "5 km/h", unit="m/s").passed
    assert judge("1.389 m/s", "5", unit="km/h").passed


def test_temperatures_are_on_their_scale_unless_they_are_differences() -> None:
    assert not judge("10 K", "10 °C").passed
    assert judge("10 K", "10 °C", difference=True).passed
    assert judge("18 °F", "10 Δ°C", difference=True).passed
    assert not judge("50 °F", "10 °C", difference=True).passed


def test_the_tolerance_is_a_share_of_the_expected_value() -> None:
    assert judge("1.38 m/s", "5 km/h").passed
    assert not judge("1.38 m/s", "5 km/h", tolerance=0.001).passed
    assert judge("18 km/h", "5 m/s", tolerance=0.0).passed
    assert not judge("18.0001 km/h", "5 m/s", tolerance=0.0).passed
    assert not judge("0.001 m", "0 m").passed


def test_one_of_several_expected_answers_is_enough() -> None:
    assert judge("5 km", ["3 mi", "5 km"]).passed


@pytest.mark.parametrize("answer", [None, "", "five km", "5 apples", "5 km or 6 km", "km", "nan m"])
def test_an_expected_answer_that_nothing_could_match_is_refused(answer: Any) -> None:
    assert judge("5 km", answer).status == "infra_error"
    with pytest.raises(DataError, match="answer"):
        Units().check_expected(answer, {})


@pytest.mark.parametrize("params", [{"tolerance": -0.1}, {"tolerance": 1}, {"unit": "apple"}])
def test_an_impossible_parameter_is_refused(params: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="units"):
        Units(**params)
