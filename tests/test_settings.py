"""Settings say which key is wrong, in one sentence, and are written as TOML that reads back as they were."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from luthier.errors import SettingsError
from luthier.settings import Seed, Settings, assignments, checked_seed, read_settings, settings_from, toml_of, value_of


class Arm(Settings):
    rank: int


class Study(Settings):
    arms: dict[str, Arm]


def test_a_key_in_a_dict_of_tables_is_placed():
    with pytest.raises(
        SettingsError, match=r"study.toml: the key 'arms.lora.rnak' is not known; did you mean 'rank'\?"
    ):
        settings_from(Study, {"arms": {"lora": {"rnak": 8}}}, "study.toml")


class Plain(Settings):
    text: str = Field("", description="A text.")
    number: int = 0
    names: list[str] = Field(default=[])
    more: dict[str, str] = Field(default={})
    absent: int | None = None


@given(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")),
    st.integers(-(2**62), 2**62),
    st.lists(st.text('ab "\\\n')),
)
def test_what_is_written_reads_back(text: str, number: int, names: list[str]) -> None:
    settings = Plain(text=text, number=number, names=names, more={"a key": text})
    assert settings_from(Plain, tomllib.loads(toml_of(settings)), "here") == settings
    assert "# absent =" in toml_of(settings)


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ("text = 3", "the key 'text' is 3; it should be a valid string"),
        ("number = true", "the key 'number' is True"),
        ("nmber = 3", "did you mean 'number'"),
        ("number = ", "this is not TOML"),
    ],
)
def test_a_file_that_says_something_else_is_one_sentence(toml: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(toml)
    with pytest.raises(SettingsError, match=f"x.toml: .*{sentence}") as error:
        read_settings(Plain, tmp_path / "x.toml")
    assert "\n" not in str(error.value)


class Rate(Settings):
    rate: float = 0.0
    seed: Seed = 0


@pytest.mark.parametrize("given", [{"rate": math.inf}, {"rate": math.nan}, {"seed": -1}, {"seed": 2**32}])
def test_what_is_no_number_and_no_seed_is_refused(given: dict):
    with pytest.raises(SettingsError, match=f"study.toml: the key '{next(iter(given))}' is "):
        settings_from(Rate, given, "study.toml")


def test_a_seed_that_stands_in_no_settings_is_checked_too():
    assert checked_seed(2**32 - 1, "ask") == 2**32 - 1
    with pytest.raises(SettingsError, match="ask: the seed is -1; give a whole number from 0 to 4294967295"):
        checked_seed(-1, "ask")


def test_assignments_are_numbers_where_they_read_as_such():
    read = assignments("rank=8, rate=1e-3,name=a=b", "defaults")
    assert read == {"rank": 8, "rate": 1e-3, "name": "a=b"}
    assert value_of("9" * 5000) == "9" * 5000 and value_of("[" * 10**6) == "[" * 10**6
    with pytest.raises(SettingsError, match="defaults 'rank': 'rank' has no value; write key=value,key=value"):
        assignments("rank", "defaults")


def test_half_a_letter_is_refused_with_its_key() -> None:
    class Inner(Settings):
        names: tuple[str, ...] | list[str] = ()

    class Outer(Settings):
        name: str = ""
        inner: Inner = Inner()

    for data, key in (({"name": "\ud800"}, "name"), ({"inner": {"names": ["a", "caf\udce9"]}}, "inner.names.1")):
        with pytest.raises(SettingsError, match=rf"here: the key '{key}' holds half a letter"):
            settings_from(Outer, data, "here")
    assert settings_from(Outer, {"name": "\u00e9 \U0001f600"}, "here").name == "\u00e9 \U0001f600"
