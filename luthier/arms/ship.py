"""Shipping: an arm as a folder that a user hands on, with evidence, a card, and the hash of every file.

    DIR/luthier.json, adapter/ | weights/ | quantized/   the arm itself: `ask`, `serve` and `merge` take the folder
    DIR/gguf/ARM-f16.gguf                                exported forms, each measured again as an arm of the study
    DIR/evidence/                                        the study's records, the test examples, answers, all scores
    DIR/evidence.json, README.md, SHA256SUMS             what is known, for programs, for people, and for sha256sum

An export is called good only if it makes the same prompts, is close on the probes, and scores within the study's
margin of what was measured.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from luthier import __version__
from luthier.arms.export_gguf import KINDS, read_gguf, write_gguf
from luthier.arms.merge import merged
from luthier.arms.ship_page import MODELFILE, card, modelfile, prompt_record, refuse_unsayable
from luthier.arms.shipped import Shipped, arm_to_ask, load_arm, verify
from luthier.decoding.answers import asking
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import building, possible, write_json, write_text
from luthier.hashes import sha256_of_files
from luthier.machine import keep_freed_memory
from luthier.model.model import Model
from luthier.records import Answer, Example, Prompt, Score
from luthier.results.comparison import Comparison
from luthier.results.evidence import EVIDENCE_FOLDER, Evidence, Export, hashes_of, write_sums
from luthier.results.folder import StudyFolder
from luthier.results.lines import ANSWERS_FILE, EXAMPLES_FILE, PROMPTS_FILE, SCORES_FILE
from luthier.results.names import DOMAIN
from luthier.results.record import read_lines_of, write_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord, TaskOrigin
from luthier.scoring.score import score
from luthier.verdicts.compare import again

GGUF_FOLDER = "gguf"
MOST_DISTANCE = {"f16": 0.05, "q8_0": 0.25}  # total variation on the probes: more is a mistake, not rounding
NOT_CHECKED = (
    "what other programs make of the exported files: they were measured with luthier's own arithmetic",
    "inputs unlike those of the test set",
)


@dataclass(frozen=True)
class _Source:
    """What is shipped of a study: its records and one arm of it, each file read once."""

    folder: StudyFolder
    name: str  # of the arm
    record: StudyRecord
    compared: Comparison

    @classmethod
    def of(cls, folder: StudyFolder, arm: str | None) -> _Source:
        record, compared = StudyRecord.read(folder.path), Comparison.read(folder.path)
        return cls(folder, arm or arm_to_ask(folder.path), record, compared)

    @property
    def place(self) -> Path:
        return self.folder.arm(self.name)

    @cached_property
    def examples(self) -> list[Example]:
        return self.folder.examples()

    @cached_property
    def prompts(self) -> list[Prompt]:
        return read_lines_of(Prompt, self.place / PROMPTS_FILE)

    @cached_property
    def answers(self) -> list[Answer]:
        return self.folder.answers(self.name)

    @cached_property
    def scores(self) -> dict[str, list[Score]]:
        """Those of every arm of the comparison."""
        return {arm: self.folder.scores(arm) for arm in self.compared.arms}


@dataclass(frozen=True)
class _Form:
    """An exported form of the arm, with its own answers to the test prompts."""

    kind: str
    arm: str  # its name in evidence/arms/
    file: str
    bytes: int
    prompts_equal: bool
    distance: float
    answers: list[Answer]
    scores: list[Score]


def ship(
    study: str | Path,
    out: str | Path,
    *,
    arm: str | None = None,
    gguf: Sequence[str] = (),
    with_modelfile: bool = False,
    with_examples: bool = True,
    force: bool = False,
) -> Evidence:
    """The study's shipped arm, or `arm`, as the new folder `out`.

    gguf: kinds of GGUF files, 'f16' and 'q8_0'; with_modelfile: also what Ollama needs; with_examples: whether the
    folder holds test examples and answers, which `luthier verify --test` needs; force: also an arm that the study bars
    because it is not shown to be kept, and an export that is not shown to be as good as what was measured. Raises
    LuthierError for an arm that cannot be shipped, and ModelError for one that is barred or an export that is not good.
    """
    keep_freed_memory()
    folder, out = StudyFolder(possible(study)), possible(out)
    if out.exists():
        raise FolderError(f"{out}: there is something already; choose a new folder")
    if unknown := [kind for kind in gguf if kind not in KINDS]:
        raise SettingsError(f"--gguf: '{unknown[0]}' is no kind that is written here; there are: {', '.join(KINDS)}")
    if with_modelfile and not gguf:
        raise SettingsError("--modelfile: a Modelfile needs a GGUF file beside it; give --gguf f16 or q8_0 too")
    source = _Source.of(folder, arm)
    if not force:
        _refuse_barred(source)
    shipped, note = load_arm(source.place), ShippedNote.read(source.place)
    if with_modelfile:
        refuse_unsayable(shipped)
    verify(shipped)
    with building(out) as part:
        shutil.copy2(ShippedNote.path_in(source.place), ShippedNote.path_in(part))
        if note.weights:
            shutil.copytree(source.place / note.weights, part / note.weights)
        if note.domain:
            shutil.copytree(source.place / DOMAIN, part / DOMAIN)
        forms = _exported(shipped, note, source, part, gguf)
        exports = _exports(source, forms)
        if bad := [one for one in exports if not one.is_good]:
            _refuse(source.place, bad[0], force)
        _write_records(part, source, forms, with_examples)
        if with_modelfile:
            write_json(part / "prompt.json", prompt_record(shipped, note))
            write_text(part / MODELFILE, modelfile(shipped, exports[-1].file))
        evidence = _evidence(source, note, exports, with_examples)
        write_text(part / "README.md", card(evidence, note, with_modelfile))
        files = hashes_of(part)
        evidence = evidence.model_copy(update={"files": files}).sealed()
        evidence.write(part)
        write_sums(part, files | {Evidence.FILE: sha256_of_files(Evidence.path_in(part))})
    return evidence


def _refuse_barred(source: _Source) -> None:
    """Raises ModelError for an arm that a study which requires *kept* does not show to be kept."""
    if why := source.compared.ship.barred.get(source.name):
        raise ModelError(
            f"{source.place}: the study ships no arm that is not shown to have kept what the base could do, and of "
            f"this one its panel says '{why}'; ship another arm with --arm, or this one all the same with --force"
        )


def _refuse(place: Path, export: Export, force: bool) -> None:
    """Raises ModelError for an export that is not as good as what was measured, unless that is wanted all the same."""
    if not export.prompts_equal:
        raise ModelError(f"{place}: as {export.kind} its tokenizer makes other prompts than those that were measured")
    if force:
        return
    raise ModelError(
        f"{place}: as {export.kind} the verdict against what was measured is '{export.verdict}' "
        f"({export.same_answers} of {export.answers} answers are the same); leave --gguf {export.kind} out, study the "
        "arm with more test examples, or ship it all the same with --force"
    )


# --------------------------------------------------------------------------------------------------------- exports


def _exported(shipped: Shipped, note: ShippedNote, source: _Source, part: Path, kinds: Sequence[str]) -> list[_Form]:
    """Each kind as a file in the new folder, read back and asked every test example."""
    if not kinds:
        return []
    if shipped.answers_by != "generation":
        raise SettingsError(f"{shipped.folder}: chooses among labels, which no GGUF file does; leave --gguf out")
    if note.width:
        raise SettingsError(f"{shipped.folder}: its weights are {note.width} already; ship the arm they were made of")
    plain = merged(shipped.folder, note, precision="fp32")
    if plain.prefix is not None or plain.prefix_states is not None:
        raise SettingsError(f"{shipped.folder}: a learned prompt does not live in a GGUF file; leave --gguf out")
    (part / GGUF_FOLDER).mkdir()
    forms = []
    for kind in kinds:
        path = part / GGUF_FOLDER / f"{source.name}-{kind}.gguf"
        write_gguf(plain, path, kind)
        forms.append(_measured(shipped, plain, read_gguf(path, plain), source, kind, path))
    return forms


def _measured(shipped: Shipped, plain: Model, again: Model, source: _Source, kind: str, path: Path) -> _Form:
    """The file's own weights and tokenizer, asked as the arm was."""
    same_prompts = _makes_them(again, source.prompts)
    probes = [torch.tensor([probe.prompt_ids]) for probe in shipped.probes]
    distance = max(_distance(plain, again, ids) for ids in probes)
    if distance > MOST_DISTANCE[kind]:
        raise ModelError(
            f"{shipped.folder}: as {kind} its next words are unlike what was measured (distance {distance:.2f}); this "
            "is a mistake of the export"
        )
    answers = answers_to(replace(shipped, model=again), source.prompts)
    return _Form(
        kind=kind,
        arm=f"{source.name}@gguf-{kind}",
        file=f"{GGUF_FOLDER}/{path.name}",
        bytes=path.stat().st_size,
        prompts_equal=same_prompts,
        distance=distance,
        answers=answers,
        scores=rescored(answers, source.examples, source.record.task),
    )


