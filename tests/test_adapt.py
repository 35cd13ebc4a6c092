"""Every trained method keeps the same promises on every family: one table of methods x promises.

What moves is what was named, counts equal the formula, what is saved is what was measured, and peft reads it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn

from luthier.adapt import METHODS, method
from luthier.adapt.prompting import Copy, copy_answer
from luthier.batches import Batches
from luthier.errors import ModelError, SettingsError
from luthier.generate import Request, fold, generate
from luthier.loop import train
from luthier.loss import collate, supervised_loss
from luthier.model import Model, parameter_counts
from luthier.records import Example
from tests import tiny

ROOT = Path(__file__).parents[1]
TRAINED = [name for name, row in METHODS.items() if row.trains]
PROMPTED = [name for name, row in METHODS.items() if not row.trains]
SETTINGS: dict[str, dict[str, Any]] = {"full": {}, "lora": {"rank": 4}, "soft": {"tokens": 5}}
KINDS = ("decoder-chat", "t5-tied", "t5-untied", "bart")
WIDTH = 32  # of every tiny model


def applied(folder: Path, name: str, precision: str = "fp32", **settings: Any) -> tuple[Model, nn.Module]:
    model = tiny.fresh(folder, precision)
    chosen = method(name).settings(**{**SETTINGS[name], **settings})
    return model, method(name).apply(model, chosen, 0)


def requests_of(model: Model) -> list[Request]:
    prompts = [model.renderer.prompt(example, tiny.PLAIN, room=8) for example in tiny.examples(4)]
    return [Request(p.id, p.prompt_ids, 8) for p in prompts]


def answers(model: Model) -> dict[str, tuple[int, ...]]:
    return {answer.id: answer.tokens for answer in fold(generate(model, requests_of(model)), model.tokenizer)}


def trained(folder: Path, name: str, out: Path, precision: str = "fp32") -> tuple[Model, nn.Module]:
    """After a few large steps of the real loop."""
    model, module = applied(folder, name, precision)
    training = method(name).training
    assert training is not None
    training = training.model_copy(update={"learning_rate": 0.05, "batch_size": 4, "epochs": 3.0})

    def step(prompts: Any) -> tuple[torch.Tensor, int, int]:
        batch = collate(prompts, module, model.family)
        loss, count = supervised_loss(module, batch)
        return loss, count, batch.tokens

    prompts = tiny.train_prompts(model, 8)
    batches = Batches(prompts, batch_size=4, micro_tokens=2000, epochs=3, seed=0)
    train(module, step, batches, training, out)
    return model, module


def test_the_table_names_every_trained_method() -> None:
    assert set(TRAINED) == set(SETTINGS)
    with pytest.raises(SettingsError, match="'adapters' is no method; the methods are: copy, bare"):
        method("adapters")


# --- what moves ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRAINED)
def test_only_what_is_named_moves_and_it_moves_the_answers(
    name: str, kind: str, precision: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    before = tiny.fresh(tiny_folder(kind), precision)
    start = tiny.weights(applied(tiny_folder(kind), name, precision)[1])
    model, module = trained(tiny_folder(kind), name, tmp_path, precision)
    named = {n for n, p in module.named_parameters() if p.requires_grad}
    word = {"full": "", "lora": "lora_", "soft": "prompt_encoder"}[name]
    assert named == {n for n in start if word in n} and named
    after = tiny.weights(module)
    moved = {n for n in after if not torch.equal(after[n], start[n])}
    assert moved == named
    assert all(after[n].dtype == torch.float32 for n in named)
    asked = method(name).answering(model, module)
    assert answers(asked) != answers(before)
    assert asked.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


@pytest.mark.parametrize("kind", KINDS)
def test_lora_starts_as_the_identity(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model, module = applied(tiny_folder(kind), "lora")
    base = tiny.fresh(tiny_folder(kind))
    with torch.no_grad():
        for prompt in tiny.train_prompts(model, 3):
            mine, plain = (tiny.reference_loss(m, prompt, model.family) for m in (module.eval(), base.module))
            assert torch.equal(mine, plain)
            tiny.scramble(module)
            assert not torch.equal(tiny.reference_loss(module, prompt, model.family), plain)
            for name, parameter in module.named_parameters():
                if "lora_B" in name:
                    parameter.zero_()


@pytest.mark.parametrize("name", TRAINED)
def test_the_start_is_the_seeds(name: str, tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("decoder-chat")
    starts = [
        tiny.weights(method(name).apply(tiny.fresh(folder), method(name).settings(**SETTINGS[name]), seed))
        for seed in (0, 0, 1)
    ]
    same = [all(torch.equal(w, other[n]) for n, w in starts[0].items()) for other in starts[1:]]
    assert same == [True, name == "full"]


@pytest.mark.parametrize("name", TRAINED)
def test_asking_in_the_middle_of_training_disturbs_nothing(name: str, tiny_folder: Callable[[str], Path]) -> None:
    for precision in ("fp32", "bf16"):
        model, module = applied(tiny_folder("decoder-chat"), name, precision)
        before = tiny.weights(module)
        may_move = [n for n, p in module.named_parameters() if p.requires_grad]
        answers(method(name).answering(model, module.eval()))
        module.train()
        assert [n for n, p in module.named_parameters() if p.requires_grad] == may_move
        after = tiny.weights(module)
        assert all(torch.equal(w, after[n]) and w.dtype == after[n].dtype for n, w in before.items())
        loss, _ = supervised_loss(module, collate(tiny.train_prompts(model, 2), module, model.family))
        loss.backward()


# --- counts -------------------------------------------------------------------------------------------------------


def lora_formula(module: nn.Module, rank: int) -> Iterator[int]:
    """r (d_in + d_out) for each linear layer but the one that makes the logits."""
    head = module.get_output_embeddings()
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer is not head:
            yield rank * (layer.in_features + layer.out_features)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRAINED)
def test_counts_equal_the_formula(name: str, kind: str, tiny_folder: Callable[[str], Path]) -> None:
    base = tiny.fresh(tiny_folder(kind)).module
    every = parameter_counts(base)[1]
    expected = {"full": every, "lora": sum(lora_formula(base, 4)), "soft": 5 * WIDTH}[name]
    counted = parameter_counts(applied(tiny_folder(kind), name)[1])
    assert counted == (expected, every if name == "full" else every + expected)


def test_the_published_count_of_lora_on_flan_t5_base(flan_folder: Path) -> None:
    """3,538,944 of 251,116,800, r = 32 on q and v: on the meta device, with FLAN's own output matrix beside its tied
    embeddings."""
    from transformers import T5Config, T5ForConditionalGeneration

    with torch.device("meta"):
        module = T5ForConditionalGeneration(T5Config.from_json_file(flan_folder / "flan_t5_base_config.json"))
        module.lm_head.weight = nn.Parameter(torch.empty_like(module.shared.weight))
    published = json.loads((flan_folder / "adapter_config.json").read_text())
    model = Model("flan", module, None, "encoder-decoder", 512, "", frozenset(), flan_folder)
    targets = ",".join(published["target_modules"])
    settings = method("lora").settings(rank=published["r"], alpha=float(published["lora_alpha"]), targets=targets)
    assert parameter_counts(method("lora").apply(model, settings, 0)) == (3_538_944, 251_116_800)


# --- what is saved is what was measured ---------------------------------------------------------------------------

ASK_SAVED = """
import json, sys
from pathlib import Path
from luthier.adapt import method
from tests import tiny
from tests.test_adapt import answers
for name, precision, base, folder in json.load(sys.stdin):
    model = method(name).load(tiny.fresh(Path(base), precision), Path(folder))
    print(json.dumps(answers(model)))
