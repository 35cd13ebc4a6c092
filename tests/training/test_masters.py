"""fp32 masters: small steps add up in bf16, gradients are summed in fp32, and a killed run ends in the same weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.adapt.methods import method
from luthier.model.forward import collate
from luthier.studies.remedies import Penalties
from luthier.training.masters import Masters
from luthier.training.settings import Training
from tests import tiny
from tests.training.test_loop import Killed, Run, interrupt, kill, same


def test_steps_that_bf16_cannot_hold_add_up() -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    nn.init.ones_(layer.weight)
    masters = Masters(layer)
    (master,) = masters.moved.values()
    for _ in range(100):
        with torch.no_grad():
            master.sub_(1e-4)  # a bf16 one knows no number between it and .996
        masters.write()
    assert layer.weight.item() == pytest.approx(0.99, abs=2**-9)
    assert master.item() == pytest.approx(0.99, abs=1e-5)


def test_gradients_are_summed_in_fp32_and_take_no_memory_of_the_module() -> None:
    layer = nn.Linear(1, 1, bias=False, dtype=torch.bfloat16)
    masters = Masters(layer)
    (master,) = masters.moved.values()
    for _ in range(1000):  # in bf16 the sum would stop at 256
        layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
    assert float(master.grad) == 1000 and layer.weight.grad is None  # type: ignore[arg-type]
    masters.close()
    layer(torch.ones(1, 1, dtype=torch.bfloat16)).sum().backward()
    assert float(layer.weight.grad) == 1  # type: ignore[arg-type]


def test_what_is_fp32_is_its_own_master() -> None:
    layer = nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    assert {name: p is layer.weight for name, p in Masters(layer).moved.items()} == {"weight": True}


@pytest.mark.parametrize("kind", ["decoder-chat", "t5-tied", "bert"])
@pytest.mark.parametrize("name", ["full", "select"])
def test_a_killed_training_in_bf16_ends_in_the_same_weights(
    name: str, kind: str, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    whole, killed, again = (
        Run(tiny_folder(kind), tmp_path / folder, name, precision="bf16") for folder in ("whole", "killed", "killed")
    )
    whole.train()
    with pytest.raises(Killed):
        interrupt(killed, 4, kill)
    again.train()
    assert {p.dtype for p in whole.model.module.parameters()} >= {torch.bfloat16}
    assert same(whole.module, again.module) and whole.metrics() == again.metrics()


def test_full_in_bf16_learns_what_it_learns_in_fp32(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        run = Run(tiny_folder("decoder-chat"), tmp_path / precision, "full", precision=precision)
        run.train()
        losses[precision] = [row["loss_sum"] / row["count"] for row in run.metrics()]
    # bf16 keeps 8 bits, and weights that are rounded otherwise go another way; in the mean it goes down as far.
    fell = {precision: of[0] - sum(of[-3:]) / 3 for precision, of in losses.items()}
    assert fell["fp32"] > 0.2
    assert fell["bf16"] == pytest.approx(fell["fp32"], rel=0.25)
    torch.testing.assert_close(torch.tensor(losses["bf16"]), torch.tensor(losses["fp32"]), rtol=0.06, atol=0.0)


def test_anchor_pulls_the_masters(tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder("decoder-chat"), "bf16")
    module = method("full").apply(model, method("full").settings(), 0)
    masters = Masters(module)
    penalties = Penalties.of(Training(anchor=0.5), masters, lambda: model)
    prompts = tiny.train_prompts(model, 2)
    gradients = []
    for moved in (0.0, 1e-5):  # less than bf16 knows
        for master in masters.moved.values():
            with torch.no_grad():
                master.add_(moved)
            master.grad = None
        loss, count = penalties.loss(module, prompts, collate(prompts, module, model.family))
        loss.backward()
        gradients.append([master.grad.clone() for master in masters.moved.values()])  # type: ignore[union-attr]
    for before, after in zip(*gradients, strict=True):
        torch.testing.assert_close(after - before, torch.full_like(before, 0.5 * count * 1e-5), rtol=0.05, atol=1e-5)
