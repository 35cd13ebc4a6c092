"""A number is read whatever country its writer learned to write in."""

from __future__ import annotations

import pytest

from luthier.course.typed import typed


@pytest.mark.parametrize(
    "text, unit, value",
    [
        ("1.41 %", "%", 1.41), ("1.41%", "", 0.0141), ("0.0141", "%", 1.41), ("1,41", "%", 1.41), ("1.41", "%", 1.41),
        ("3 538 944", "", 3_538_944), ("3,538,944", "", 3_538_944), ("3.538.944", "", 3_538_944),
        ("3\u202f538\u202f944", "", 3_538_944), ("3'538'944", "", 3_538_944), ("3_538_944", "", 3_538_944),
        ("1,234.5", "", 1234.5), ("1.234,5", "", 1234.5), ("12 GB", "GB", 12), ("12gb", "GB", 12), ("= 12", "", 12),
        ("4.2e9", "", 4.2e9), ("4.2 x 10^9", "", 4.2e9), ("2\u00d710^-3", "", 0.002),
        ("\u22120.5", "", -0.5),
        ("1/4", "", 0.25), (".5", "", 0.5), ("5.", "", 5), ("007", "", 7), ("0,333", "", 0.333),
    ],
)  # fmt: skip
def test_the_likeliest_reading_or_one_of_them(text: str, unit: str, value: float) -> None:
    assert any(abs(one - value) < 1e-9 * max(1, abs(value)) for one in typed(text, unit)), typed(text, unit)


def test_three_digits_behind_a_sign_have_two_readings_the_english_one_first() -> None:
    assert typed("1,410") == (1410.0, 1.41) and typed("1.410") == (1.41, 1410.0)
    assert typed("1,41") == (1.41,) and typed("0.410") == (0.41,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "12 MB",
        "1,2,3",
        "1.2.3",
        "12 34",
        "1,23,456",
        "--1",
        "1/0",
        "nan",
        "inf",
        "1e999",
        "1 GB 2",
        f"{10**400}/3",
        "9" * 5000 + "/7",
        "1e" + "9" * 5000,
    ],
)
def test_what_is_no_number_of_the_unit_has_no_reading(text: str) -> None:
    assert typed(text, "GB") == ()
