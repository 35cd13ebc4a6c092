"""The probe of a machine: rates that a plan reads again."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from luthier.arms import probe
from luthier.errors import LuthierError
from luthier.files import read_json, write_json
from luthier.planning.devices import Phase, Rates, device, kept_rates, this_machine

TINY = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 32, "vocab_size": 128,
}  # fmt: skip


def test_a_user_without_a_place_for_a_cache_plans_by_stated_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", "~no-such-user-of-this-machine/cache")
    assert kept_rates() is None and this_machine("cpu").source == "stated"


def test_a_probe_is_kept_and_read_by_a_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    monkeypatch.setattr(probe, "COPIED", 2**16)
    monkeypatch.setattr(probe, "WIDTHS", ((16, 32), (32, 64)))
    monkeypatch.setattr(probe, "BLOCKS", probe.BLOCKS | TINY)
    monkeypatch.setattr(probe, "TRAINED", (((9, 3),) * 2, ((5, 2),) * 4))
    monkeypatch.setattr(probe, "ASKED", (6,) * 3)
    assert kept_rates() is None and this_machine("cpu").source == "stated"
    made = probe.probe(seconds=0.0)
    assert Rates.read(tmp_path) == made == kept_rates()
    assert {(one.precision, one.rows) for one in made.products} == {
        (p, r) for p in ("fp32", "bf16") for r in probe.ROWS
    }
    here = device("here")
    assert here.source == "measured" and here.bandwidth == made.bandwidth
    blocks = {(one.precision, one.phase): one for one in made.blocks}
    assert set(blocks) == {(p, phase) for p in ("fp32", "bf16") for phase in get_args(Phase)}
    for (precision, phase), one in blocks.items():
        assert one.planned > 0 and one.measured > 0
        assert here.beside(phase, precision) == max(0.0, one.measured - one.planned) / one.units
    assert blocks["bf16", "writing"].units == probe.NEW * TINY["num_hidden_layers"]
    assert blocks["bf16", "adapted writing"].units == probe.NEW * TINY["num_hidden_layers"] * 7
    sizes = 2 * (16 + 16) + 2 * (16 + 8) + 3 * (16 + 32)  # what goes into a block's layers and comes out, for a token
    assert blocks["bf16", "adapted reading"].units == sum(probe.ASKED) * TINY["num_hidden_layers"] * sizes
    assert blocks["fp32", "adapted reading"].planned <= blocks["fp32", "reading"].measured
    earlier = read_json(tmp_path / Rates.FILE)
    del earlier["blocks"]
    write_json(tmp_path / Rates.FILE, earlier)
    assert device("here").source == "measured" and device("here").beside("training", "bf16") == 0
    write_json(tmp_path / Rates.FILE, earlier | {"blocks": [made.blocks[0].as_json() | {"units": 0}]})
    with pytest.raises(LuthierError, match=r"rates.json.*units.*measure again"):
        kept_rates()
    wide = next(one for one in made.products if (one.precision, one.rows, one.weights) == ("fp32", 1024, 2048))
    assert here.rate("fp32", 3000, 1000) == wide.flops
