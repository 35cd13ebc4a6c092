"""An arm's folder as one plain model: merged, written, read back, and asked the probes before it is called good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from luthier.adapt.methods import method
from luthier.arms.merge import merge_arm
from luthier.arms.shipped import load_arm, write_note
from luthier.decoding.settings import Generation
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.model.model import load
from luthier.model.sizes import NARROW
from luthier.model.widths import read
from luthier.results.shipped_note import ShippedNote
from tests import tiny
from tests.promises import CLAIMS, answers, applied

MERGES = [name for name, claim in CLAIMS.items() if claim.merges]


def arm(folder: Path, name: str, place: Path, precision: str = "fp32") -> Path:
    """A finished arm's folder, as a study leaves it."""
    base, module = applied(folder, name, precision)
    tiny.scramble(module.eval())
    method(name).save(module, place / "adapter")
    asked = method(name).load(tiny.fresh(folder, precision), place / "adapter")
    write_note(
        place, asked, method_name=name, shipped="adapter", precision=precision, template=tiny.PLAIN, shots=[],
        generation=Generation(max_new_tokens=8), seed=0, room=8,
        probes=[base.renderer.prompt(example, tiny.PLAIN, room=8) for example in tiny.examples(3)],
    )  # fmt: skip
    return place


@pytest.mark.parametrize("name", MERGES)
def test_a_merged_arm_is_a_plain_model_with_the_same_answers(
    name: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = arm(tiny_folder("decoder-chat"), name, tmp_path / "arm")
    assert merge_arm(place, tmp_path / "out" / "merged")["differ"] == []
    merged = load(str(tmp_path / "out" / "merged"), precision="fp32", device="cpu")
    assert answers(merged) == answers(load_arm(place).model) != answers(tiny.fresh(tiny_folder("decoder-chat")))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["merged"]


def test_an_untied_t5_stays_untied(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = arm(tiny_folder("t5-untied"), "lora", tmp_path / "arm")
    merge_arm(place, tmp_path / "merged")
    merged = load(str(tmp_path / "merged"), precision="fp32", device="cpu")
    module = merged.module
    assert not torch.equal(module.get_output_embeddings().weight, module.get_input_embeddings().weight)


def test_a_merge_that_answers_otherwise_leaves_nothing(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "arm")
    note = ShippedNote.read(place)
    note.probes[1].tokens[0] += 1
    note.sealed().write(place)
    with pytest.raises(ModelError, match="probe 'e1' is answered differently"):
        merge_arm(place, tmp_path / "out" / "merged")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_base_of_bf16_rounds_what_is_merged_into_it_and_says_so(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "lora", "bf16")
    others = merge_arm(place, tmp_path / "free", differ=3)["differ"]
    assert load(str(tmp_path / "free"), precision="bf16", device="cpu").dtype == torch.bfloat16
    assert others, "random weights lie so near each other that the rounding gives other words"
    sentence = f"its base is bf16, which rounds what was learned; allow it with --differ {len(others)}, or study"
    with pytest.raises(ModelError, match=sentence):
        merge_arm(place, tmp_path / "strict", differ=len(others) - 1)


@pytest.mark.parametrize("width", ["bf16", *NARROW])
def test_a_merge_at_a_width_that_was_not_measured_needs_leave(
    width: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    place = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "lora")
    found = merge_arm(place, tmp_path / "free", width, differ=3)
    again = read(tmp_path / "free", width, "fp32")
    assert (found["probes"], found["width"]) == (3, width)
    assert found["file_bytes"] == (tmp_path / "free" / "model.safetensors").stat().st_size
    assert (again.module.get_decoder().layers[0].mlp.up_proj.weight.dtype) != torch.float32
    if others := found["differ"]:
        with pytest.raises(ModelError, match=rf"study it as an arm \(lora@{width}\) .*--differ {len(others)}"):
            merge_arm(place, tmp_path / "strict", width, differ=len(others) - 1)
        assert not (tmp_path / "strict").exists()
    else:
        assert merge_arm(place, tmp_path / "strict", width)["differ"] == []


def test_what_cannot_be_merged_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    soft = arm(tiny_folder("decoder-chat"), "soft", tmp_path / "soft")
    with pytest.raises(SettingsError, match="soft has nothing to merge into the base; these have: tokens, lora, qlora"):
        merge_arm(soft, tmp_path / "merged")
    lora = arm(tiny_folder("decoder-chat"), "lora", tmp_path / "lora")
    with pytest.raises(FolderError, match="there is something already"):
        merge_arm(lora, soft)
