"""panel.json: read as it was written, and damage is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.results.panel_record import Asked, Change, Panel, PanelArm, Reading, items_file


def made() -> Panel:
    reading = Reading(mean=0.8, low=0.7, high=0.9, n=600, groups={"a": 0.8})
    change = Change(loss=0.1, low=0.05, high=0.15, n=600, sd=0.3, nonzero=60, verdict="lost", detectable=0.04)
    arm = PanelArm(
        base="base m", readings={"pairs": reading}, changes={"pairs": change}, changed_answers=0.5, verdict="lost"
    )
    asked = Asked(unit="pair", items=600, margin=0.05, before="pairs: ...", sha256="0")
    return Panel(
        format=1, command="luthier panel x", versions={}, level=0.95, comparisons=3, instruments={"pairs": asked},
        weights={"base m": "1", "lora": "2"}, bases={"base m": {"pairs": reading}},
        arms={"lora": arm, "kept": arm.model_copy(update={"verdict": "kept"})}, left_out={"head": "an encoder"},
    )  # fmt: skip


def test_what_was_written_is_read_and_names_what_is_not_kept(tmp_path: Path) -> None:
    made().write(tmp_path)
    assert Panel.read(tmp_path) == made()
    assert Panel.read(tmp_path).not_kept == {"lora": "lost", "head": "cannot tell"}


def test_damage_is_one_sentence_with_the_field(tmp_path: Path) -> None:
    (tmp_path / "panel.json").write_text('{"format": 1, "command": 3}')
    with pytest.raises(FolderError, match="command"):
        Panel.read(tmp_path)
    (tmp_path / "panel.json").write_text('{"format": 2}')
    with pytest.raises(FolderError, match="update luthier"):
        Panel.read(tmp_path)


def test_lines_of_other_weights_have_another_file(tmp_path: Path) -> None:
    assert items_file(tmp_path, "lora", "a" * 64) != items_file(tmp_path, "lora", "b" * 64)
    assert items_file(tmp_path, "a/b", "a" * 64).parent == tmp_path / "panel"
