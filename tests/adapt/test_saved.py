"""What is saved is what was measured: in a new process, through peft itself, and merged into the base's own weights."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import peft
import pytest
import torch

from luthier.adapt import peft_format
from luthier.adapt.methods import merging, method
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.model.model import load, parameter_counts
from tests import tiny
from tests.promises import (
    CASES,
    CLAIMS,
    PEFT_CASES,
    answers,
    applied,
    base_of,
    first_of_a_kind,
    losses,
    requests_of,
    settings_of,
)
from tests.sweep.folders import make

ROOT = Path(__file__).parents[2]
MERGES = [(name, kind) for name, kind in CASES if CLAIMS[name].merges]


def saved(folder: Path, name: str, place: Path, precision: str = "fp32", **more: Any) -> tuple[Any, Any]:
    """A method far from its start, saved in `place`; the base model and the module."""
    model, module = applied(folder, name, precision, **more)
    tiny.scramble(module.eval())
    method(name).save(module, place)
    return model, module


ASK_SAVED = """
import json, sys
from pathlib import Path
from luthier.adapt.methods import method
from tests import tiny
from tests.promises import answers
for name, precision, base, folder in json.load(sys.stdin):
    model = method(name).load(tiny.fresh(Path(base), precision), Path(folder))
    print(json.dumps(answers(model)))
"""


@pytest.mark.slow
def test_a_new_process_repeats_the_answers(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """Saved, loaded on a fresh base in another process, asked again: every method and family."""
    rows, expected = [], []
    for name, kind in CASES:
        for precision in ("fp32", "bf16") if kind in ("decoder-chat", "bert") else ("fp32",):
            place = tmp_path / f"{name}-{kind}-{precision}"
            model, module = saved(tiny_folder(kind), name, place, precision)
            rows.append([name, precision, str(tiny_folder(kind)), str(place)])
            expected.append({k: list(v) for k, v in answers(method(name).answering(model, module)).items()})
    done = subprocess.run(
        [sys.executable, "-c", ASK_SAVED], input=json.dumps(rows), cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for row, line, wanted in zip(rows, done.stdout.splitlines(), expected, strict=True):
        assert json.loads(line) == wanted, row


@pytest.mark.parametrize("name, kind", first_of_a_kind(PEFT_CASES))
def test_peft_reads_what_was_saved(
    name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the same base, the same logits and the same answers; and saving asks no hub about a short name."""
    model = replace(tiny.fresh(tiny_folder(kind)), name="smollm2-135m")
    module = method(name).apply(model, settings_of(name), 0)
    tiny.scramble(module.eval())
    asked: list[Any] = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *a, **k: asked.append(a))
    method(name).save(module, tmp_path)
    assert asked == []
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == model.name
    assert all(lists == sorted(lists) for lists in config.values() if isinstance(lists, list)), "an order by chance"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in tmp_path.iterdir()}
    theirs = peft.PeftModel.from_pretrained(base_of(tiny_folder(kind), name).module, tmp_path).eval()
    virtual = CLAIMS[name].virtual
    # pissa is saved as one adapter of twice the rank, p-tuning as what its network said: equal but for rounding.
    torch.testing.assert_close(losses(theirs, model, virtual), losses(module, model, virtual), rtol=1e-5, atol=1e-4)
    asked_model = method(name).answering(model, module)
    requests = requests_of(asked_model)
    said = answers(asked_model, requests)
    assert said != answers(tiny.fresh(tiny_folder(kind)), requests)
    if model.family == "encoder":
        assert answers(replace(asked_model, module=theirs), requests) == said
        return
    for request in requests:
        own = tiny.slow_greedy(theirs, request.prompt_ids, model.family, request.limit, asked_model.end_ids)
        assert tuple(own) == said[request.id]


def test_a_method_merges_where_it_says_so() -> None:
    assert set(merging()) == {n for n, claim in CLAIMS.items() if claim.merges}


