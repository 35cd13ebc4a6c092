"""trial.json: a trial that began has a plan and no results, and a plan without cells is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.results.trial_record import TrialRecord
from tests.results.made import TRIAL, read_back


def test_a_trial_that_began_has_a_plan_alone(tmp_path: Path) -> None:
    begun = read_back(TrialRecord, TRIAL | {"results": [], "means": [], "finished": False})
    begun.write(tmp_path)
    again = TrialRecord.read(tmp_path)
    assert again == begun and not again.finished and again.cells[0].steps == 12


@pytest.mark.parametrize(
    "change, field", [({"cells": []}, "cells"), ({"cells": [TRIAL["cells"][0] | {"budget": "luck"}]}, "cells.0.budget")]  # type: ignore[index]
)  # fmt: skip
def test_no_cell_and_no_such_budget_are_named(change: dict, field: str, tmp_path: Path) -> None:
    (tmp_path / "trial.json").write_text(json.dumps(TRIAL | change))
    with pytest.raises(FolderError, match=f"'{field}'"):
        TrialRecord.read(tmp_path)
