"""profile.json as a type."""

from __future__ import annotations

from pathlib import Path

from luthier.files import write_json
from luthier.results.profile_record import ProfileRecord
from tests.results.made import profiled


def test_a_real_file_is_written_again_byte_for_byte(tmp_path: Path) -> None:
    write_json(tmp_path / "profile.json", profiled())
    before = (tmp_path / "profile.json").read_bytes()
    record = ProfileRecord.read(tmp_path)
    record.write(tmp_path)
    assert (tmp_path / "profile.json").read_bytes() == before
    assert record.budgets.reference_words.n == 5, "a key of two words has a name of one"
    assert record.arms["copy-3"].hit_limit is None and record.arms["lora"].hit_limit.share == 0
