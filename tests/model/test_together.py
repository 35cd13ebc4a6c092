"""Rows stand in one batch where each says what it says alone; where they do not, each is read by itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from luthier.errors import ModelError
from luthier.model.forward import class_logits, collate, row_losses, supervised_loss
from luthier.model.model import load
from luthier.model.together import padded_alike
from tests import tiny
from tests.sweep.folders import make


@pytest.mark.parametrize("kind", [*tiny.KINDS, *tiny.ENCODERS])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_most_architectures_hide_padding(kind: str, precision: str, tiny_folder: Callable[[str], Path]) -> None:
    model = tiny.fresh(tiny_folder(kind), precision)
    assert padded_alike(model.module, model.family)
    assert not collate(tiny.train_prompts(model, 3), model.module, model.family).alone


def test_rows_whose_padding_is_mixed_in_are_read_alone(tmp_path: Path) -> None:
    """FNet's Fourier transform mixes all positions of a row, and padding with them."""
    model = load(str(make("fnet", tmp_path / "fnet")), precision="fp32", device="cpu", labels=tiny.LABELS)
    assert not padded_alike(model.module, model.family)
    prompts = tiny.train_prompts(model, 4)
    batch = collate(prompts, model.module, model.family)
    assert len(batch.alone) == 4 and batch.tokens == sum(len(prompt.prompt_ids) for prompt in prompts)
    each = [collate([prompt], model.module, model.family) for prompt in prompts]
    with torch.no_grad():
        assert torch.equal(class_logits(model.module, batch), torch.cat([class_logits(model.module, b) for b in each]))
        loss, count = supervised_loss(model.module, batch)
        assert count == 4 and loss.item() == pytest.approx(sum(supervised_loss(model.module, b)[0] for b in each))


def test_rows_alone_have_the_loss_of_rows_together(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("decoder-chat", "bart"):
        model = tiny.fresh(tiny_folder(kind))
        prompts = tiny.train_prompts(model, 3)
        together = collate(prompts, model.module, model.family)
        with monkeypatch.context() as patch:
            patch.setattr("luthier.model.forward._are_together", lambda *about: False)
            apart = collate(prompts, model.module, model.family)
        assert len(apart.alone) == 3 and apart.tokens == together.tokens
        with torch.no_grad():
            torch.testing.assert_close(row_losses(model.module, apart), row_losses(model.module, together))
            mine, theirs = supervised_loss(model.module, apart), supervised_loss(model.module, together)
            assert mine[1] == theirs[1] and mine[0].item() == pytest.approx(theirs[0].item(), rel=1e-5)


def test_rows_that_an_architecture_refuses_are_a_sentence(tmp_path: Path) -> None:
    model = load(str(make("reformer", tmp_path / "reformer")), precision="fp32", device="cpu")
    batch = collate(tiny.train_prompts(model, 1), model.module.train(), model.family)
    with pytest.raises(ModelError, match=r"type 'reformer' does not take these rows \(If training, sequence length"):
        supervised_loss(model.module, batch)
