"""Logits are formed where a call asks for them, and everywhere for all others."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import nn

from luthier.model.forward import collate, supervised_loss
from luthier.model.logits import chooses, last_position_only, make_ready, output_layer, positions_only
from luthier.model.model import load
from tests import tiny
from tests.sweep.folders import make

IDS = torch.tensor([[5, 6, 7, 8]])


@torch.inference_mode()
def said(module: Any, kind: str) -> torch.Tensor:
    inputs = {"input_ids": IDS} if kind in tiny.DECODERS else {"input_ids": IDS, "decoder_input_ids": IDS}
    logits: torch.Tensor = module(**inputs).logits
    return logits


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_logits_are_formed_only_where_asked(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    module = tiny.fresh(tiny_folder(kind)).module
    whole = said(module, kind)
    with last_position_only(module):
        last = said(module, kind)
    with (
        pytest.raises(KeyboardInterrupt),
        positions_only(module, lambda hidden: hidden[:, [1, 3]].flatten(0, 1)),
        ThreadPoolExecutor(1) as other,
    ):
        two = said(module, kind)
        assert torch.equal(other.submit(said, module, kind).result(), whole)  # another thread did not ask for two
        raise KeyboardInterrupt
    assert torch.equal(said(module, kind), whole)
    assert last.shape == (1, 1, whole.shape[-1]) and torch.allclose(last, whole[:, -1:], atol=1e-5)
    assert two.shape == (2, whole.shape[-1]) and torch.allclose(two, whole[0, [1, 3]], atol=1e-5)


def test_the_output_layer_reads_no_part_of_a_tensor(tiny_folder: Callable[[str], Path]) -> None:
    """Else torch copies its weight for every row: 3 GB for 56 rows of SmolLM2."""
    module, seen = tiny.fresh(tiny_folder("decoder-chat")).module, []
    make_ready(module)
    output_layer(module).register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    with last_position_only(module), torch.inference_mode():
        module(input_ids=IDS.repeat(3, 1))
    assert [(tuple(one.shape[:2]), one.is_contiguous()) for one in seen] == [((3, 1), True)]


def test_an_adapter_of_the_output_layer_is_selected_for_once(tiny_folder: Callable[[str], Path]) -> None:
    """The layer below it stands ready too, and would select from what was selected."""
    base: Any = tiny.fresh(tiny_folder("gpt2")).module
    module = peft.get_peft_model(base, peft.LoraConfig(target_modules=["lm_head"], r=2)).eval()
    whole = said(module, "gpt2")
    with positions_only(module, lambda hidden: hidden[:, [3]]):
        assert torch.allclose(said(module, "gpt2"), whole[:, [3]], atol=1e-5)


def test_one_hook_is_enough(tiny_folder: Callable[[str], Path]) -> None:
    module = tiny.fresh(tiny_folder("decoder-chat")).module
    hooks = dict(output_layer(module)._forward_pre_hooks)
    make_ready(module)
    with last_position_only(module):
        pass
    assert len(hooks) == 1 and dict(output_layer(module)._forward_pre_hooks) == hooks


def test_a_table_that_is_looked_up_and_multiplied_is_left_alone(tmp_path: Path) -> None:
    """FSMT's output layer is its embedding itself, whose input are tokens and not hidden states."""
    model = load(str(make("fsmt", tmp_path / "fsmt")), precision="fp32", device="cpu")
    assert isinstance(output_layer(model.module), nn.Embedding) and not chooses(model.module)
    prompts = tiny.train_prompts(model, 2)
    loss, count = supervised_loss(model.module, collate(prompts, model.module, model.family))
    plain = sum(tiny.reference_loss(model.module, prompt, model.family) for prompt in prompts)
    torch.testing.assert_close(loss, plain, rtol=1e-4, atol=1e-4)
    assert count == sum(len(prompt.target_ids or ()) for prompt in prompts)
