"""Widths hold what their names say: weights are weighed, nothing wide stands behind them, and a file is the model."""

from __future__ import annotations

import gc
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from luthier.adapt.methods import METHODS
from luthier.arms.resolve import resolve
from luthier.arms.shipped import load_arm, verify
from luthier.arms.short_form import parse
from luthier.arms.usual import ALL
from luthier.errors import ModelError, SettingsError
from luthier.model import widths
from luthier.model.model import Model, load
from luthier.model.narrow import Int4Linear
from luthier.model.sizes import NARROW, WIDTHS
from luthier.model.widths import is_narrow, quantize, read, rounded, save, tensors, weigh
from luthier.reports.evidence import width_rows
from luthier.reports.read import read_study
from luthier.task.task import load_task
from tests import tiny
from tests.promises import answers, losses

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "widths.md").read_text(encoding="utf-8")
RATIOS = {name: float(ratio) for name, ratio in re.findall(r"^\| `(\w+)` \| \w+ \| ([\d.]+) \|", PAGE, re.MULTILINE)}
SAVED = [(name, "decoder-chat") for name in WIDTHS] + [
    (name, kind) for name in NARROW for kind in ("gpt2", "t5-untied")
]


def wide_model(folder: Path) -> Model:
    """A Llama whose layers are wide enough that scales weigh as little beside their numbers as in a real one."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=380, hidden_size=512, intermediate_size=768, num_hidden_layers=1, num_attention_heads=8,
        num_key_value_heads=4, tie_word_embeddings=True,
    )  # fmt: skip
    return tiny.fresh(folder).adapted(LlamaForCausalLM(config).eval())


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="this system does not say which files are mapped")
@pytest.mark.parametrize("name", NARROW)
def test_narrow_weights_let_go_of_the_file(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """In the precision of its file a model's weights are parts of the mapped file, which one of them would keep."""
    file = shutil.copytree(tiny_folder("decoder-chat"), tmp_path / "base") / "model.safetensors"
    model = load(str(file.parent), precision="fp32")
    before = next(model.module.parameters()).detach().clone()
    assert str(file) in Path("/proc/self/maps").read_text()
    model = quantize(model, name)
    gc.collect()
    assert str(file) not in Path("/proc/self/maps").read_text()
    assert torch.equal(next(model.module.parameters()), before)  # the embedding, which stays wide


