"""What each drawer lets a user choose, and the counts that were published."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from luthier.adapt.methods import method
from luthier.arms.short_form import parse
from luthier.errors import LuthierError, SettingsError
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import Model, parameter_counts
from tests import tiny
from tests.promises import answers, applied, losses, requests_of, settings_of

# --- published counts, on the meta device: shapes without weights ---------------------------------------------------


def unloaded(make: Callable[[], nn.Module], family: str) -> Model:
    with torch.device("meta"):
        return Model("shapes", make(), None, family, 512, "", frozenset(), Path())


def test_the_published_count_of_lora_on_flan_t5_base(flan_folder: Path) -> None:
    """3,538,944 of 251,116,800, r = 32 on q and v, with FLAN's own output matrix beside its tied embeddings."""
    model = unloaded(
        lambda: T5ForConditionalGeneration(T5Config.from_json_file(flan_folder / "flan_t5_base_config.json")),
        "encoder-decoder",
    )
    module: Any = model.module
    module.lm_head.weight = nn.Parameter(torch.empty_like(module.shared.weight))
    published = json.loads((flan_folder / "adapter_config.json").read_text())
    targets = ",".join(published["target_modules"])
    settings = method("lora").settings(rank=published["r"], alpha=float(published["lora_alpha"]), targets=targets)
    assert parameter_counts(method("lora").apply(model, settings, 0)) == (3_538_944, 251_116_800)


# d_model, d_ff, d_kv, heads, layers and vocabulary of T5 1.1, and its parameters (its output matrix is its own).
T5_1_1 = {
    "small": (512, 1024, 64, 6, 8, 76_961_152),
    "base": (768, 2048, 64, 12, 12, 247_577_856),
    "large": (1024, 2816, 64, 16, 24, 783_150_080),
    "xl": (2048, 5120, 64, 32, 24, 2_849_757_184),
    "xxl": (4096, 10240, 64, 64, 24, 11_135_332_352),
}


def t5_1_1(size: str) -> Model:
    width, inner, key, heads, layers, _ = T5_1_1[size]

    def make() -> nn.Module:
        shape = {"d_model": width, "d_ff": inner, "d_kv": key, "num_heads": heads, "num_layers": layers}
        module = T5ForConditionalGeneration(T5Config(vocab_size=32128, feed_forward_proj="gated-gelu", **shape))
        module.lm_head.weight = nn.Parameter(torch.empty(32128, width))
        return module

    return unloaded(make, "encoder-decoder")


@pytest.mark.parametrize("size", T5_1_1)
def test_the_published_sizes_of_t5(size: str) -> None:
    assert parameter_counts(t5_1_1(size).module)[1] == T5_1_1[size][-1]


@pytest.mark.parametrize(
    "name, settings, count",
    [
        ("soft", {"tokens": 8, "start": "random"}, 8 * 1024),
        ("prefix", {"tokens": 20, "start": "random"}, 983_040),  # 20 x 2 x 24 x 1,024
    ],
)
@pytest.mark.parametrize("family", ["decoder", "encoder-decoder"])
def test_the_published_counts_of_learned_prompts(name: str, settings: Any, count: int, family: str) -> None:
    """Lester et al. 2021 and Li and Liang 2021 at 24 layers of width 1,024: T5-large, GPT-2 medium."""
    medium = GPT2Config(n_embd=1024, n_layer=24, n_head=16)
    model = t5_1_1("large") if family == "encoder-decoder" else unloaded(lambda: GPT2LMHeadModel(medium), family)
    module = method(name).apply(model, method(name).settings(**settings), 0)
    assert parameter_counts(module)[0] == count


def test_a_prefix_is_as_wide_as_the_decoders_keys() -> None:
    """T5-1.1-small: 6 heads of 64 are 384, not the model's 512."""
    module = method("prefix").apply(t5_1_1("small"), method("prefix").settings(tokens=10, start="random"), 0)
    assert parameter_counts(module)[0] == 10 * 2 * 8 * 384


