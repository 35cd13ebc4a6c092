"""Loss and gradients equal the plain computation, whatever the split into micro-batches, the model and the method."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.adapt.methods import method
from luthier.errors import PromptError
from luthier.model.forward import IGNORE, collate, supervised_loss
from luthier.model.model import Model
from luthier.records import Prompt
from luthier.training.batches import micro_batches
from tests import tiny

SETTINGS: dict[str, dict[str, Any]] = {"full": {}, "lora": {"rank": 4}, "soft": {"tokens": 5}}
ROWS = 5


def splits(prompts: list[Prompt]) -> dict[str, list[list[Prompt]]]:
    """Every way that a batch may be cut: whole, row by row, by length, and by chance in any order."""
    shuffled = random.Random(0).sample(prompts, len(prompts))
    return {
        "whole": [prompts],
        "rows": [[prompt] for prompt in prompts],
        "by length": micro_batches(prompts, 300),
        "by chance": [shuffled[:3], shuffled[3:4], shuffled[4:]],
    }


def gradients(module: nn.Module) -> dict[str, torch.Tensor]:
    taken = {n: p.grad.clone() for n, p in module.named_parameters() if p.requires_grad and p.grad is not None}
    module.zero_grad(set_to_none=True)
    return taken


def adapted(folder: Path, name: str) -> tuple[Model, nn.Module]:
    model = tiny.fresh(folder)
    module = method(name).apply(model, method(name).settings(**SETTINGS[name]), 0)
    if name != "full":
        tiny.scramble(module)
    return model, module.eval()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", tiny.KINDS)
def test_loss_and_gradients_equal_the_plain_computation(
    kind: str, name: str, dtype: torch.dtype, tiny_folder: Callable[[str], Path]
) -> None:
    """In fp64 the gradients too; in fp32 theirs carry the rounding of nets as wide as these."""
    model, module = adapted(tiny_folder(kind), name)
    module.to(dtype)
    prompts = tiny.train_prompts(model, ROWS)
    virtual = SETTINGS[name].get("tokens", 0)
    plain = torch.stack([tiny.reference_loss(module, prompt, model.family, virtual) for prompt in prompts]).sum()
    count = sum(len(prompt.target_ids or ()) for prompt in prompts)
    (plain / count).backward()
    expected = gradients(module)
    assert expected

    for split, parts in splits(prompts).items():
        total, counted = 0.0, 0
        for part in parts:
            loss, supervised = supervised_loss(module, collate(part, module, model.family))
            loss.backward()
            total, counted = total + float(loss.detach()), counted + supervised
        for parameter in module.parameters():
            if parameter.grad is not None:
                parameter.grad /= counted
        assert counted == count, split
        assert total == pytest.approx(float(plain.detach()), rel=1e-5), split
        got = gradients(module)
        assert got.keys() == expected.keys()
        for parameter_name, gradient in expected.items():
            scale = float(gradient.abs().max())
            worst = float((got[parameter_name] - gradient).abs().max())
            allowed = 1e-5 if dtype == torch.float64 else 1e-2
            assert worst <= allowed * max(1.0, scale), f"{split}: {parameter_name} differs by {worst} of {scale}"


def test_the_comparison_would_notice_a_mean_of_means(tiny_folder: Callable[[str], Path]) -> None:
    """The proof that the test above can fail: dividing micro-batch by micro-batch gives another number."""
    model, module = adapted(tiny_folder("decoder-chat"), "full")
    long, short = tiny.train_prompts(model, 2)
    short = replace(short, target_ids=(short.target_ids or ())[-2:])
    pairs = [supervised_loss(module, collate([prompt], module, model.family)) for prompt in (long, short)]
    of_means = sum(float(loss.detach()) / count for loss, count in pairs) / 2
    divided_once = sum(float(loss.detach()) for loss, _ in pairs) / sum(count for _, count in pairs)
    assert of_means != pytest.approx(divided_once, rel=1e-3)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_labels_stand_on_the_target_alone(kind: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind))
    prompts = tiny.train_prompts(model, 3)
    batch = collate(prompts, model.module, model.family)
    rows = batch.labels_BT
    if batch.layout:
        assert set(rows[0, : batch.layout.shared].tolist()) <= {IGNORE}
        rows = rows[0, batch.layout.shared :].view(batch.layout.rows, batch.layout.width)
    for row, prompt in zip(rows.tolist(), prompts, strict=True):
        assert [label for label in row if label != IGNORE] == list(prompt.target_ids or ())
    assert batch.tokens == sum(len(p.prompt_ids) + len(p.target_ids or ()) for p in prompts)


def test_a_prompt_without_supervised_token_is_refused(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"))
    for target_ids in (None, ()):
        with pytest.raises(PromptError, match="'e0' has no supervised token"):
            collate([replace(tiny.train_prompts(model, 1)[0], target_ids=target_ids)], model.module, model.family)
