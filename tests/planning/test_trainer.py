"""A Trainer's bytes: sums by hand, sharding, and PyTorch's own tracker."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from luthier.planning.config import Config
from luthier.planning.moving import NOTHING, moving
from luthier.planning.passes import Pass, Rows
from luthier.planning.read import shape_from, shape_of
from luthier.planning.trainer import GATHERED, LOSS_CHUNKS, Loop, held, loss_bytes, moments, trainer_terms


def test_full_training_by_hand() -> None:
    """Weights, gradients and two moments of a bf16 model of N parameters, with AdamW's values of one step: 10 N."""
    shape = shape_of("llama-3.2-1b")
    loop = Loop(Rows(0, 0, 0), weights="bf16", trained="bf16")
    full = moving(shape, "full", None)
    parts = held(shape, full, loop)
    n = shape.parameters
    assert (parts.weights, parts.gradients, parts.states) == (2 * n, 2 * n, 4 * n)
    assert sum(term.bytes for term in trainer_terms(shape, full, loop)) == 10 * n
    fp32 = Loop(Rows(0, 0, 0), weights="fp32", trained="fp32", computes="fp32", foreach=False)
    assert sum(term.bytes for term in trainer_terms(shape, full, fp32)) == 16 * n  # without the textbook's activations


def test_sharding_by_hand() -> None:
    shape = shape_of("llama-3.2-1b")
    full, n = moving(shape, "full", None), shape.parameters
    expected = {"none": (2, 2, 4), "ddp": (2, 2, 4), "zero1": (2, 2, 1), "zero2": (2, 0.5, 1), "zero3": (0.5, 0.5, 1)}
    for shard, (weights, gradients, states) in (expected | {"fsdp": expected["zero3"]}).items():
        parts = held(shape, full, Loop(Rows(0, 0, 0), trained="bf16", devices=4, shard=shard))  # type: ignore[arg-type]
        assert (parts.weights, parts.gradients, parts.states) == (weights * n, gradients * n, states * n)
    block = sum(layer.parameters for layer in shape.blocks[0].layers)
    loop = Loop(Rows(1, 10, 10), trained="bf16", devices=4, shard="fsdp")
    gathered = {term.name: term.bytes for term in moments(shape, full, loop)[1]}["gathered weights"]
    assert gathered == GATHERED * 2 * block


def test_the_loss_by_hand() -> None:
    """Log-probabilities and two gradients in fp32, at every position: 12 bytes a number, and the logits if held."""
    shape = shape_of("llama-3.2-1b")
    loop = Loop(Rows(2, 50, 50), how=Pass(number=2, attention="kernel", all_logits=True, on_cpu=False))
    terms = {term.name: term.bytes for term in moments(shape, moving(shape, "full", None), loop)[0]}
    assert terms["loss"] == 100 * 128_256 * 12
    assert loss_bytes(shape, replace(loop, holds_logits=True)) == 100 * 128_256 * 14
    assert loss_bytes(shape, replace(loop, loss="chunked")) == 100 * 128_256 * 12 / LOSS_CHUNKS
    assert held(shape, NOTHING, loop).total == 2 * shape.parameters


def test_buckets_are_there_on_several_devices_without_sharding() -> None:
    """As large as all gradients, beside whatever else is highest."""
    shape = shape_of("smollm2-135m")
    for arm, settings in (("full", None), ("lora", SimpleNamespace(rank=16, targets="all-linear"))):
        moves, one = moving(shape, arm, settings), Loop(Rows(2, 50, 50))
        alone = sum(term.bytes for term in trainer_terms(shape, moves, one))
        for shard, copies in (("none", 1), ("ddp", 1), ("zero1", 0), ("fsdp", 0)):
            split = held(shape, moves, replace(one, devices=4, shard=shard))  # type: ignore[arg-type]
            assert split.buckets == copies * 4 * moves.trainable(shape)
        ddp = trainer_terms(shape, moves, replace(one, devices=4, shard="ddp"))
        assert sum(term.bytes for term in ddp) == alone + 4 * moves.trainable(shape)


# --------------------------------------------------------------------------------------------------------- oracle


@pytest.mark.slow
@pytest.mark.parametrize("tokens, vocabulary", [(64, 300), (256, 300), (128, 8000)])
def test_full_training_against_pytorch_s_own_tracker(tokens: int, vocabulary: int) -> None:
    """torch.distributed._tools.mem_tracker follows every tensor of a step; it knows no frozen parameters."""
    torch = pytest.importorskip("torch")
    tracker = pytest.importorskip("torch.distributed._tools.mem_tracker")
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {
        "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 6, "num_attention_heads": 4,
        "num_key_value_heads": 4, "vocab_size": vocabulary, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(0)
    module = LlamaForCausalLM(LlamaConfig(**sizes))
    optimizer = torch.optim.AdamW(module.parameters(), foreach=False)
    ids = torch.arange(4 * tokens).view(4, tokens) % vocabulary

    def step() -> None:
        module(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()  # AdamW makes its states at the first step
    followed = tracker.MemTracker()
    followed.track_external(module, optimizer)
    with followed:
        step()
    (peak,) = followed.get_tracker_snapshot("peak").values()
    shape = shape_from(Config("it", module.config.to_dict()))
    how = Pass(number=4, attention="kernel", fused_norms=False, all_logits=True)
    loop = Loop(Rows(4, tokens, tokens), weights="fp32", trained="fp32", computes="fp32", foreach=False, how=how)
    planned = sum(term.bytes for term in trainer_terms(shape, moving(shape, "full", None), loop))
    assert planned == pytest.approx(peak["Total"], rel=0.08)