# --- lora and its kin ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", ["q_proj,v_proj", " q_proj , v_proj"])
def test_lora_goes_where_it_is_told(targets: str, tiny_folder: Callable[[str], Path]) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "lora", targets=targets)
    hit = {n.split(".lora_")[0].rpartition(".")[2] for n, _ in module.named_parameters() if "lora_" in n}
    assert hit == {"q_proj", "v_proj"}


@pytest.mark.parametrize("targets", ["nothing", "q_proj,nothing", ""])
def test_lora_names_a_target_that_is_not_there(targets: str, tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(SettingsError, match=r"lora: no linear layer is called '(nothing)?'; .*q_proj"):
        applied(tiny_folder("decoder-chat"), "lora", targets=targets)


@pytest.mark.parametrize("name, rank, scale", [("lora", 16, 2), ("lora", 64, 2), ("rslora", 16, 2), ("rslora", 64, 1)])
def test_the_scale_of_the_update(name: str, rank: int, scale: float, tiny_folder: Callable[[str], Path]) -> None:
    """lora: alpha / r with alpha = 2 r; rslora: 8 / sqrt(r), equal to lora's at the rank its rate was chosen for."""
    _, module = applied(tiny_folder("decoder-chat"), name, rank=rank)
    assert module.get_submodule("base_model.model.model.layers.0.mlp.up_proj").scaling["default"] == scale


def test_the_rate_of_b_is_a_multiple_of_that_of_a(tiny_folder: Callable[[str], Path]) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "lora-plus")
    rates = method("lora-plus").rates(settings_of("lora-plus", ratio=4.0), module)
    assert set(rates.values()) == {4.0}
    assert set(rates) == {n for n, p in module.named_parameters() if p.requires_grad and "lora_A" not in n}


def test_pissa_starts_from_the_principal_directions(tiny_folder: Callable[[str], Path]) -> None:
    """s B0 A0 is the best approximation of W of its rank: what is left has W's smaller singular values."""
    model = tiny.fresh(tiny_folder("decoder-chat"))
    path = "model.layers.0.mlp.up_proj"
    weight = model.module.get_submodule(path).weight.detach().clone()
    module: Any = method("pissa").apply(model, settings_of("pissa"), 0)
    layer = module.get_submodule(f"base_model.model.{path}")
    assert torch.equal(layer.base_layer.weight, weight)
    rest = weight - layer.get_delta_weight("default")
    own, left = torch.linalg.svdvals(weight), torch.linalg.svdvals(rest)
    torch.testing.assert_close(left[: len(own) - 4], own[4:], rtol=1e-4, atol=1e-4)


# --- selective ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parts, named",
    [
        ("norms", {"input_layernorm", "post_attention_layernorm", "norm"}),
        ("q_proj, mlp.up_proj", {"q_proj", "up_proj"}),
        ("lm_head", {"embed_tokens"}),  # tied: the same matrix under its first name
    ],
)
def test_select_moves_the_named_parts(parts: str, named: set[str], tiny_folder: Callable[[str], Path]) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "select", parts=parts)
    assert {n.split(".")[-2] for n, p in module.named_parameters() if p.requires_grad} == named