@pytest.mark.parametrize("name, kind", MERGES)
def test_merged_weights_answer_as_the_adapter(
    name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    saved(tiny_folder(kind), name, tmp_path)
    row, base = method(name), tiny.fresh(tiny_folder(kind))
    assert row.merge is not None
    loaded, merged = (
        row.load(tiny.fresh(tiny_folder(kind)), tmp_path),
        row.merge(tiny.fresh(tiny_folder(kind)), tmp_path),
    )
    plain = {n for n, _ in base.module.named_parameters()}
    assert {n for n, _ in merged.module.named_parameters()} == plain  # a plain model: nothing of peft is left
    assert parameter_counts(merged.module)[1] == parameter_counts(base.module)[1]
    torch.testing.assert_close(losses(merged.module, base), losses(loaded.module, base), rtol=1e-4, atol=1e-3)
    assert answers(merged) == answers(loaded) != answers(base)


# The others go into the weights, or make them narrow.
APART = [
    (name, kind)
    for name, kind in PEFT_CASES
    if method(name).load is not peft_format.load_added and not CLAIMS[name].width
]


@pytest.mark.parametrize("name, kind", APART)
def test_the_base_stays_as_it_was(name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    base = tiny.fresh(tiny_folder(kind))
    original, said = tiny.weights(base.module), answers(base)
    saved(tiny_folder(kind), name, tmp_path)
    loaded = method(name).load(base, tmp_path)
    assert answers(loaded) != said
    kept = {
        n.replace(".base_layer", "").replace(".original_module", ""): w for n, w in tiny.weights(loaded.module).items()
    }
    assert all(torch.equal(weight, kept[n]) for n, weight in original.items())


@pytest.mark.parametrize("name", ["select", "bitfit", "bottleneck"])
def test_only_what_moved_is_saved(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file

    _, module = saved(tiny_folder("gpt2"), name, tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    assert sum(t.numel() for t in load_file(file).values()) == parameter_counts(module)[0]


@pytest.mark.parametrize("name", ["full", "select", "bottleneck"])
def test_weights_of_another_model_are_refused(name: str, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    saved(tiny_folder("decoder-chat"), name, tmp_path / "saved")
    with pytest.raises(ModelError, match="are not of"):
        method(name).load(tiny.fresh(tiny_folder("gpt2")), tmp_path / "saved")
    from transformers import LlamaConfig, LlamaForCausalLM

    own = tiny.fresh(tiny_folder("decoder-chat"))
    config: Any = own.module.config
    wider = LlamaForCausalLM(LlamaConfig(**{**config.to_dict(), "hidden_size": 64}))
    with pytest.raises(ModelError, match="are not of"):
        method(name).load(own.adapted(wider), tmp_path / "saved")


def test_pissa_and_p_tuning_ship_what_any_tool_can_load(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """A plain LoRA of twice the rank for the unmodified base; a prompt without the network that wrote it."""
    from safetensors.torch import load_file

    folder = tiny_folder("decoder-chat")
    saved(folder, "pissa", tmp_path / "pissa")
    config = json.loads((tmp_path / "pissa" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 16, True)
    saved(folder, "p-tuning", tmp_path / "p-tuning")
    (prompt,) = load_file(tmp_path / "p-tuning" / "adapter_model.safetensors").values()
    assert prompt.shape == (5, 32)
    saved(folder, "prefix", tmp_path / "prefix", hidden=8)
    (states,) = load_file(tmp_path / "prefix" / "adapter_model.safetensors").values()
    assert states.shape == (5, 2 * 3 * 16)


# --- foreign and damaged adapters -------------------------------------------------------------------------------


def _edit(place: Path, **changes: Any) -> None:
    path = place / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _pattern(place: Path) -> None:
    _edit(place, target_modules="(([a-z_]+)+\\.)+x$")


def _class(place: Path) -> None:
    _edit(place, auto_mapping={"base_model_class": "system", "parent_library": "os"})


def _other_rank(place: Path) -> None:
    _edit(place, r=2**14)


def _other_family(place: Path) -> None:
    _edit(place, task_type="SEQ_2_SEQ_LM")


def _other_layers(place: Path) -> None:
    _edit(place, target_modules=["q_proj"])


def _no_layer(place: Path) -> None:
    _edit(place, target_modules=["nothing"])


def _torn(place: Path) -> None:
    path = place / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-40])


def _pickle(place: Path) -> None:
    (place / "adapter_model.safetensors").rename(place / "adapter_model.bin")


@pytest.mark.parametrize(
    "harm", [_pattern, _class, _other_rank, _other_family, _other_layers, _no_layer, _torn, _pickle]
)
def test_a_harmed_adapter_is_refused_in_a_sentence(
    harm: Callable[[Path], None], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    saved(tiny_folder("decoder-chat"), "lora", tmp_path)
    method("lora").load(tiny.fresh(tiny_folder("decoder-chat")), tmp_path)  # the proof that only the harm is refused
    harm(tmp_path)
    for read in (method("lora").load, method("lora").merge):
        assert read is not None
        with pytest.raises((ModelError, FolderError), match=str(tmp_path)) as refused:
            read(tiny.fresh(tiny_folder("decoder-chat")), tmp_path)
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "name, key", [("soft", "num_virtual_tokens"), ("prefix", "num_layers"), ("p-tuning", "token_dim")]
)
def test_a_prompt_of_another_size_finds_no_memory(
    name: str, key: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    saved(tiny_folder("decoder-chat"), name, tmp_path)
    _edit(tmp_path, **{key: 2**20})
    with pytest.raises(ModelError, match="the adapter's weights are not those of its configuration"):
        method(name).load(tiny.fresh(tiny_folder("decoder-chat")), tmp_path)


def test_an_unknown_width_of_the_base_is_a_sentence(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    saved(tiny_folder("decoder-chat"), "qlora", tmp_path, width="int4")
    (tmp_path / "base-width.json").write_text('{"width": "int3"}')
    with pytest.raises(FolderError, match=r"base-width\.json: the key 'width' is 'int3'"):
        method("qlora").load(tiny.fresh(tiny_folder("decoder-chat")), tmp_path)


@pytest.mark.parametrize("make_base, targets", [
    (partial(make, "zamba2"), "all-linear"), (partial(tiny.save, "decoder-chat"), "embed_tokens"),
])  # fmt: skip
def test_layers_that_share_a_weight_are_not_merged(
    make_base: Callable[[Path], Path], targets: str, tmp_path: Path
) -> None:
    """Zamba2's blocks have one weight and an update each; tied embeddings are the head's weight, which has none."""
    base = str(make_base(tmp_path / "base"))
    model = load(base, precision="fp32", device="cpu")
    module = method("lora").apply(model, method("lora").settings(rank=2, targets=targets), 0)
    tiny.scramble(module.eval())
    method("lora").save(module, tmp_path / "adapter")
    ids = torch.tensor([[7, 8, 9, 10]])
    with torch.no_grad():
        trained = module(input_ids=ids, use_cache=False).logits
        again = method("lora").load(load(base, precision="fp32", device="cpu"), tmp_path / "adapter")
        torch.testing.assert_close(again.module(input_ids=ids, use_cache=False).logits, trained, rtol=1e-4, atol=1e-4)
    with pytest.raises(SettingsError, match="a layer that learned something shares its weight with another layer"):
        peft_format.merge(load(base, precision="fp32", device="cpu"), tmp_path / "adapter")


@pytest.mark.parametrize("architecture, said", [
    ("mamba", ["out_proj", "conv1d"]), ("phimoe", ["router"]), ("falcon", None), ("llama", None),
])  # fmt: skip
def test_all_linear_leaves_out_what_is_not_called_or_gives_no_product(
    architecture: str, said: list[str] | None, tmp_path: Path
) -> None:
    model = load(str(make(architecture, tmp_path / architecture)), precision="fp32", device="cpu")
    left = peft_format.left_out(model)
    assert (left is None) == (said is None)
    assert {name.rpartition(".")[2] for name in left or []} == set(said or [])


def test_what_peft_cannot_adapt_is_a_sentence(tmp_path: Path) -> None:
    model = load(str(make("ibert", tmp_path / "ibert")), precision="fp32", device="cpu", labels=tiny.LABELS)
    with pytest.raises(SettingsError, match=r"lora cannot adapt this model .*choose another method, or other layers"):
        method("lora").apply(model, method("lora").settings(), 0)
