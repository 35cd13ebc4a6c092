"""Settings say which key is wrong, in one sentence, and are written as TOML that reads back as they were."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from luthier.errors import SettingsError
from luthier.settings import Settings, read_settings, settings_from, toml_of


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
