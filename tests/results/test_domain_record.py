"""domain.json: what was written is read again, and a figure that is none is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.errors import FolderError
from luthier.files import write_json
from luthier.results.cost import ArmCost
from luthier.results.domain_record import DomainRecord
from tests.results.made import DOMAIN


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_json(DomainRecord.path_in(tmp_path), DOMAIN)
    record = DomainRecord.read(tmp_path)
    assert record.inside.after.high is None and record.outside.difference.value == -0.5
    before = DomainRecord.path_in(tmp_path).read_bytes()
    record.write(tmp_path)
    assert DomainRecord.path_in(tmp_path).read_bytes() == before


@pytest.mark.parametrize(
    "damage, says",
    [
        ({"measure": "nats"}, "'measure' is 'nats'"),
        ({"counts": {}}, "'counts.trainable' is missing"),
        ({"format": 2}, "update luthier"),
    ],
)
def test_what_is_no_such_record_is_a_sentence(damage: dict[str, object], says: str, tmp_path: Path) -> None:
    write_json(DomainRecord.path_in(tmp_path), DOMAIN | damage)
    with pytest.raises(FolderError, match=says):
        DomainRecord.read(tmp_path)


def test_its_minutes_stand_at_the_arm_that_ran_first() -> None:
    assert ArmCost().with_more({"domain_seconds": 90.0, "domain_read_seconds": 30.0}).domain_minutes == 1.5
    assert ArmCost(train_seconds=3.0).domain_minutes is None
