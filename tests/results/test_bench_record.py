"""bench.json: read as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.results.bench_record import Bench, BenchMean, BenchPair


def test_what_was_written_is_read_and_damage_is_one_sentence(tmp_path: Path) -> None:
    mean = BenchMean(mean=0.5, low=0.4, high=0.6, n=100, harness=0.5)
    pair = BenchPair(
        task="t", metric="acc", a="x", b="y", difference=0.1, low=0.0, high=0.2, n=100, verdict="cannot tell"
    )
    record = Bench(
        format=1, command="luthier bench x", versions={}, level=0.95, margin=0.02, limit=None, chat=False,
        few_shot=None, models={"x": "1", "y": "2"}, tasks={"t": {"x": {"acc": mean}, "y": {"acc": mean}}},
        higher_is_better={"t": {"acc": True}}, pairs=(pair,), notes=(),
    )  # fmt: skip
    record.write(tmp_path)
    assert Bench.read(tmp_path) == record
    (tmp_path / "bench.json").write_text('{"format": true}')
    with pytest.raises(FolderError, match="format"):
        Bench.read(tmp_path)
