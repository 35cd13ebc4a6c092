"""The one transformer gives what transformers gives: logits, with padding, with a cache, and gradients; and each choice
of its shape does what it says."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from luthier.errors import ModelError
from luthier.model.model import load
from luthier.scratch.imported import imported
from luthier.scratch.shape import Shape
from luthier.scratch.transformer import Cache, Transformer, bucket_of, positions_in, slopes

CLOSE = {"atol": 1e-4, "rtol": 0}
V = 97


def llama(tied: bool) -> nn.Module:
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=V, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=tied, rope_theta=50_000.0,
    ))  # fmt: skip


def gpt2() -> nn.Module:
    return GPT2LMHeadModel(GPT2Config(vocab_size=V, n_embd=48, n_layer=3, n_head=4, n_positions=64))


def t5(version: str) -> nn.Module:
    made = T5ForConditionalGeneration(T5Config(
        vocab_size=V, d_model=48, d_kv=12, d_ff=80, num_layers=3, num_heads=4, decoder_start_token_id=0,
        feed_forward_proj="relu" if version == "1.0" else "gated-gelu", tie_word_embeddings=version == "1.0",
    ))  # fmt: skip
    if version == "1.1":
        made.lm_head.weight = nn.Parameter(torch.randn(V, 48) * 0.3)
    return made


BERT = {"vocab_size": V, "hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80,
        "max_position_embeddings": 64}  # fmt: skip
MODELS = {
    "llama": lambda: llama(True),
    "llama-untied": lambda: llama(False),
    "gpt2": gpt2,
    "bert": lambda: BertModel(BertConfig(**BERT)),
    "bert-masked": lambda: BertForMaskedLM(BertConfig(**BERT)),
    "t5-1.0": lambda: t5("1.0"),
    "t5-1.1": lambda: t5("1.1"),
}


def pair(name: str) -> tuple[Any, Transformer]:
    """Their module with random weights, norms and biases included, and ours."""
    torch.manual_seed(1)
    theirs = MODELS[name]().eval().float()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return theirs, imported(theirs)


def batch(rows: int = 3, length: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids (B, T) and a mask, 1 where there is text, with padding on the right."""
    torch.manual_seed(2)
    ids = torch.randint(1, V, (rows, length))
    mask = torch.ones_like(ids)
    for row in range(rows):
        mask[row, length - 7 * row :] = 0
    return ids, mask


def their_logits(
    theirs: Any, ids: torch.Tensor, mask: torch.Tensor, written: torch.Tensor | None = None
) -> torch.Tensor:
    if written is not None:
        return theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written).logits
    output = theirs(input_ids=ids, attention_mask=mask)
    return output.logits if "logits" in output else output.last_hidden_state


def our_logits(
    ours: Transformer, ids: torch.Tensor, mask: torch.Tensor, written: torch.Tensor | None = None, **more: Any
):
    if written is not None:
        return ours(written, source_BS=ids, source_documents_BS=mask - 1, **more)
    return ours(ids, mask - 1, **more)


def written_for(name: str) -> torch.Tensor | None:
    torch.manual_seed(3)
    return torch.randint(0, V, (3, 11)) if name.startswith("t5") else None