@pytest.mark.parametrize("name", NARROW)
def test_nothing_wide_stands_behind_narrow_weights(name: str, tiny_folder: Callable[[str], Path]) -> None:
    """All storages behind the linear layers together, after answers and gradients have gone through them."""
    model = quantize(wide_model(tiny_folder("decoder-chat")), name)
    answers(model)
    embedded = model.module.get_input_embeddings()(torch.tensor([[5, 6, 7]])).detach().requires_grad_()
    model.module(inputs_embeds=embedded).logits.sum().backward()
    assert embedded.grad is not None and float(embedded.grad.abs().sum()) > 0
    layers = [layer for layer in model.module.modules() if is_narrow(layer)]
    assert len(layers) == 7
    behind = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for x in layers for t in tensors(x)}
    bf16_bytes = 2 * sum(layer.in_features * layer.out_features for layer in layers)
    assert sum(behind.values()) <= WIDTHS[name].most * bf16_bytes
    assert weigh(model.module).linear_bytes == sum(behind.values())
    assert weigh(model.module).linear_weights * 2 == bf16_bytes
    most = max(layer.in_features * layer.out_features for layer in layers)
    assert all(not t.is_floating_point() or t.numel() <= most // 32 for x in layers for t in tensors(x))


def test_the_scales_see_wide_weights_wherever_they_hide(tiny_folder: Callable[[str], Path]) -> None:
    """The test above can fail: a copy in an attribute, a list or a dictionary is found, and counted once."""
    model = quantize(wide_model(tiny_folder("decoder-chat")), "int4")
    before, layer = weigh(model.module).linear_bytes, model.module.get_decoder().layers[0].mlp.up_proj
    copy = torch.zeros(768, 512, dtype=torch.bfloat16)
    layer.hidden, layer.cache = [{"weights": copy}], copy[:1]
    assert weigh(model.module).linear_bytes == before + 2 * 768 * 512
    assert weigh(model.module).linear_ratio > WIDTHS["int4"].most


def test_the_whole_model_is_weighed_with_its_embedding_named(tiny_folder: Callable[[str], Path]) -> None:
    for name in WIDTHS:
        found = weigh(quantize(wide_model(tiny_folder("decoder-chat")), name).module)
        assert found.embedding == ("fp32" if WIDTHS[name].narrow else name)
        assert found.weights == weigh(wide_model(tiny_folder("decoder-chat")).module).weights
        wide = found.weights - found.linear_weights
        apart = found.bytes - found.linear_bytes - wide * (4 if WIDTHS[name].narrow else 2)
        assert 0 <= apart < 1000  # what positions are computed from


@pytest.mark.parametrize("name, kind", SAVED)
def test_a_saved_model_is_the_same_model(
    name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    made = quantize(tiny.fresh(tiny_folder(kind)), name)
    save(made, tmp_path / "m")
    again = read(tmp_path / "m", name, "fp32")
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert sum(map(is_narrow, again.module.modules())) == sum(map(is_narrow, made.module.modules()))
    assert answers(again) == answers(made)
    torch.testing.assert_close(losses(again.module, again), losses(made.module, made))


ASK = """
import json, sys
from pathlib import Path
from luthier.model.widths import read
from tests.promises import answers
for name, folder in json.load(sys.stdin):
    print(json.dumps(answers(read(Path(folder), name, "fp32"))))
"""


@pytest.mark.slow
def test_a_new_process_gives_the_same_answers(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    rows, expected = [], []
    for name in NARROW:
        made = quantize(tiny.fresh(tiny_folder("decoder-chat")), name)
        save(made, tmp_path / name)
        rows.append([name, str(tmp_path / name)])
        expected.append({key: list(tokens) for key, tokens in answers(made).items()})
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=json.dumps(rows), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected, done.stderr


@pytest.mark.parametrize("kind", ("decoder-chat", "gpt2"))
@pytest.mark.parametrize("name", NARROW)
def test_rounded_weights_are_those_that_narrow_ones_stand_for(
    name: str, kind: str, tiny_folder: Callable[[str], Path]
) -> None:
    plain, narrow = rounded(tiny.fresh(tiny_folder(kind)), name), quantize(tiny.fresh(tiny_folder(kind)), name)
    said, whole = losses(narrow.module, narrow), tiny.fresh(tiny_folder(kind))
    # int8 rounds its input too
    torch.testing.assert_close(losses(plain.module, plain), said, rtol=0.05 if name == "int8" else 1e-4, atol=1e-3)
    assert not torch.equal(losses(whole.module, whole), losses(plain.module, plain))


def test_int4_is_what_it_says() -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 64)
    layer = Int4Linear(64, 6).fill(weight.clone())
    assert (layer.weight.shape, layer.scale.shape) == ((6, 32), (6, 2))
    plain, step = layer.dequantized(torch.float32), layer.scale.float().abs().repeat_interleave(32, 1)
    # Within half a step; the largest number of the other sign has no 8 and is up to a whole one away.
    assert float(((plain - weight).abs() / step).max()) <= 1.01
    assert float(((plain - weight).abs() / step).median()) <= 0.5
    largest = weight.view(6, 2, 32).abs().argmax(-1, keepdim=True)
    kept = plain.view(6, 2, 32).gather(-1, largest)
    torch.testing.assert_close(kept, weight.view(6, 2, 32).gather(-1, largest), rtol=1e-3, atol=1e-4)
    assert torch.equal(Int4Linear(64, 2).fill(torch.zeros(2, 64)).dequantized(torch.float32), torch.zeros(2, 64))
    with pytest.raises(ModelError, match="an odd number"):
        Int4Linear(63, 6)


@pytest.mark.parametrize("rows", (1, 300))
def test_int8_answers_nearly_as_bitsandbytes_does(rows: int) -> None:
    torch.manual_seed(0)
    plain = nn.Linear(64, 48)
    ours = widths._int8(plain.weight.data.clone(), plain.bias)
    theirs = widths._int8(plain.weight.data.clone(), plain.bias)
    theirs.__class__ = type(theirs).__mro__[1]
    x = torch.randn(2, rows, 64)
    with torch.inference_mode():
        assert type(theirs).forward is not type(ours).forward
        torch.testing.assert_close(ours(x), theirs(x), rtol=0, atol=0.02)
        torch.testing.assert_close(ours(x), plain(x), rtol=0, atol=0.06)
        assert torch.equal(ours(x)[1, :1], ours(x[1, :1]))  # a row reads the same whatever is beside it


def test_an_nf4_adapter_still_learns_after_it_was_asked(tiny_folder: Callable[[str], Path]) -> None:
    """bitsandbytes re-packs weights at the first answer, for a product that no gradient goes through."""
    model = quantize(tiny.fresh(tiny_folder("decoder-chat")), "nf4")
    gradients = []
    for _ in range(2):
        embedded = model.module.get_input_embeddings()(torch.tensor([[5, 6, 7]])).detach().requires_grad_()
        model.module.train()(inputs_embeds=embedded).logits.square().sum().backward()
        gradients.append(embedded.grad)
        model.module.eval()
        answers(model)
    assert torch.equal(*gradients) and float(gradients[0].abs().max()) > 0


# --- arms ---------------------------------------------------------------------------------------------------------


def test_trained_on_and_quantized_after_are_named_apart() -> None:
    task = load_task("dialogues")
    after, on = (resolve(name, parse(name), task) for name in ("lora-r8:question@int4", "qlora-r8@int4"))
    assert (after.method.name, after.width, after.settings.rank, after.template) == ("lora", "int4", 8, "question")
    assert (on.method.name, on.width, on.settings.width) == ("qlora", None, "int4")
    assert resolve("qlora", parse("qlora"), task).settings.width == "nf4"
    assert resolve("a", parse("zero-shot@int8+temperature=0.7"), task).width == "int8"


@pytest.mark.parametrize(
    "arm, says",
    [
        ("lora@int3", "the width 'int3' is not known; there are: bf16, fp16, int8, int4, nf4"),
        ("soft@int8", "soft leaves no whole weights to make int8; these do: prompting, full, "),
        ("copy@int8", "copy leaves no whole weights"),
        ("qlora@bf16", "'nf4', 'int4' or 'int8'"),
    ],
)
def test_a_width_that_cannot_be_is_a_sentence(arm: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        resolve(arm, parse(arm), load_task("dialogues"))


def test_every_arm_of_all_is_an_arm() -> None:
    task = load_task("dialogues")
    every = [resolve(name, parse(name), task) for name in ALL]
    assert {arm.method.name for arm in every} == {n for n, row in METHODS.items() if not row.labels} - {"bitfit"}
    assert {arm.width for arm in every} == {None, *NARROW}
    assert len(set(ALL)) == len(ALL)


def test_the_arms_of_the_page_are_arms_and_its_table_keeps_what_is_promised() -> None:
    named = PAGE[PAGE.index("## Naming") : PAGE.index("## What it takes")]
    arms = re.findall(r"`([\w:-]+(?:@\w+)?)`", "".join(re.findall(r"^\| `.*? \|", named, flags=re.MULTILINE)))
    assert len(arms) == 6
    for arm in [*arms, *re.findall(r"--arms (\S+)", named)[0].split(",")]:
        resolve(arm, parse(arm), load_task("dialogues"))
    assert {name for name, ratio in RATIOS.items() if ratio <= WIDTHS[name].most} == set(WIDTHS)


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_the_page_has_the_ratios_of_the_real_model(name: str, smollm2: str) -> None:
    assert weigh(quantize(load(smollm2, precision="fp32"), name).module).linear_ratio == pytest.approx(
        RATIOS[name], abs=0.001
    )


def test_a_missing_library_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(SettingsError, match=r"not installed; run: pip install 'luthier\[widths\]', or choose int4"):
        resolve("lora@int8", parse("lora@int8"), load_task("dialogues"))
    assert resolve("lora@int4", parse("lora@int4"), load_task("dialogues")).width == "int4"


def test_a_narrow_model_is_not_made_narrow_again(tiny_folder: Callable[[str], Path]) -> None:
    model: Any = quantize(tiny.fresh(tiny_folder("gpt2")), "int4")
    with pytest.raises(ModelError, match="narrow already"):
        quantize(replace(model), "int8")


# --- a study ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def study_folder(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    import luthier

    arms = "zero-shot,zero-shot@int8,lora+epochs=0.1,lora@int4+epochs=0.1,qlora+epochs=0.1"
    return luthier.study(
        "dialogues", model=str(tiny_folder("decoder-chat")), arms=arms, train=16, dev=2, test=12,
        out=tmp_path_factory.mktemp("widths") / "study", precision="fp32",
    )  # fmt: skip


def about(folder: Path, arm: str) -> dict[str, Any]:
    return json.loads((folder / "arms" / arm / "arm.json").read_text())


@pytest.mark.slow
def test_an_arm_with_a_width_ships_what_was_measured(study_folder: Path) -> None:
    for arm in ("zero-shot@int8", "lora@int4+epochs=0.1", "qlora+epochs=0.1"):
        shipped = load_arm(study_folder / "arms" / arm)
        assert len(shipped.probes) == 2
        verify(shipped)
    quantized = study_folder / "arms" / "lora@int4+epochs=0.1" / "quantized"
    weight = about(study_folder, "lora@int4+epochs=0.1")["counts"]["weight"]
    assert weight["file_bytes"] == (quantized / "model.safetensors").stat().st_size
    assert (weight["width"], weight["embedding"]) == ("int4", "fp32") and weight["linear_ratio"] < 0.29
    note = json.loads((quantized.parent / "luthier.json").read_text())
    assert (note["width"], note["weights"], str(quantized) in json.dumps(note)) == ("int4", "quantized", False)


@pytest.mark.slow
def test_weights_that_were_changed_are_refused(study_folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(study_folder / "arms" / "zero-shot@int8", tmp_path / "arm")
    other = study_folder / "arms" / "lora@int4+epochs=0.1" / "quantized"
    shutil.copytree(other, place / "quantized", dirs_exist_ok=True)
    with pytest.raises(ModelError, match=r"quantized/config\.json: is not the file that was measured"):
        load_arm(place)


@pytest.mark.slow
def test_what_is_quantized_after_is_trained_once(study_folder: Path) -> None:
    whole, narrow = about(study_folder, "lora+epochs=0.1"), about(study_folder, "lora@int4+epochs=0.1")
    assert narrow["counts"]["best_dev"] == whole["counts"]["best_dev"]
    cost = json.loads((study_folder / "cost.json").read_text())["arms"]
    assert "train_seconds" not in cost["lora@int4+epochs=0.1"] and cost["qlora+epochs=0.1"]["train_seconds"] > 0
    assert cost["zero-shot@int8"]["answer_peak_bytes"] > 0


@pytest.mark.slow
def test_the_report_holds_each_narrow_arm_against_its_whole_twin(study_folder: Path) -> None:
    rows = {row.arm.name: row for row in width_rows(read_study(study_folder))}
    assert [rows[arm].whole_arm for arm in ("zero-shot@int8", "lora@int4+epochs=0.1", "qlora+epochs=0.1")] == [
        "zero-shot", "lora+epochs=0.1", "lora+epochs=0.1",
    ]  # fmt: skip
    compared = json.loads((study_folder / "compare.json").read_text())
    means = {arm: row[compared["deciding"]]["mean"] for arm, row in compared["arms"].items()}
    for arm, row in rows.items():
        if row.whole_arm:
            assert row.lost.difference == pytest.approx(means[arm] - means[row.whole_arm], abs=1e-6)
            assert row.lost.low <= row.lost.difference <= row.lost.high
    for page in ("report.md", "report.html"):
        text = (study_folder / page).read_text(encoding="utf-8")
        assert "quantized after training" in text and "trained on nf4" in text
