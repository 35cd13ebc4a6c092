"""Gain on the task against what was kept: both against the arm's own base."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from luthier.reports.forgetting import Crossed, crossed, crosses, forgetting_rows
from luthier.reports.plots import FigureRow, points
from luthier.reports.read import read_study
from luthier.reports.write import report
from luthier.results.panel_record import Panel
from luthier.results.study_record import StudyRecord
from tests import records
from tests.reports.made import ALL_ARMS, make_study
from tests.results.test_panel_record import made as made_panel

OTHER = {
    "name": "other", "base_sha256": "ee55", "family": "decoder", "window": 8192, "precision": "bf16", "parameters": 9,
    "notes": [],
}  # fmt: skip


def study_on_two_bases(path: Path, **models: str | None) -> Path:
    """A study with a panel of lora and soft; `models` names those of arms that have another base than the study's."""
    make_study(path)
    record = StudyRecord.read(path)
    arms: dict[str, Any] = {name: table.as_json() for name, table in record.arms.items()}
    arms["few-shot-2"] = dict(arms["zero-shot"])  # asks as zero-shot does
    for name, model in models.items():
        arms[name.replace("_", "-")]["model"] = model
    others = {"models": {"other": OTHER} if "other" in models.values() else {}}
    records.study_record(arms, test=40, **others).write(path)
    panel = made_panel()
    kept = panel.arms["kept"]
    panel.model_copy(update={"arms": {"lora": kept, "soft": kept}, "left_out": {}}).write(path)
    return path


def test_a_gain_is_that_over_the_arm_s_own_base(tmp_path: Path) -> None:
    page = read_study(study_on_two_bases(tmp_path, soft="other", few_shot_2="other"))
    rows = {row.arm.name: row for row in forgetting_rows(page)}
    assert set(rows) == {"lora", "soft"} == set(Panel.read(tmp_path).arms)
    assert rows["lora"].gain == page.compare.pair("lora", "zero-shot")
    assert rows["soft"].gain == page.compare.pair("soft", "few-shot-2")
    assert not any(row.without_gain for row in rows.values())


def test_a_base_that_no_arm_asks_is_said_and_no_gain_is_shown(tmp_path: Path) -> None:
    folder = study_on_two_bases(tmp_path, soft="other")
    page = read_study(folder)
    rows = {row.arm.name: row for row in forgetting_rows(page)}
    assert rows["soft"].gain is None and rows["lora"].gain is not None
    assert [arm.name for arm in crossed(page, "pairs")] == ["lora"]
    said = "What soft gained over its base is not known: no arm asks other as zero-shot does."
    assert rows["soft"].without_gain and rows["soft"].without_gain.startswith(said)
    report(folder)
    assert all(said in (folder / name).read_text() for name in ("report.html", "report.md"))
    assert set(ALL_ARMS) == {arm.name for arm in page.arms}


@pytest.mark.parametrize("far", [False, True])
def test_an_arm_that_is_far_off_leaves_the_others_apart_and_the_axis_says_so(far: bool) -> None:
    """On a linear axis two losses of .01 and .04 would stand 1/400 of its width apart beside one of 12."""
    losses = [0.01, 0.04, 12.0 if far else 0.2]
    arms = [Crossed(str(loss), "trained", (loss, None, None), (0.1, None, None)) for loss in losses]
    rows = [FigureRow(label=str(loss), value=loss, low=None, high=None) for loss in losses]
    for svg in (crosses("one", arms, "loss", "gain", 0.05), points("two", rows, "loss", 0.0, 0.1)):
        assert ("logarithmic beyond 0.1" in svg) == far
        # matplotlib draws a lone marker as a use of its shape, at x
        drawn = sorted(
            {float(x) for x in re.findall(r'<use [^>]*x="([\d.]+)"[^>]*style="fill[^>]*stroke: #ffffff', svg)}
        )
        assert drawn[1] - drawn[0] > 0.02 * (drawn[-1] - drawn[0])