@pytest.mark.parametrize(
    "more, said",
    [
        ({"parts": "nothing"}, "no module with parameters is called 'nothing'; name some of .*q_proj"),
        ({"parts": "biases"}, "this model has no biases; choose select-last-2, or lora"),
        ({"layers": 4}, "has 3 blocks, so the last 4 cannot move"),
    ],
)
def test_select_says_what_is_not_there(more: Any, said: str, tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(SettingsError, match=said):
        applied(tiny_folder("decoder-chat"), "select", **more)


def test_the_short_forms_of_the_methods() -> None:
    assert parse("select-last-2").settings == {"layers": 2}
    assert parse("select+parts=norms").settings == {"parts": "norms"}
    assert parse("lora-plus-r8+ratio=4.0").method == "lora-plus"
    assert parse("lora-plus-r8+ratio=4.0").settings == {"rank": 8, "ratio": 4.0}
    assert parse("prefix-20").settings == parse("p-tuning-20").settings == {"tokens": 20}
    assert parse("bottleneck-64+place=feed-forward").settings == {"width": 64, "place": "feed-forward"}


# --- additive -----------------------------------------------------------------------------------------------------


def test_a_soft_prompt_starts_from_words_a_text_or_chance(tiny_folder: Callable[[str], Path]) -> None:
    model, module = applied(tiny_folder("decoder-chat"), "soft")
    words = model.module.get_input_embeddings().weight
    assert all(bool((words == row).all(-1).any()) for row in module.get_prompt(1)[0])
    _, module = applied(tiny_folder("decoder-chat"), "soft", start="random")
    assert not any(bool((words == row).all(-1).any()) for row in module.get_prompt(1)[0])
    model, module = applied(tiny_folder("decoder-chat"), "soft", start="text", text="Tom", tokens=7)
    ids = model.tokenizer("Tom")["input_ids"]
    expected = words[torch.tensor((ids * 7)[:7])]
    assert torch.equal(module.get_prompt(1)[0], expected)
    assert module.peft_config["default"].tokenizer_name_or_path == model.name
    with pytest.raises(ValueError, match="'vocabulary', 'text' or 'random'"):
        applied(tiny_folder("decoder-chat"), "soft", start="zeros")
    for half in ({"start": "text"}, {"text": "Tom"}):
        with pytest.raises(ValueError, match="start 'text' and a text belong together"):
            settings_of("soft", **half)


@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-tied", "bart"])
def test_a_prefix_answers_as_peft_with_what_prompts_share(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """Prompts with a long common beginning, which the generator reads once, behind the prefix."""
    model, module = applied(tiny_folder(kind), "prefix", tokens=6)
    tiny.scramble(module.eval())
    asked = method("prefix").answering(model, module)
    shots = tuple(range(20, 45))
    requests = [type(r)(r.id, shots + r.prompt_ids, 6) for r in requests_of(asked)]
    said = answers(asked, requests)
    for request in requests:
        own = tiny.slow_greedy(module, request.prompt_ids, model.family, request.limit, model.end_ids)
        assert tuple(own) == said[request.id]
    assert asked.renderer.window == model.window - 6


@pytest.mark.parametrize("kind", tiny.DECODERS)
def test_a_prefix_starts_as_words_that_were_read(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    """A model with the new prefix says what it would say behind some six words of its vocabulary."""
    model, module = applied(tiny_folder(kind), "prefix", tokens=6)
    words = random.Random(0).choices(sorted({*range(len(model.tokenizer))} - {*model.tokenizer.all_special_ids}), k=6)
    row = [9, 11, 13, 17]
    with torch.inference_mode():
        ours = module.eval()(input_ids=torch.tensor([row])).logits[0, -1]
        behind = tiny.fresh(tiny_folder(kind)).module(input_ids=torch.tensor([words + row])).logits[0, -1]
    torch.testing.assert_close(ours, behind, rtol=1e-4, atol=1e-4)


def test_a_network_does_not_start_from_words() -> None:
    assert settings_of("prefix", hidden=8).start is None
    with pytest.raises(ValueError, match="a network cannot start from what words have left"):
        settings_of("prefix", hidden=8, start="vocabulary")


@pytest.mark.parametrize(
    "name, more",
    [
        ("prefix", {"hidden": 8}),
        ("prefix", {"start": "zero"}),
        ("prefix", {"start": "random"}),
        ("p-tuning", {"network": "lstm"}),
        ("p-tuning", {"start": "random"}),
    ],
)
def test_learned_prompts_can_be_written_otherwise(
    name: str, more: Any, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model, module = applied(tiny_folder("decoder-chat"), name, **more)
    loss, _ = supervised_loss(module, collate(tiny.train_prompts(model, 2), module, model.family))
    loss.backward()
    assert all(p.grad is not None for p in module.parameters() if p.requires_grad)
    tiny.scramble(module.eval())
    method(name).save(module, tmp_path)
    loaded = method(name).load(tiny.fresh(tiny_folder("decoder-chat")), tmp_path)
    assert answers(loaded) == answers(method(name).answering(model, module))


@pytest.mark.parametrize("kind", ["decoder-chat", "gpt2", "t5-tied", "bart"])
@pytest.mark.parametrize("network", ["mlp", "lstm"])
def test_what_p_tuning_writes_at_first_are_words(kind: str, network: str, tiny_folder: Callable[[str], Path]) -> None:
    def distances(**more: Any) -> torch.Tensor:
        """From each row that the network writes to the nearest embedding."""
        _, module = applied(tiny_folder(kind), "p-tuning", network=network, **more)
        words = module.get_base_model().get_input_embeddings().weight
        apart_NVD = module.get_prompt(batch_size=1)[0][:, None] - words
        return apart_NVD.norm(dim=-1).min(1).values

    assert distances(tokens=6, hidden=32).max() < 1e-3 < distances(tokens=6, hidden=32, start="random").min()
    # A network this narrow cannot write any 12 embeddings; it begins as near to them as it can.
    assert distances(tokens=12, hidden=2).isfinite().all()


def test_ia3_scales_what_it_is_told(tiny_folder: Callable[[str], Path]) -> None:
    _, module = applied(tiny_folder("decoder-chat"), "ia3", outputs="v_proj", inputs="down_proj")
    assert parameter_counts(module)[0] == 3 * (16 + 48)
    for more in ({"outputs": "w_q"}, {"outputs": "v_proj", "inputs": "w_q"}):
        with pytest.raises(SettingsError, match="ia3: no linear layer is called 'w_q'"):
            applied(tiny_folder("decoder-chat"), "ia3", **more)
    with pytest.raises(SettingsError, match="'all-linear' does not say"):
        applied(tiny_folder("decoder-chat"), "ia3", outputs="all-linear")


@pytest.mark.parametrize("kind, layers", [("decoder-chat", 3), ("gpt2", 2), ("t5-tied", 4), ("bart", 4)])
def test_adapters_stand_behind_feed_forward_alone_if_told(
    kind: str, layers: int, tiny_folder: Callable[[str], Path]
) -> None:
    _, module = applied(tiny_folder(kind), "bottleneck", place="feed-forward")
    assert parameter_counts(module)[0] == layers * (2 * 4 * 32 + 32 + 4)


def test_unknown_architectures_and_tokens_are_named(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    strange = model.adapted(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(LuthierError, match=r"the sub-layers of .* are not known here"):
        method("bottleneck").apply(strange, settings_of("bottleneck"), 0)
    model.module.config.model_type = "strange"
    with pytest.raises(SettingsError, match="for a strange name the layers: ia3\\+outputs="):
        method("ia3").apply(model, settings_of("ia3"), 0)
    with pytest.raises(SettingsError, match="has no token '<nothing>'; its special ones are"):
        applied(tiny_folder("decoder-chat"), "tokens", tokens="</s>,<nothing>")


def test_only_the_rows_of_the_tokens_move(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    model, module = applied(tiny_folder("decoder-chat"), "tokens", tokens="<|im_end|>")
    before = losses(module, model)
    tiny.scramble(module.eval())
    method("tokens").save(module, tmp_path)
    merge = method("tokens").merge
    assert merge is not None
    base = tiny.fresh(tiny_folder("decoder-chat")).module.get_input_embeddings().weight
    merged = merge(tiny.fresh(tiny_folder("decoder-chat")), tmp_path).module.get_input_embeddings().weight
    (moved,) = (base != merged).any(-1).nonzero().tolist()
    assert moved == [model.tokenizer.convert_tokens_to_ids("<|im_end|>")]
    assert not torch.equal(before, losses(module, model))
