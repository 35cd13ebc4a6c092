"""`luthier plan`: arms in short form, lengths of a task, sharding, and what does not go together."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier import machine
from luthier.adapt.method import Tuning
from luthier.adapt.methods import METHODS
from luthier.adapt.settings import FORMS
from luthier.arms import probe
from luthier.arms.planned import Planner, PlanSpec, plan
from luthier.arms.short_form import setting_tables
from luthier.errors import LuthierError, ModelError, SettingsError
from luthier.model.sizes import WIDTHS
from luthier.planning.devices import Rates, processor
from luthier.planning.learned import Sort, lesson
from luthier.planning.lessons import basis_of, learn
from luthier.task.task import load_task
from tests import tiny
from tests.commands import Said


def test_the_forms_are_those_of_the_methods() -> None:
    assert list(FORMS) == list(METHODS)
    for name, form in FORMS.items():
        row = METHODS[name]
        assert (form.asks_model, form.trains) == (row.asks_model, row.trains)
        assert (form.settings, form.dial, form.dial_prefix) == (row.settings, row.dial, row.dial_prefix)
        if isinstance(row, Tuning):
            assert ("encoder" in form.families) == (row.on_encoder is not None)
            assert form.whole == (row.merge is not None or row.shipped == "weights")


def test_several_arms_of_a_model_that_is_not_here() -> None:
    record = plan(
        "meta-llama/Llama-3.2-3B", arms=("lora-r32+targets=q_proj,v_proj", "zero-shot", "copy"), device="a100"
    )
    lora, zero, copied = record.arms.values()
    assert (lora.trainable, lora.parameters) == (9_175_040, 3_221_924_864)
    assert zero.training is None and zero.answering is not None and copied.peak_bytes == 0
    assert record.precision == "bf16" and record.rates == "stated"


def test_remedies_take_memory_and_time() -> None:
    """A second base, the start of what trains, and general rows; also where it is asked what fits."""
    arms = ("full", "full+kl=0.1+anchor=0.1", "full+replay=0.5")
    planner = Planner(PlanSpec(model="meta-llama/Llama-3.2-3B", arms=arms, device="a100"))
    plain, both, replay = (one.training for one in planner.record().arms.values())
    more = {term.name: term.bytes for term in both.terms}
    size = planner.shape.parameters
    assert (more["base for kl"], more["start of what trains"]) == (2 * size, 8 * size)
    assert both.flops > plain.flops and replay.flops > 1.5 * plain.flops and replay.peak_bytes == plain.peak_bytes
    assert planner.fits(arms[1]).bytes >= planner.fits(arms[0]).bytes + 10 * size


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


WIDTHS_TRIED = (None, *WIDTHS, "int3", "INT8", "8", "")
VALUES = (
    "-1", "0", "1", "3", "0.5", "1e300", "99999999999999999999", "nan", "true", "null", "[1]", "{}", '"', "x", "q_proj",
    "all-linear", "last", "norms", "special", "text", "a,b", ",", " ", "\ud800", "é" * 300,
)  # fmt: skip


def nonsense(dice: random.Random) -> str:
    """An arm's short form: a method, and around it parts that may or may not belong to it."""
    method = dice.choice(list(FORMS))
    parts = [method]
    if dice.random() < 0.3:
        parts.append("-" + FORMS[method].dial_prefix + dice.choice(("0", "1", "8", "99", "100000", "r", "")))
    if dice.random() < 0.2:
        parts.append(":" + dice.choice(("bare", "question", "nowhere", "")))
    if dice.random() < 0.3:
        parts.append("@" + (dice.choice(WIDTHS_TRIED) or ""))
    keys = [*setting_tables(method), "model", "answer", "nothing"]
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        parts.append(f"+{dice.choice(keys)}={dice.choice(VALUES)}")
    return "".join(parts)


