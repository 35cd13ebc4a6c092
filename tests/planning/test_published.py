"""Peaks that other tools published, predicted from what their rows say: the bounds that the documentation states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.planning.config import Config
from luthier.planning.moving import NOTHING, moving
from luthier.planning.passes import Pass, Rows
from luthier.planning.published import is_for_training, mean_error, model_name, predict, read_points, worst
from luthier.planning.read import shape_from, shape_of
from luthier.planning.trainer import GATHERED, LOSS_CHUNKS, Loop, held, loss_bytes, moments, trainer_terms
from luthier.planning.words import WHY

POINTS = Path(__file__).parents[3] / "shared" / "data" / "planning" / "memory_points.csv"
DOCS = Path(__file__).parents[2] / "docs" / "planning.md"
needs_points = pytest.mark.skipif(not POINTS.exists(), reason=f"{POINTS} is not on this machine")


@needs_points
def test_published_peaks_within_the_stated_bounds() -> None:
    rows = read_points(POINTS)
    predictions = [predict(row) for row in rows if is_for_training(row)]
    assert len(predictions) > 140
    assert mean_error(predictions) < 0.08 and abs(worst(predictions).error) < 0.20
    assert {term.name for one in predictions for term in one.terms} <= set(WHY)


@needs_points
def test_no_rule_looks_at_what_was_measured() -> None:
    for row in read_points(POINTS):
        other = {**row, "measured_GB_1e9": "1", "measured_GiB": "1"}
        assert predict(other).predicted == predict(row).predicted


@needs_points
def test_the_documentation_has_every_row() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for row in read_points(POINTS):
        one = predict(row)
        line = f"| {one.id} | {one.measured / 1e9:.2f} | {one.predicted / 1e9:.2f} | {one.error:+.1%} |"
        assert line in text, line


def test_a_table_without_the_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("id,model\na,b\n")
    with pytest.raises(DataError, match="this is no table of measured peaks"):
        read_points(tmp_path / "points.csv")


def test_names_of_models_as_tables_write_them() -> None:
    assert model_name("meta-llama/Llama-3.2-3B") == "llama-3.2-3b"
    assert model_name("Llama 3.1 8B") == "llama-3.1-8b"
    assert model_name("Llama shape of SmolLM2-135M, random weights") == "smollm2-135m"


# ------------------------------------------------------------------------------------------------ sums by hand


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
