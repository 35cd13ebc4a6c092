"""What users run, in both precisions on every processor: a study of each family with every method that trains it.

`auto` follows the processor, so what is tested in the precision at hand alone is tested on half of the machines.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from luthier.adapt.methods import METHODS
from luthier.arms.ask import ask
from luthier.arms.merge import merge_arm
from luthier.arms.shipped import load_arm, verify
from luthier.files import read_json, read_lines, write_lines
from luthier.model.encoder import head_parameters
from luthier.model.model import PRECISIONS, load
from luthier.studies.study import study
from tests.commands import BOTH_PRECISIONS, in_precision, type_in
from tests.promises import CLAIMS
from tests.studies.test_study import make_task

Folders = Callable[[str], Path]
KINDS = ("decoder-chat", "t5-tied", "bert")  # one of each family
DIALS = "epochs=1,evaluations=1,batch_size=4"


pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Studied:
    """A finished study of every method that trains a tiny model of a kind."""

    folder: Path
    kind: str
    precision: str

    @property
    def trained(self) -> list[str]:
        return [name for name in self.arms if name.partition("@")[0] in CLAIMS]

    @property
    def arms(self) -> list[str]:
        return sorted(read_json(self.folder / "compare.json")["arms"])


def methods_of(kind: str) -> list[str]:
    """Every trained method that adapts this kind; on a narrow base, at the width that needs no other package."""
    family = "encoder" if kind == "bert" else "decoder"
    named = [name for name, claim in CLAIMS.items() if METHODS[name].adapts(family) and kind not in claim.refused]
    if kind == "t5-tied":
        named.remove("domain")  # its tokenizer has no sentinels
    return [f"{name}@int4" if CLAIMS[name].width else name for name in named]


@pytest.fixture(scope="module", params=[(kind, precision) for precision in BOTH_PRECISIONS for kind in KINDS],
                ids="-".join)  # fmt: skip
def studied(request: pytest.FixtureRequest, tiny_folder: Folders, tmp_path_factory: pytest.TempPathFactory) -> Studied:
    kind, precision = request.param
    out = tmp_path_factory.mktemp(f"{kind}-{precision}")
    task = "dialogues:mood" if kind == "bert" else make_task(out)
    defaults, arms, texts = DIALS, methods_of(kind), out / "texts.jsonl"
    if "domain" in arms:  # the inputs of this task stand in its test split, too, and are left out
        write_lines(texts, [{"text": f"House {n}: the lift is out of order. " * 8} for n in range(30)])
        defaults += f",corpus={texts}"
    with in_precision(precision):
        study(task, model=str(tiny_folder(kind)), arms=arms, defaults=defaults, train=8, dev=2, test=4,
              out=out / "study")  # fmt: skip
    return Studied(out / "study", kind, precision)


def test_every_method_trains_and_answers(studied: Studied) -> None:
    """What a method adds is fp32. The model's own weights and what was asked have the study's precision."""
    assert set(methods_of(studied.kind)) == set(studied.trained)
    assert read_json(studied.folder / "study.json")["model"]["precision"] == studied.precision
    for name in studied.trained:
        place = studied.folder / "arms" / name
        assert read_json(place / "arm.json")["status"] == "done", name
        assert len(read_lines(place / "answers.jsonl")) == 4
        losses = [row["loss_sum"] for row in read_lines(place / "metrics.jsonl")]
        assert losses and all(map(math.isfinite, losses)), name
        for file in place.glob("adapter/*.safetensors"):
            if name.partition("@")[0] in ("select", "bitfit"):  # the model's own, with an encoder's new head
                own, head = PRECISIONS[studied.precision], {torch.float32} if studied.kind == "bert" else set()
                assert {*dtypes(file)} == {own} | head, name
            else:
                assert {*dtypes(file)} == {torch.float32}, name


def test_every_arm_is_asked_as_it_was_measured(studied: Studied) -> None:
    """Loaded on a fresh base, whatever the machine's own precision is now."""
    for name in studied.trained:
        shipped = load_arm(studied.folder / "arms" / name)
        assert shipped.model.dtype == PRECISIONS[studied.precision], name
        verify(shipped)
        assert len(shipped.probes) == 2
        if studied.kind == "bert":
            module = shipped.model.module
            head = [p for n, p in module.named_parameters() if n in head_parameters(module, shipped.model.head)]
            assert head and {p.dtype for p in head} == {torch.float32}, name


def test_what_merges_is_a_plain_model_in_that_precision(studied: Studied, tmp_path: Path) -> None:
    """A label's choice survives that bf16 rounds the update with the weights; a text may go on otherwise."""
    encoder, text = studied.kind == "bert", "Anna: Can we move the dentist to Friday?"
    for name in studied.trained:
        if not METHODS[name.partition("@")[0]].leaves_whole_weights:
            continue
        place, plain = studied.folder / "arms" / name, tmp_path / name
        found = merge_arm(place, plain, differ=0 if encoder or studied.precision == "fp32" else 2)
        assert found["probes"] == 2
        labels = load_arm(place).model.labels
        whole = load(str(plain), precision=studied.precision, device="cpu", labels=labels if encoder else ())
        assert whole.dtype == PRECISIONS[studied.precision], name
        assert "".join(ask(studied.folder, text, arm=name)) in labels or not encoder


def test_the_command_line_from_a_table_to_an_answer(newcomer: Path, precision: str) -> None:
    """init, check, show, study, ask, merge, report: as typed, a decoder and an encoder on the same labels."""
    queues = ("billing", "delivery", "returns")
    with open(newcomer / "tickets.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "queue"])
        rows.writerows([f"Message {i} about {queues[i % 3]}.", queues[i % 3]] for i in range(60))
    type_in(["init", "tickets", "--from", "tickets.csv", "--input", "text", "--labels", "queue"])
    type_in(["check", "tickets", "--model", "smollm2-135m"])
    arms = "zero-shot,lora,lora+model=minilm,head+model=minilm"
    type_in(["show", "tickets", "--arm", "zero-shot"])
    type_in(["study", "tickets", "--arms", arms, "--defaults", DIALS, "--train", "8", "--out", "mine"])
    models = read_json(newcomer / "mine" / "study.json")["models"]
    assert [row["precision"] for row in models.values()] == [precision]
    for arm in arms.split(","):
        type_in(["ask", "mine", "Where is my parcel?", "--arm", arm])
    type_in(["merge", "mine", "--arm", "lora+model=minilm", "--out", "plain"])
    type_in(["report", "mine"])
    assert (newcomer / "plain" / "config.json").exists() and (newcomer / "mine" / "report.html").exists()


def dtypes(file: Path) -> Iterator[torch.dtype]:
    from safetensors.torch import load_file

    return (tensor.dtype for tensor in load_file(file).values())
