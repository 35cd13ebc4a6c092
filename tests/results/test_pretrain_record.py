"""pretrain.json: a record that is not finished is shorter, and says so."""

from __future__ import annotations

from pathlib import Path

from luthier.results.pretrain_record import PretrainRecord
from tests.results.made import PRETRAINED, read_back

RESULTS = ("tokens", "supervised", "loss", "held_out", "elsewhere", "samples", "weights_sha256", "shared_steps")


def test_a_training_that_began_has_no_results(tmp_path: Path) -> None:
    begun = {key: value for key, value in PRETRAINED.items() if key not in RESULTS} | {"finished": False}
    record = read_back(PretrainRecord, begun)
    record.write(tmp_path)
    again = PretrainRecord.read(tmp_path)
    assert again == record and not again.finished and again.held_out is None
    assert "held_out" not in again.as_json()