def answers_or_says(planner: Planner, arm: str) -> bool:
    """Whether an arm is planned, with what fits. If not, it is refused in one sentence."""
    try:
        planned = planner.arm_plan(arm)
        if planned.phases:
            assert planner.fits(arm).bytes > 0
    except LuthierError as error:
        assert len(str(error)) > 20 and "\n" not in str(error)
        return False
    return True


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-untied", "bert"])
def test_every_method_at_every_width_is_planned_or_refused(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """What is refused is what a study refuses: a method that does not fit the family, or has no weights to narrow."""
    family = {"decoder-chat": "decoder", "t5-untied": "encoder-decoder", "bert": "encoder"}[kind]
    planner = Planner(PlanSpec(model=str(tiny_folder(kind)), tokens=40))
    for name, form in FORMS.items():
        for width in WIDTHS_TRIED:
            own = "width" in form.settings.model_fields  # of the method, on which it trains
            fits = not form.asks_model or family in form.families
            if width and own:
                fits = fits and width in ("nf4", "int8", "int4") if name == "qlora" else False
            elif width:
                fits = fits and form.whole and width in WIDTHS and family != "encoder"
            if (kind, name) in (("decoder-chat", "bitfit"), ("t5-untied", "bitfit"), ("t5-untied", "tokens")):
                fits = False  # no biases, and an output matrix of its own
            assert answers_or_says(planner, name + (f"@{width}" if width else "")) == fits, (name, width)


@pytest.mark.parametrize("accounting", ["luthier", "transformers"])
@pytest.mark.parametrize("kind", ["decoder-chat", "t5-untied", "bert"])
def test_any_arm_is_planned_or_refused(kind: str, accounting: str, tiny_folder: Callable[[str], Path]) -> None:
    dice = random.Random(f"{kind} {accounting}")
    asked = {"model": str(tiny_folder(kind)), "tokens": 40, "accounting": accounting, "memory": 2.0}
    planner = Planner(PlanSpec.model_validate(asked))
    planned = [answers_or_says(planner, nonsense(dice)) for _ in range(150)]
    assert 10 < sum(planned) < 140


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
        ({"arms": ("zero-shot+model=minilm",)}, "it is an arm of minilm, and this plan is of llama-3.1-8b"),
        ({"arms": ("lora@int3",)}, "the width 'int3' is not known; there are: bf16, fp16, int8, int4, nf4"),
        ({"arms": ("soft@int8",)}, "soft leaves no whole weights to make int8"),
        ({"arms": ("head",)}, "head cannot be an arm of llama-3.1-8b, a decoder; there are: bare,"),
        ({"arms": ("lora", "full", "lora")}, "the arm 'lora' is named twice; name it once .key 'arms'"),
        ({"arms": ()}, "no arm is named; leave arms out, or name one .key 'arms'"),
        ({"arms": ("tokens",)}, "the special tokens of llama-3.1-8b are not known"),
        ({"devices": 2}, "luthier's own loop runs on one device; add --accounting transformers"),
        ({"devices": 2, "shard": "fsdp"}, "luthier's own loop runs on one device; add --accounting transformers"),
        ({"arms": ("lora+max_new_tokens=x",)}, "the key 'max_new_tokens' is 'x'"),
        ({"task": "dialogues"}, "its tokenizer is not on this machine; give --tokens, not --task"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(LuthierError, match=says):
        plan("llama-3.1-8b", **asked)


def test_an_encoder_is_not_planned_for_a_task_of_texts(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(LuthierError, match="is an encoder, which writes no text; choose a model that does"):
        plan(str(tiny_folder("bert")), arms=("head",), task="dialogues")
    assert plan(str(tiny_folder("bert")), arms=("head",), task="dialogues:mood").arms["head"].training is not None


def test_sharded_full_training_takes_less_on_each_device() -> None:
    on: dict[str, Any] = {"arms": ("full",), "device": "a100", "accounting": "transformers"}
    peaks = {"none": plan("llama-3.2-1b", **on).arms["full"].peak_bytes}
    for shard in ("ddp", "zero1", "zero2", "zero3", "fsdp"):
        peaks[shard] = plan("llama-3.2-1b", **on, devices=8, shard=shard).arms["full"].peak_bytes
    assert peaks["ddp"] > peaks["none"] > peaks["zero1"] >= peaks["zero2"] > peaks["zero3"] == peaks["fsdp"]


def test_the_width_that_an_arm_names_stays_whatever_bits_are_asked() -> None:
    def weights(arm: str, **asked: Any) -> int:
        planned = plan("llama-2-7b", arms=(arm,), tokens=64, device="a100", **asked).arms[arm].training
        assert planned is not None
        return next(term.bytes for term in planned.terms if term.name == "weights")

    for arm in ("qlora@int4", "qlora+width=int4"):
        assert weights(arm, bits="8") == weights(arm, bits="4") == weights(arm)
    assert weights("qlora", bits="8") == weights("qlora@int8", bits="4") > weights("qlora")


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


def test_an_arm_that_fits_while_it_trains_and_not_while_it_answers_says_so(luthier_says: Callable[..., Said]) -> None:
    asked: dict[str, Any] = {"model": "smollm2-135m", "arms": ("lora",), "device": "a10g", "answer": 200_000}
    planned, found = plan(**asked).arms["lora"], Planner(PlanSpec(**asked)).fits("lora")
    assert planned.answering is not None and found.answering == planned.answering.peak_bytes > found.memory
    assert found.fits and not found.answers and Planner(PlanSpec(**asked, memory=24)).fits("lora").answers
    typed = ("plan", "--model", "smollm2-135m", "--device", "a10g", "--answer", "200000")
    said = " ".join(luthier_says(*typed).out.split())
    assert "lora in training: fits into 24.00 GB" in said and "lora: answering takes " in said
    assert "lora: fits into 24.00 GB" in " ".join(luthier_says(*typed, "--memory", "24").out.split())


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
    ):
        refused = luthier_says("plan", *words)
        assert refused.code != 0 and says in refused.err


def test_what_was_learned_is_shown_and_forgotten(
    luthier_says: Callable[..., Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path))
    asked = ("plan", "--model", "smollm2-135m", "--arm", "zero-shot")
    before = json.loads(luthier_says(*asked, "--json").out)
    assert "0 phases of finished arms taught" in luthier_says("plan", "--errors").out
    device = processor()
    sort = Sort("answering", "fp32", "decoder", "prompting", before["arms"]["zero-shot"]["parameters"])
    (made, other) = (lesson(basis, sort, 10.0, 15.0) for basis in (basis_of(device), "another"))
    assert made is not None and other is not None
    learn([made, made, other])
    after = json.loads(luthier_says(*asked, "--json").out)["arms"]["zero-shot"]["answering"]
    plain = before["arms"]["zero-shot"]["answering"]
    assert after["taught"]["by_rates"] == plain["seconds"] and after["taught"]["arms"] == 2
    assert after["seconds"] == pytest.approx(plain["seconds"] * after["taught"]["factor"], abs=0.01)
    assert after["terms"] == plain["terms"] and after["flops"] == plain["flops"] and "taught" not in plain
    said = " ".join(luthier_says(*asked, "--terms").out.split())
    assert "zero-shot: time by stated rates, times 1." in said and "from 2 earlier arms on this machine" in said
    assert "answering by rates" in said and "learned" in said and "for 95 of 100 arms" in said
    shown = luthier_says("plan", "--errors")
    assert "prompts alone" in shown.out and "1 more are of other rates" in " ".join(shown.out.split())
    (row,) = json.loads(luthier_says("plan", "--errors", "--json").out)["learned"]
    assert (row["phase"], row["kind"], row["arms"], row["factor"]) == (
        "answering", "prompting", 2, after["taught"]["factor"],
    )  # fmt: skip
    assert "Forgotten" in luthier_says("plan", "--forget").out
    assert "Nothing was learned yet" in luthier_says("plan", "--forget").out
    assert json.loads(luthier_says(*asked, "--json").out) == before


def test_a_probe_that_others_disturbed_says_so(
    luthier_says: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = Rates(format=1, processor="p", threads=1, device="cpu", bandwidth=1e9, products=[])
    monkeypatch.setattr(probe, "probe", lambda: rates)
    monkeypatch.setattr(machine, "disturbed", lambda *_: None)
    assert luthier_says("plan", "--probe").err == ""
    monkeypatch.setattr(machine, "disturbed", lambda *_: "others used 1.5 of the processors meanwhile")
    said = luthier_says("plan", "--probe")
    assert said.code == 0 and "so these rates may be too low; measure again on a quiet machine" in " ".join(
        said.err.split()
    )


def test_the_documentation_s_sums_are_those_of_the_code() -> None:
    """The last row of the table of one billion parameters, and the peaks on eight devices."""
    text = (Path(__file__).parents[2] / "docs" / "planning.md").read_text(encoding="utf-8")

    def peak(arm: str, bits: str, **asked: Any) -> str:
        planned = plan("llama-3.2-1b", arms=(arm,), tokens=512, bits=bits, device="a100", **asked).arms[arm]
        return f"{planned.phases['training'].peak_bytes / 1e9:.2f}"

    trainer: dict[str, Any] = {"accounting": "transformers"}
    cells = [peak("full", "32", **trainer), peak("full", "16", **trainer), peak("lora", "16", **trainer)]
    cells += [peak("lora", "4", **trainer), peak("lora", "16")]
    assert f"| together | {24 * 1_235_814_400 / 1e9:.2f} | {' | '.join(cells)} |" in text
    split = {shard: peak("full", "32", devices=8, shard=shard, **trainer) for shard in ("ddp", "zero2", "fsdp")}
    assert f"DDP {split['ddp']}, ZeRO 1 and 2 {split['zero2']}, ZeRO 3 and FSDP {split['fsdp']}" in text
