"""luthier pretrain: every objective learns, a killed training ends with the same weights, bits are counted right."""

from __future__ import annotations

import bz2
import json
import lzma
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from luthier.errors import FolderError, SettingsError
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.pretrain_record import PretrainRecord
from luthier.results.record import read_lines_of
from luthier.scratch import pretrain as work
from luthier.scratch.corpus import Document
from luthier.scratch.held_out import HeldOut, sample_of
from luthier.scratch.objectives import Vocabulary
from luthier.scratch.pretrain import fit, pretrain
from luthier.scratch.pretraining import Pretraining
from luthier.scratch.rows import RowBatches
from luthier.settings import settings_from
from tests.commands import one_sentence

SMALL = {"tokenizer": "bytes", "vocabulary": 257, "width": 32, "layers": 2, "heads": 2, "row": 64, "batch_tokens": 512,
         "tokens": 15_000, "evaluations": 2, "held_out_bytes": 3000, "checkpoint_seconds": 0.0}  # fmt: skip
MINUTES = float(os.environ.get("LUTHIER_PRETRAIN_MINUTES", "0"))  # of the training that is killed; 0: some seconds


def stopped(work_: work.Work, out: Path, evaluate: Callable[[], float], watch: Callable[[], None], after: int) -> None:
    """`fit`, stopped in a step."""
    steps = iter(range(after))

    def counted() -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt

    fit(work_, out, evaluate, counted)


def settings(texts: str, **given: Any) -> Pretraining:
    return Pretraining(corpus=texts, **(SMALL | given))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("given", [
    {}, {"model": "lstm", "optimizer": "adamw"}, {"objective": "prefix"},
    {"objective": "masked", "positions": "learned"},
    {"objective": "spans", "positions": "buckets"}, {"tokenizer": "bpe", "vocabulary": 300, "cooldown": 0.3},
    {"tokenizer": "unigram", "vocabulary": 300, "positions": "alibi", "activation": "swiglu", "tied": False},
], ids=lambda given: "-".join(map(str, given.values())) or "causal")  # fmt: skip
def test_every_objective_learns(given: dict[str, Any], precision: str, texts: str, tmp_path: Path) -> None:
    record = pretrain(settings(texts, precision=precision, **given), tmp_path)
    assert record.precision == ("fp32" if given.get("model") == "lstm" else precision)
    weights = load_file(tmp_path / "weights" / "model.safetensors")
    assert all(one.dtype == torch.float32 for one in weights.values())
    lines = read_lines_of(Step, tmp_path / "metrics.jsonl")
    assert record.finished and len(lines) == record.steps == 30
    assert record.loss is not None and record.loss < 0.85 * lines[0].loss
    assert (tmp_path / "weights" / "model.safetensors").exists() and "<svg" in (tmp_path / "pretrain.html").read_text()
    causal = given.get("objective", "causal") in ("causal", "prefix")
    assert (record.held_out is not None) == causal
    assert len(record.samples or []) == (3 if given.get("objective", "causal") == "causal" else 0)


@pytest.mark.slow
def test_killed_and_resumed_ends_with_the_same_weights(texts: str, tmp_path: Path) -> None:
    """By kill -9 in a process of its own, at two moments of the training.

    LUTHIER_PRETRAIN_MINUTES=5 makes it a training of about that length, with pretrain's defaults on its own text.
    """
    given = settings(texts)
    if MINUTES:
        given = Pretraining(tokens=100_000)
        assert trained_in(tmp_path / "trial", given).wait() == 0
        seconds = median(line.seconds for line in read_lines_of(Step, tmp_path / "trial" / METRICS_FILE))
        given = Pretraining(tokens=int(MINUTES * 60 / seconds) * given.batch_tokens)
    assert trained_in(tmp_path / "whole", given).wait() == 0
    metrics, reached = tmp_path / "killed" / METRICS_FILE, []
    for share in (0.25, 0.6):
        process = trained_in(tmp_path / "killed", given)
        while process.poll() is None and lines_in(metrics) < share * given.steps:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached.append(lines_in(metrics))
        assert not PretrainRecord.read(tmp_path / "killed").finished
    assert trained_in(tmp_path / "killed", given).wait() == 0
    whole, killed = (PretrainRecord.read(tmp_path / name) for name in ("whole", "killed"))
    took = sum(line.seconds for line in read_lines_of(Step, tmp_path / "whole" / METRICS_FILE))
    print(f"{given.steps} steps in {took:.0f} s, {whole.precision}; killed after {reached}: {killed.weights_sha256}")
    assert whole.weights_sha256 == killed.weights_sha256
    assert whole == killed