def _exports(source: _Source, forms: Sequence[_Form]) -> list[Export]:
    """The forms with their verdicts against the arm, from one comparison of all arms and forms.

    That comparison decides nothing about the study's arms: more arms would change what a finished study says of them.
    """
    if not forms:
        return []
    joined = again(source.compared, source.scores | {form.arm: form.scores for form in forms})
    return [_export(form, source, joined) for form in forms]


def _export(form: _Form, source: _Source, joined: Comparison) -> Export:
    texts, row = {answer.id: answer.text for answer in source.answers}, joined.pair(form.arm, source.name)
    return Export(
        kind=form.kind,
        file=form.file,
        bytes=form.bytes,
        arm=form.arm,
        prompts_equal=form.prompts_equal,
        largest_distance=round(form.distance, 6),
        same_answers=sum(answer.text == texts.get(answer.id) for answer in form.answers),
        answers=len(form.answers),
        verdict=row.verdict if row else None,
        difference=row.difference if row else None,
        low=row.low if row else None,
        high=row.high if row else None,
    )


def _makes_them(model: Model, prompts: Sequence[Prompt]) -> bool:
    """Whether the model's tokenizer makes the ids of these prompts of their texts."""
    special = not model.renderer.chats
    return all(model.renderer.ids(prompt.text, special=special) == list(prompt.prompt_ids) for prompt in prompts)


