"""`luthier plan`: arms in short form, lengths of a task, sharding, and what does not go together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.adapt.methods import METHODS
from luthier.adapt.settings import FORMS
from luthier.arms.planned import Planner, PlanSpec, plan
from luthier.errors import LuthierError, ModelError, SettingsError
from luthier.task.task import load_task
from tests import tiny
from tests.commands import Said


def test_the_forms_are_those_of_the_methods() -> None:
    assert list(FORMS) == list(METHODS)
    for name, form in FORMS.items():
        row = METHODS[name]
        assert (form.asks_model, form.trains) == (row.asks_model, row.trains)
        assert (form.settings, form.dial, form.dial_prefix) == (row.settings, row.dial, row.dial_prefix)


def test_several_arms_of_a_model_that_is_not_here() -> None:
    record = plan(
        "meta-llama/Llama-3.2-3B", arms=("lora-r32+targets=q_proj,v_proj", "zero-shot", "copy"), device="a100"
    )
    lora, zero, copied = record.arms.values()
    assert (lora.trainable, lora.parameters) == (9_175_040, 3_221_924_864)
    assert zero.training is None and zero.answering is not None and copied.peak_bytes == 0
    assert record.precision == "bf16" and record.rates == "stated"


def test_the_lengths_of_a_task_are_used(tiny_folder: Callable[[str], Path]) -> None:
    from luthier.studies.planned import lengths_of as exact

    folder = tiny_folder("decoder-chat")
    planner = Planner(PlanSpec(model=str(folder), task="dialogues", arms=("lora",)))
    found = planner.record().arms["lora"]
    task, model = load_task("dialogues"), tiny.fresh(folder)
    text = task.template(task.spec.prompt.default)
    usable = [one for one in task.train if one.is_usable][:5]
    real = [model.renderer.prompt(one, text, train=True) for one in usable]

    ours = planner.lengths("lora").train[:5]
    assert ours == tuple((len(one.prompt_ids), len(one.target_ids or ())) for one in real)
    assert found.training is not None and exact is not None


@pytest.mark.parametrize(
    "asked, says",
    [
        ({"bits": "5"}, "the key 'bits' is '5'; it should be '32', '16', '8' or '4'"),
        ({"tokens": 0}, "0 is no such number; give one from 1 to 10,000,000 .key 'tokens'"),
        ({"devices": 0}, "0 is no such number; give one from 1 to 10,000,000 .key 'devices'"),
        ({"devices": "2"}, "the key 'devices' is '2'"),
        ({"accounting": "x"}, "the key 'accounting' is 'x'; it should be 'luthier' or 'transformers'"),
        ({"arms": 3}, "the key 'arms' is 3"),
        ({"toknes": 3}, "the key 'toknes' is not known; did you mean 'tokens'"),
        ({"shard": "fsdp"}, "fsdp splits over several devices; give --devices 2 or more"),
        ({"task": "dialogues", "tokens": 5}, "give either --task or --tokens"),
        ({"arms": ("full",), "bits": "4"}, "full does not train on nf4; choose lora, or --bits 16"),
        ({"arms": ("lora+targets=nowhere",)}, "no linear layer is called 'nowhere'"),
        ({"arms": ("loro",)}, "is no method"),
        ({"task": "dialogues"}, "its tokenizer is not on this machine; give --tokens, not --task"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(LuthierError, match=says):
        plan("llama-3.1-8b", **asked)


def test_sharded_full_training_takes_less_on_each_device() -> None:
    on: dict[str, Any] = {"arms": ("full",), "device": "a100", "accounting": "transformers"}
    peaks = {"none": plan("llama-3.2-1b", **on).arms["full"].peak_bytes}
    for shard in ("ddp", "zero1", "zero2", "zero3", "fsdp"):
        peaks[shard] = plan("llama-3.2-1b", **on, devices=8, shard=shard).arms["full"].peak_bytes
    assert peaks["none"] == peaks["ddp"] > peaks["zero1"] >= peaks["zero2"] > peaks["zero3"] == peaks["fsdp"]


def test_narrow_bits_train_an_adapter_on_a_narrow_base() -> None:
    asked: dict[str, Any] = {"arms": ("lora",), "device": "a10g", "tokens": 64, "batch": 1}
    wide, narrow = (plan("llama-2-7b", **asked, bits=bits).arms["lora"] for bits in ("16", "4"))
    assert narrow.trainable == wide.trainable and narrow.peak_bytes < wide.peak_bytes


def test_what_fits_is_found_by_planning_again() -> None:
    planner = Planner(PlanSpec(model="llama-3.1-8b", arms=("lora",), device="a10g"))
    found = planner.fits("lora")
    assert not found.fits and found.changes and found.changes[-1].bytes <= 24e9
    small = Planner(PlanSpec(model="smollm2-135m", arms=("lora",), device="a10g")).fits("lora")
    assert small.fits and small.rows is not None and small.rows > 8


def test_an_unknown_model_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    with pytest.raises(ModelError, match="models of type 'mamba' cannot be planned"):
        plan(str(tmp_path))
    with pytest.raises(SettingsError):
        plan("smollm2-135m", device="abacus")


def test_the_command_prints_a_table_its_terms_and_json(luthier_says: Callable[..., Said]) -> None:
    shown = luthier_says("plan", "--model", "llama-3.2-1b", "--arm", "full", "--device", "a100", "--terms")
    assert shown.code == 0, shown.err
    assert "1,235,814,400" in shown.out and "24 bytes a parameter" in shown.out
    assert "AdamW's two moments of each parameter that trains" in shown.out
    made = luthier_says("plan", "--model", "llama-3.2-1b", "--arm", "lora-r8", "--json")
    assert json.loads(made.out)["arms"]["lora-r8"]["method"] == "lora"
    for words, says in (
        ((), "no model is named"),
        (("--model", "llama-3.2-1b", "--shard", "half"), "plan: --shard is 'half'; it should be 'none'"),
        (
            ("--model", "llama-3.2-1b", "--accounting", "mine"),
            "plan: --accounting is 'mine'; it should be 'luthier' or 'transformers'",
        ),
        (("--errors",), "--errors needs the folders of finished studies"),
    ):
        refused = luthier_says("plan", *words)
        assert refused.code != 0 and says in refused.err