def trained_in(out: Path, given: Pretraining) -> subprocess.Popen[bytes]:
    """A training on one thread, in a process of its own."""
    code = (
        "import sys, json\nfrom pathlib import Path\nfrom luthier.scratch.pretrain import pretrain\n"
        "from luthier.scratch.pretraining import Pretraining\n"
        "import torch; torch.set_num_threads(1)\n"
        "pretrain(Pretraining(**json.loads(sys.argv[1])), Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, json.dumps(given.model_dump(mode="json")), str(out)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_a_training_goes_on_in_the_precision_it_began_with(
    texts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine decides what 'auto' means, and another one may go on. bf16 comes to about the same loss."""
    monkeypatch.setenv("LUTHIER_PRECISION", "bf16")
    whole = pretrain(settings(texts), tmp_path / "whole")
    monkeypatch.setattr(work, "fit", lambda *given: stopped(*given[:4], after=7))
    with pytest.raises(KeyboardInterrupt):
        pretrain(settings(texts), tmp_path / "moved")
    monkeypatch.undo()
    monkeypatch.setenv("LUTHIER_PRECISION", "fp32")
    moved, other = (pretrain(settings(texts), tmp_path / name) for name in ("moved", "other"))
    assert moved == whole and (moved.precision, other.precision) == ("bf16", "fp32")
    assert moved.weights_sha256 != other.weights_sha256
    assert moved.loss == pytest.approx(other.loss, rel=0.02)


def test_a_finished_training_is_not_run_again_and_another_is_refused(texts: str, tmp_path: Path) -> None:
    record = pretrain(settings(texts), tmp_path)
    before = (tmp_path / "weights" / "model.safetensors").stat().st_mtime_ns
    assert pretrain(settings(texts), tmp_path) == record
    assert (tmp_path / "weights" / "model.safetensors").stat().st_mtime_ns == before
    with pytest.raises(FolderError, match="its training has another seed; name a new folder"):
        pretrain(settings(texts, seed=1), tmp_path)


def test_a_checkpoint_of_other_settings_is_not_gone_on_with(texts: str, tmp_path: Path) -> None:
    pretrain(settings(texts, tokens=1), tmp_path / "a")
    (tmp_path / "a" / PretrainRecord.FILE).unlink()
    other = settings(texts, tokens=1, learning_rate=0.003)
    again, alone = (pretrain(other, tmp_path / name) for name in ("a", "b"))
    assert again == alone


@pytest.mark.parametrize("given, sentence", [
    ({"model": "lstm", "objective": "masked"}, "an LSTM reads from left to right"),
    ({"width": 30, "heads": 4}, "does not divide the width of 30"),
    ({"batch_tokens": 16}, "less than one row of 64"),
    ({"kv_heads": 3}, "does not divide the 2 heads"),
    ({"trunk_tokens": 14_999}, "trunk_tokens is 14999, and this training has 15000"),
    ({"trunk_tokens": 15_000}, "trunk_tokens needs a rate that stays"),
    ({"trunk_tokens": 15_000, "cooldown": 0.2}, "evaluations is 2; with trunk_tokens"),
])  # fmt: skip
def test_what_cannot_be_trained_is_a_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        settings_from(Pretraining, SMALL | given, "pretrain")


class Uniform(nn.Module):
    """Every token of 257 is equally likely."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(257))

    def forward(self, ids_BT: torch.Tensor, **_: Any) -> torch.Tensor:
        return self.weight.expand(*ids_BT.shape, 257)


def test_bits_a_byte_are_counted_over_all_tokens_and_divided_once() -> None:
    documents = [Document("a", "", "x" * 700), Document("b", "", "é" * 30), Document("c", "", "z")]
    held_out = HeldOut(documents, lambda text: list(text.encode()), 256, 64)
    sizes = [len(one.text.encode()) for one in documents]
    expected = [(size + 1) * math.log(257) for size in sizes]  # the end of each document counts
    assert held_out.nats(Uniform()) == pytest.approx(expected)
    judged = held_out.judged(Uniform())
    assert judged.value == pytest.approx(sum(expected) / math.log(2) / sum(sizes))
    assert held_out.bits(Uniform()) == pytest.approx(judged.value)
    whole = "".join(one.text for one in documents).encode()
    assert judged.xz == 8 * len(lzma.compress(whole, preset=9 | lzma.PRESET_EXTREME)) / len(whole)
    assert judged.bzip2 == 8 * len(bz2.compress(whole, 9)) / len(whole)
    assert judged.bytes == len(whole) and judged.documents == 3


def test_a_sample_stays_below_its_bytes_and_is_never_empty() -> None:
    documents = [Document(str(n), "", "x" * 100) for n in range(5)]
    assert len(sample_of(documents, 250)) == 2 and len(sample_of(documents, 10)) == 1


def batches(objective: str, steps: int = 12, longest: int | None = None) -> RowBatches:
    return RowBatches([f"text number {n} of many" for n in range(9)], lambda text: list(text.encode()),
                      Vocabulary(257, 256), objective=objective, row=16, steps=steps, rows_a_step=4, micro_rows=3,
                      seed=5, longest=longest)  # fmt: skip


@pytest.mark.parametrize("objective", ["causal", "prefix", "masked", "spans"])
def test_a_position_that_was_saved_goes_on_with_the_same_rows(objective: str) -> None:
    every = list(batches(objective))
    assert len(every) == 12 and all([len(part) for part in step] == [3, 1] for step in every)
    resumed = batches(objective)
    resumed.load_state_dict({"position": 7})
    assert list(resumed) == every[7:]


@pytest.mark.parametrize("objective", ["causal", "prefix", "masked", "spans"])
def test_trainings_of_one_trunk_begin_with_the_same_rows(objective: str) -> None:
    """12 steps are several passes, 2 are less than one; by itself a training of 2 steps has others of its pass."""
    every = list(batches(objective))
    assert list(batches(objective, 2, longest=12)) == every[:2] != list(batches(objective, 2))
    assert list(batches(objective, 7, longest=12)) == every[:7]
    assert list(batches(objective, longest=12)) == every


def test_the_verb_prints_bits_and_refuses_in_a_sentence(texts: str, tmp_path: Path, luthier_says) -> None:
    options = [part for key, value in SMALL.items() for part in (f"--{key.replace('_', '-')}", value)]
    said = luthier_says("pretrain", "--corpus", texts, "--out", tmp_path / "a", *options, "--no-qk-norm")
    assert said.code == 0 and "held-out documents" in said.out and "xz -9e" in said.out, said.err
    assert "parameters (" in said.err and "FLOPs" in said.err  # said before it begins
    said = luthier_says("pretrain", "--corpus", "nowhere.txt", "--out", tmp_path / "b")
    assert said.code == 2
    one_sentence(said.err)


def test_a_text_that_spells_the_end_is_read_whole(tmp_path: Path) -> None:
    from luthier.scratch.pretrain import prepare
    from luthier.scratch.vocabulary import END

    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(6):
        (folder / f"{number}.txt").write_text(f"{END} and more text, number {number}. " * 12)
    work = prepare(settings(str(folder)), tmp_path / "tokenizers")
    ids = work.encode(f"a{END}b")
    assert work.ids.end not in ids and work.vocabulary.tokenizer.decode(ids) == f"a{END}b"