@pytest.mark.parametrize("name", MODELS)
def test_logits_with_padding_are_theirs(name: str) -> None:
    theirs, ours = pair(name)
    (ids, mask), written = batch(), written_for(name)
    with torch.no_grad():
        expected, given = their_logits(theirs, ids, mask, written), our_logits(ours, ids, mask, written)
        alone = our_logits(ours, ids[:1], mask[:1], None if written is None else written[:1])
        plain = ours(ids[:1]) if written is None else ours(written[:1], source_BS=ids[:1])
    seen = mask.bool() if written is None else torch.ones_like(written).bool()
    assert expected[seen].abs().mean() > 0.05  # it is no comparison of nothing with nothing
    torch.testing.assert_close(given[seen], expected[seen], **CLOSE)
    torch.testing.assert_close(alone, plain, **CLOSE)
    torch.testing.assert_close(plain[0], expected[0], **CLOSE)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_padding_on_the_left_changes_nothing(name: str) -> None:
    theirs, ours = pair(name)
    ids, _ = batch()
    mask = torch.ones_like(ids)
    mask[1, :9] = 0
    with torch.no_grad():
        given, alone = our_logits(ours, ids, mask), ours(ids[1:2, 9:])
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        expected = theirs(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    torch.testing.assert_close(given[1, 9:], alone[0], **CLOSE)
    torch.testing.assert_close(given[mask.bool()], expected[mask.bool()], **CLOSE)


@pytest.mark.parametrize("name", [name for name in MODELS if not name.startswith("bert")])
def test_a_cache_gives_the_logits_of_one_reading(name: str) -> None:
    _, ours = pair(name)
    (ids, mask), written = batch(), written_for(name)
    text = ids if written is None else written
    documents = torch.zeros_like(text)
    if written is None:
        documents[1, :9] = -1  # padding on the left, as decoding has it
    source = {} if written is None else {"source_BS": ids, "source_documents_BS": mask - 1}
    with torch.no_grad():
        whole = ours(text, documents, **source)
        cache, parts = Cache(), []
        for start, end in itertools.pairwise([0, 5, 6, 7, text.shape[1]]):
            parts.append(ours(text[:, start:end], documents[:, start:end], cache=cache, **source))
    torch.testing.assert_close(torch.cat(parts, 1)[documents >= 0], whole[documents >= 0], **CLOSE)
    rows = torch.tensor([2, 0])
    cache.select(rows)
    with torch.no_grad():
        step = ours(text[rows, :1], cache=cache)
        longer = torch.cat([text[rows], text[rows, :1]], 1)
        again = ours(longer, torch.cat([documents[rows], documents[rows, -1:]], 1),
                     **{key: value[rows] for key, value in source.items()})  # fmt: skip
    torch.testing.assert_close(step[:, 0], again[:, -1], **CLOSE)


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_of_a_weight_of_each_layer_is_theirs(name: str) -> None:
    theirs, ours = pair(name)
    (ids, mask), written = batch(), written_for(name)
    seen = mask.bool() if written is None else torch.ones_like(written).bool()
    sums = [their_logits(theirs, ids, mask, written)[seen].float().logsumexp(-1).sum(),
            our_logits(ours, ids, mask, written)[seen].logsumexp(-1).sum()]  # fmt: skip
    for loss in sums:
        loss.backward()
    for their_weight, our_weight in weights_of_layers(name, theirs, ours):
        assert their_weight.abs().max() > 1e-3
        torch.testing.assert_close(our_weight, their_weight, atol=1e-4, rtol=1e-3)


def weights_of_layers(name: str, theirs: Any, ours: Transformer) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(their gradient, ours) of the MLP's last matrix of each layer."""
    if name.startswith("llama"):
        their_parts = [layer.mlp.down_proj for layer in theirs.model.layers]
    elif name == "gpt2":
        return [(layer.mlp.c_proj.weight.grad.T, block.mlp.down.weight.grad)
                for layer, block in zip(theirs.transformer.h, ours.decoder.blocks, strict=True)]  # fmt: skip
    elif name.startswith("bert"):
        body = getattr(theirs, "bert", theirs)
        their_parts = [layer.output.dense for layer in body.encoder.layer]
    else:
        their_parts = [b.layer[1].DenseReluDense.wo for b in theirs.encoder.block]
        their_parts += [b.layer[2].DenseReluDense.wo for b in theirs.decoder.block]
    blocks = [*(ours.encoder.blocks if ours.encoder else []), *(ours.decoder.blocks if ours.decoder else [])]
    return [(part.weight.grad, block.mlp.down.weight.grad) for part, block in zip(their_parts, blocks, strict=True)]


@pytest.mark.parametrize("name", ["smollm2-135m", "minilm"])
def test_packaged_weights_give_the_same_logits(name: str, smollm2: str) -> None:
    try:
        model = load(name, precision="fp32", device="cpu", labels=("a", "b") if name == "minilm" else ())
    except ModelError as error:
        pytest.skip(str(error))
    theirs: Any = model.module if name == "smollm2-135m" else model.module.base_model
    ours = imported(theirs)
    ids = torch.tensor([model.tokenizer("The boat left the harbour at noon, and nobody knew why.")["input_ids"]])
    with torch.no_grad():
        output = theirs(input_ids=ids, attention_mask=torch.ones_like(ids))
        expected = output.logits if "logits" in output else output.last_hidden_state
        torch.testing.assert_close(ours(ids), expected, **CLOSE)


def test_a_kind_that_is_not_read_is_a_sentence() -> None:
    class Other(nn.Module):
        config = type("Config", (), {"model_type": "mamba"})()

    with pytest.raises(ModelError, match="'mamba' is none of those that are read here: llama, gpt2, bert, t5"):
        imported(Other())


# --- what the shape chooses ----------------------------------------------------------------------------------------

CHOICES = [
    {"positions": name} for name in ("learned", "sinusoidal", "rotary", "alibi", "buckets")
] + [
    {"norm": "layer", "norm_place": "post"}, {"activation": "relu2"}, {"activation": "gelu", "bias": True},
    {"kv_heads": 1}, {"qk_norm": True}, {"tied": False}, {"head_width": 6}, {"zero_outputs": True},
]  # fmt: skip


def made(**choices: Any) -> Transformer:
    torch.manual_seed(0)
    return Transformer(
        Shape(**({"vocabulary": V, "width": 32, "heads": 4, "layers": 2, "window": 64} | choices))
    ).eval()


@pytest.mark.parametrize("choices", CHOICES, ids=str)
@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder-decoder"])
def test_packed_documents_read_as_they_do_alone(family: str, choices: dict[str, Any]) -> None:
    model = made(family=family, **choices)
    torch.manual_seed(1)
    first, second = torch.randint(0, V, (1, 9)), torch.randint(0, V, (1, 6))
    documents = torch.tensor([[0] * 9 + [1] * 6 + [-1] * 2])
    packed = torch.cat([first, second, torch.zeros(1, 2, dtype=torch.long)], 1)
    with torch.no_grad():
        if family == "encoder-decoder":
            sources = [second, first]
            source = {"source_BS": torch.cat(sources, 1), "source_documents_BS": torch.tensor([[0] * 6 + [1] * 9])}
            together = model(packed, documents, **source)
            alone = [model(text, source_BS=s) for text, s in zip((first, second), sources, strict=True)]
        else:
            together, alone = model(packed, documents), [model(first), model(second)]
    torch.testing.assert_close(together[:, :15], torch.cat(alone, 1), **CLOSE)
    assert together.isfinite().all()


@pytest.mark.parametrize("choices", CHOICES, ids=str)
def test_a_decoder_never_sees_what_follows(choices: dict[str, Any]) -> None:
    model = made(**choices)
    ids, other = torch.randint(0, V, (2, 12)), torch.randint(0, V, (2, 12))
    changed = torch.cat([ids[:, :7], other[:, 7:]], 1)
    with torch.no_grad():
        torch.testing.assert_close(model(changed)[:, :7], model(ids)[:, :7], **CLOSE)


def test_the_tokens_of_a_prefix_see_one_another() -> None:
    model = made()
    ids = torch.randint(0, V, (1, 12))
    prefix = torch.arange(12)[None] < 5
    changed = ids.clone()
    changed[0, 4] = (ids[0, 4] + 1) % V
    with torch.no_grad():
        with_prefix, moved = model(ids, prefix_BT=prefix), model(changed, prefix_BT=prefix)
    assert not torch.allclose(with_prefix[0, 0], moved[0, 0])  # the first token sees the fifth
    later = ids.clone()
    later[0, 8] = (ids[0, 8] + 1) % V
    with torch.no_grad():
        torch.testing.assert_close(model(later, prefix_BT=prefix)[:, :8], with_prefix[:, :8], **CLOSE)


def test_logits_are_made_at_wanted_positions_alone() -> None:
    model = made()
    ids = torch.randint(0, V, (2, 9))
    wanted = torch.rand(2, 9) > 0.5
    with torch.no_grad():
        torch.testing.assert_close(model(ids, wanted_BT=wanted), model(ids)[wanted], **CLOSE)


@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder-decoder"])
def test_attention_that_is_asked_for_sums_to_one_and_changes_no_logits(family: str) -> None:
    model = made(family=family, kv_heads=2)
    ids = torch.randint(0, V, (2, 9))
    source = {"source_BS": ids[:, :5]} if family == "encoder-decoder" else {}
    maps: dict[str, torch.Tensor] = {}
    with torch.no_grad():
        torch.testing.assert_close(model(ids, maps=maps, **source), model(ids, **source), **CLOSE)
    names = {"decoder": ["decoder.0", "decoder.1"], "encoder": ["encoder.0", "encoder.1"]}
    every = names.get(family, [*names["encoder"], "decoder.0", "decoder.0.cross", "decoder.1", "decoder.1.cross"])
    assert sorted(maps) == sorted(every)
    for name, map_BHTS in maps.items():
        assert map_BHTS.shape[:2] == (2, 4)
        torch.testing.assert_close(map_BHTS.sum(-1), torch.ones(map_BHTS.shape[:3]))
        if name in names["decoder"]:
            assert (map_BHTS.triu(1) == 0).all()


def test_outputs_that_begin_at_zero_leave_the_embedding_alone() -> None:
    model = made(zero_outputs=True, norm="layer")
    ids = torch.randint(0, V, (1, 5))
    with torch.no_grad():
        torch.testing.assert_close(model(ids), model.logits(model.decoder.norm(model.embedding(ids))))


def test_positions_count_within_documents() -> None:
    documents = torch.tensor([[-1, -1, 0, 0, 0, 1, 1]])
    assert positions_in(documents).tolist() == [[0, 1, 0, 1, 2, 0, 1]]


def test_slopes_are_those_of_the_paper() -> None:
    device = torch.device("cpu")
    assert slopes(8, device).tolist() == [2.0**-h for h in range(1, 9)]
    assert slopes(3, device).tolist() == pytest.approx([2.0**-4, 2.0**-8, 2.0**-2])


def test_buckets_are_t5_s() -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-400, 401)
    for both in (False, True):
        theirs = T5Attention._relative_position_bucket(distance, bidirectional=both, num_buckets=32, max_distance=128)
        assert torch.equal(bucket_of(distance, both_ways=both), theirs)