def answers_to(shipped: Shipped, prompts: Sequence[Prompt]) -> list[Answer]:
    """The arm's answers to these prompts, asked as in the study, in their order."""
    asked = asking(
        shipped.model, prompts, shipped.answers_by,
        limit=shipped.generation.max_new_tokens or 1, generation=shipped.generation, seed=shipped.seed,
    )  # fmt: skip
    answers = {one.id: one for batch in asked.batches for one in asked.answer(batch)}
    return [answers[prompt.id] for prompt in prompts]


def rescored(answers: Sequence[Answer], examples: Sequence[Example], task: TaskOrigin) -> list[Score]:
    """The answers scored by the study's rules."""
    return score(answers, examples, labels=task.label_set or (), references=task.references, reading=task.reading)


@torch.inference_mode()
def _distance(one: Model, other: Model, ids: torch.Tensor) -> float:
    """The total variation between the next-token distributions behind a prompt, 0 to 1."""
    logits = [model.module(input_ids=ids, use_cache=False).logits[0, -1].float() for model in (one, other)]
    return float((logits[0].softmax(-1) - logits[1].softmax(-1)).abs().sum() / 2)


# ----------------------------------------------------------------------------------------------------------- records


def _write_records(part: Path, source: _Source, forms: Sequence[_Form], with_examples: bool) -> None:
    """The study's records in the shape of a study's folder; scores hold no text, so they are always there."""
    inside = StudyFolder(part / EVIDENCE_FOLDER)
    inside.path.mkdir()
    source.record.write(inside.path)
    source.compared.write(inside.path)
    for arm, scores in (source.scores | {form.arm: form.scores for form in forms}).items():
        write_lines_of(inside.arm(arm) / SCORES_FILE, scores)
    if with_examples:
        write_lines_of(inside.path / EXAMPLES_FILE, source.examples)
        write_lines_of(inside.arm(source.name) / PROMPTS_FILE, source.prompts)
        for arm, answers in ({source.name: source.answers} | {form.arm: form.answers for form in forms}).items():
            write_lines_of(inside.arm(arm) / ANSWERS_FILE, answers)


def _evidence(source: _Source, note: ShippedNote, exports: list[Export], with_examples: bool) -> Evidence:
    """What the study itself says of the arm, and the exports beside it."""
    name, record, compared = source.name, source.record, source.compared
    base: dict[str, Any] = {"base": note.base.name, "base_sha256": note.base.sha256, "precision": note.base.precision}
    return Evidence(
        format=1,
        luthier=__version__,
        arm=name,
        method=note.method,
        task=record.task.name,
        **base,
        data={str(split): sha256 for split, sha256 in record.task.hashes.items()},
        study_sha256=record.shape_sha256,
        metric=compared.deciding,
        margin=compared.margin,
        level=compared.level,
        n=compared.n,
        look=compared.look,
        decision=compared.ship.sentence,
        verdict=compared.ship.verdict,
        chosen=compared.ship.arm == name,
        pairs=[pair.seen_from(name) for pair in compared.deciding_pairs if name in pair.arms],
        exports=exports,
        with_examples=with_examples,
        not_checked=list(NOT_CHECKED if exports else NOT_CHECKED[1:]),
        files={},
        evidence_sha256="",
    )