"""


def test_a_new_process_repeats_the_answers(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Saved, loaded on a fresh base in another process, asked again: every method and family."""
    rows, expected = [], []
    for name in TRAINED:
        for kind in KINDS:
            for precision in ("fp32", "bf16") if kind in ("decoder-chat", "t5-untied") else ("fp32",):
                place = tmp_path / f"{name}-{kind}-{precision}"
                model, module = applied(tiny_folder(kind), name, precision)
                tiny.scramble(module.eval())
                saved = place / "saved"
                method(name).save(module, saved)
                rows.append([name, precision, str(tiny_folder(kind)), str(saved)])
                expected.append({k: list(v) for k, v in answers(method(name).answering(model, module)).items()})
    done = subprocess.run(
        [sys.executable, "-c", ASK_SAVED], input=json.dumps(rows), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for row, line, wanted in zip(rows, done.stdout.splitlines(), expected, strict=True):
        assert json.loads(line) == wanted, row


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lora", "soft"])
def test_peft_reads_what_was_saved(
    name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same base, the same logits; and saving asks no hub about a short name."""
    model = replace(tiny.fresh(tiny_folder(kind)), name="smollm2-135m")
    module = method(name).apply(model, method(name).settings(**SETTINGS[name]), 0)
    tiny.scramble(module)
    asked: list[Any] = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *a, **k: asked.append(a))
    method(name).save(module.eval(), tmp_path)
    assert asked == []
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == model.name
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    theirs = peft.PeftModel.from_pretrained(tiny.fresh(tiny_folder(kind)).module, tmp_path).eval()
    asked_model = method(name).answering(model, module)
    with torch.no_grad():
        for prompt in tiny.train_prompts(model, 3):
            losses = [tiny.reference_loss(m, prompt, model.family, 5 * (name == "soft")) for m in (module, theirs)]
            assert torch.equal(*losses)
    said = answers(asked_model)
    for request in requests_of(asked_model):
        own = tiny.slow_greedy(theirs, request.prompt_ids, model.family, request.limit, asked_model.end_ids)
        assert tuple(own) == said[request.id]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["lora", "soft"])
def test_the_base_stays_as_it_was(name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = tiny.fresh(tiny_folder(kind))
    original, said = tiny.weights(base.module), answers(base)
    _, module = applied(tiny_folder(kind), name)
    tiny.scramble(module)
    method(name).save(module, tmp_path)
    loaded = method(name).load(base, tmp_path)
    assert answers(loaded) != said
    kept = {n.replace(".base_layer", ""): w for n, w in tiny.weights(loaded.module).items()}
    assert all(torch.equal(weight, kept[n]) for n, weight in original.items())
    if name == "lora":  # peft's own way back
        wrapped = peft.PeftModel.from_pretrained(tiny.fresh(tiny_folder(kind)).module, tmp_path)
        base = base.adapted(wrapped.unload())
    assert answers(base) == said


def test_weights_of_another_model_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "full")
    method("full").save(module, tmp_path)
    with pytest.raises(ModelError, match="these weights are not of"):
        method("full").load(tiny.fresh(tiny_folder("gpt2")), tmp_path)
    from transformers import LlamaConfig, LlamaForCausalLM

    other = LlamaForCausalLM(LlamaConfig(**{**module.config.to_dict(), "intermediate_size": 64}))
    other.save_pretrained(tmp_path / "wider")
    with pytest.raises(ModelError, match="these weights are not of"):
        method("full").load(tiny.fresh(tiny_folder("decoder-chat")), tmp_path / "wider")


# --- settings -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["q_proj,v_proj", " q_proj , v_proj"])
def test_lora_goes_where_it_is_told(targets: str, tiny_folder: Callable[[str], Path]) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "lora", targets=targets)
    hit = {n.split(".lora_")[0].rpartition(".")[2] for n, _ in module.named_parameters() if "lora_" in n}
    assert hit == {"q_proj", "v_proj"}


@pytest.mark.parametrize("targets", ["nothing", "q_proj,nothing", ""])
def test_lora_names_a_target_that_is_not_there(targets: str, tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(SettingsError, match=r"lora: no linear layer is called '(nothing)?'; .*q_proj"):
        applied(tiny_folder("decoder-chat"), "lora", targets=targets)


def test_a_soft_prompt_starts_from_words_or_from_chance(tiny_folder: Callable[[str], Path]) -> None:
    model, module = applied(tiny_folder("decoder-chat"), "soft")
    words = model.module.get_input_embeddings().weight
    start = module.get_prompt(1)[0]
    assert all(bool((words == row).all(-1).any()) for row in start)
    _, module = applied(tiny_folder("decoder-chat"), "soft", start="random")
    assert not any(bool((words == row).all(-1).any()) for row in module.get_prompt(1)[0])
    with pytest.raises(ValueError, match="'vocabulary' or 'random'"):
        applied(tiny_folder("decoder-chat"), "soft", start="zeros")


@pytest.mark.parametrize("name", PROMPTED)
def test_prompting_moves_nothing(name: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    row = method(name)
    assert row.apply(model, row.settings(), 0) is model.module
    assert row.answering(model, model.module).module is model.module
    assert row.load(model, Path("nowhere")) is model
    assert row.training is None


def test_the_baseline_copies_lines_that_say_something() -> None:
    example = Example("a", "one\n\n  \ntwo\nthree\nfour", ("x",))
    answer = copy_answer(example, Copy(lines=3))
    assert (answer.text, answer.stop, answer.tokens) == ("one\ntwo\nthree", "given", ())
    assert copy_answer(example, Copy(lines=9)).text == "one\ntwo\nthree\nfour"
