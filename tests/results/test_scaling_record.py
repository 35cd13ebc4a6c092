"""law.json: what a damaged resample or parameter is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import write_json
from luthier.results.scaling_record import LawRecord
from tests.results.made import LAW

CHANGES = [
    ({"resamples": [[1.0, 2.0]]}, "resamples"),
    ({"resamples": []}, "resamples"),
    ({"parameters": {}}, "parameters.e"),
]


@pytest.mark.parametrize("change, key", CHANGES)
def test_damage_names_its_key(change: dict, key: str, tmp_path: Path) -> None:
    write_json(tmp_path / LawRecord.FILE, LAW | change)
    with pytest.raises(FolderError, match=rf"law\.json: the key '{key}.*; fit the points again"):
        LawRecord.read(tmp_path)
