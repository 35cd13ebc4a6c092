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
from pathlib import Path
from typing import Any

import torch

from luthier import __version__
from luthier.arms.export_gguf import KINDS, read_gguf, write_gguf
from luthier.arms.merge import merged
from luthier.arms.ship_page import card, modelfile, prompt_record
from luthier.arms.shipped import Shipped, arm_to_ask, load_arm, verify
from luthier.decoding.answers import asking
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import building, possible, write_json, write_text
from luthier.machine import keep_freed_memory
from luthier.model.model import Model
from luthier.records import Answer, Example, Prompt, Score
from luthier.results.comparison import Comparison
from luthier.results.evidence import EVIDENCE_FOLDER, Evidence, Export, hashes_of, write_sums
from luthier.results.folder import StudyFolder
from luthier.results.lines import ANSWERS_FILE, EXAMPLES_FILE, PROMPTS_FILE, SCORES_FILE
from luthier.results.record import read_lines_of, write_lines_of
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.scoring.score import score
from luthier.verdicts.compare import comparison

GGUF_FOLDER = "gguf"
MOST_DISTANCE = {"f16": 0.05, "q8_0": 0.25}  # total variation on the probes: more is a mistake, not rounding
NOT_CHECKED = (
    "what other programs make of the exported files: they were measured with luthier's own arithmetic",
    "inputs unlike those of the test set",
)


@dataclass(frozen=True)
class Measured:
    """An exported form with its answers to the test examples."""

    export: Export
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
    folder holds test examples and answers, which `luthier verify --test` needs; force: also where an export is not
    shown to be as good as what was measured. Raises LuthierError for an arm that cannot be shipped, and ModelError for
    an export that is not good.
    """
    keep_freed_memory()
    folder, out = StudyFolder(possible(study)), possible(out)
    if out.exists():
        raise FolderError(f"{out}: there is something already; choose a new folder")
    if unknown := [kind for kind in gguf if kind not in KINDS]:
        raise SettingsError(f"--gguf: '{unknown[0]}' is no kind that is written here; there are: {', '.join(KINDS)}")
    if with_modelfile and not gguf:
        raise SettingsError("--modelfile: a Modelfile needs a GGUF file beside it; give --gguf f16 or q8_0 too")
    record, compared = StudyRecord.read(folder.path), Comparison.read(folder.path)
    name = arm or arm_to_ask(folder.path)
    place = folder.arm(name)
    shipped, note = load_arm(place), ShippedNote.read(place)
    verify(shipped)
    with building(out) as part:
        shutil.copy2(ShippedNote.path_in(place), ShippedNote.path_in(part))
        if note.weights:
            shutil.copytree(place / note.weights, part / note.weights)
        measured = _exported(shipped, note, folder, compared, name, part, gguf)
        if bad := [one.export for one in measured if not one.export.is_good]:
            _refuse(place, bad[0], force)
        compared = _compared(folder, compared, name, measured)
        _write_records(part, folder, record, compared, name, measured, with_examples)
        if with_modelfile:
            write_json(part / "prompt.json", prompt_record(shipped, note))
            write_text(part / "Modelfile", modelfile(shipped, measured[-1].export.file))
        evidence = _evidence(record, compared, name, note, [one.export for one in measured], with_examples)
        write_text(part / "README.md", card(evidence, note, shipped))
        evidence = evidence.model_copy(update={"files": hashes_of(part)}).sealed()
        evidence.write(part)
        write_sums(part)
    return evidence


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


def _exported(
    shipped: Shipped,
    note: ShippedNote,
    folder: StudyFolder,
    compared: Comparison,
    name: str,
    part: Path,
    kinds: Sequence[str],
) -> list[Measured]:
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
    measured = []
    for kind in kinds:
        path = part / GGUF_FOLDER / f"{name}-{kind}.gguf"
        write_gguf(plain, path, kind)
        measured.append(_measured(shipped, plain, read_gguf(path, plain), folder, compared, name, kind, path))
    return measured


def _measured(
    shipped: Shipped,
    plain: Model,
    again: Model,
    folder: StudyFolder,
    compared: Comparison,
    name: str,
    kind: str,
    path: Path,
) -> Measured:
    """The file's own weights and tokenizer, asked as the arm was."""
    examples, before = folder.examples(), folder.answers(name)
    other = replace(shipped, model=again)
    prompts = read_lines_of(Prompt, folder.arm(name) / PROMPTS_FILE)
    same_prompts = _makes_them(again, prompts)
    probes = [torch.tensor([probe.prompt_ids]) for probe in shipped.probes]
    distance = max(_distance(plain, again, ids) for ids in probes)
    if distance > MOST_DISTANCE[kind]:
        raise ModelError(
            f"{shipped.folder}: as {kind} its next words are unlike what was measured (distance {distance:.2f}); this "
            "is a mistake of the export"
        )
    answers = answers_to(other, prompts)
    scores = rescored(answers, examples, StudyRecord.read(folder.path), folder.scores(name))
    row = comparison(
        {name: folder.scores(name), "export": scores},
        deciding=compared.deciding, margin=compared.margin, level=compared.level, look=compared.look, baselines=(),
    ).pair("export", name)  # fmt: skip
    texts = {answer.id: answer.text for answer in before}
    export = Export(
        kind=kind,
        file=f"{GGUF_FOLDER}/{path.name}",
        bytes=path.stat().st_size,
        arm=f"{name}@gguf-{kind}",
        prompts_equal=same_prompts,
        largest_distance=round(distance, 6),
        same_answers=sum(answer.text == texts.get(answer.id) for answer in answers),
        answers=len(answers),
        verdict=row.verdict if row else None,
        difference=row.difference if row else None,
        low=row.low if row else None,
        high=row.high if row else None,
    )
    return Measured(export, answers, scores)


def _makes_them(model: Model, prompts: Sequence[Prompt]) -> bool:
    """Whether the model's tokenizer makes the ids of these prompts of their texts."""
    special = not model.renderer.chats
    return all(
        model.tokenizer(prompt.text, add_special_tokens=special)["input_ids"] == list(prompt.prompt_ids)
        for prompt in prompts
    )


def answers_to(shipped: Shipped, prompts: Sequence[Prompt]) -> list[Answer]:
    """The arm's answers to these prompts, asked as in the study, in their order."""
    asked = asking(
        shipped.model, prompts, shipped.answers_by,
        limit=shipped.generation.max_new_tokens or 1, generation=shipped.generation, seed=shipped.seed,
    )  # fmt: skip
    answers = {one.id: one for batch in asked.batches for one in asked.answer(batch)}
    return [answers[prompt.id] for prompt in prompts]


def rescored(
    answers: Sequence[Answer], examples: Sequence[Example], record: StudyRecord, like: Sequence[Score]
) -> list[Score]:
    """The answers scored by the study's rules, which its scores show."""
    return score(answers, examples, labels=record.task.labels, references=like[0].references if like else "mean")


@torch.inference_mode()
def _distance(one: Model, other: Model, ids: torch.Tensor) -> float:
    """The total variation between the next-token distributions behind a prompt, 0 to 1."""
    logits = [model.module(input_ids=ids, use_cache=False).logits[0, -1].float() for model in (one, other)]
    return float((logits[0].softmax(-1) - logits[1].softmax(-1)).abs().sum() / 2)


# ----------------------------------------------------------------------------------------------------------- records


def _compared(folder: StudyFolder, compared: Comparison, name: str, measured: Sequence[Measured]) -> Comparison:
    """The study's comparison with the exports as arms of it; the study's own file stays as it is."""
    if not measured:
        return compared
    scores = {arm: folder.scores(arm) for arm in compared.arms}
    scores |= {one.export.arm: one.scores for one in measured}
    return comparison(
        scores, deciding=compared.deciding, margin=compared.margin, level=compared.level, seed=compared.seed,
        look=compared.look, baselines=compared.baseline_names(),
    )  # fmt: skip


def _write_records(
    part: Path,
    folder: StudyFolder,
    record: StudyRecord,
    compared: Comparison,
    name: str,
    measured: Sequence[Measured],
    with_examples: bool,
) -> None:
    """The study's records in the shape of a study's folder; scores hold no text, so they are always there."""
    place = part / EVIDENCE_FOLDER
    place.mkdir()
    record.write(place)
    compared.write(place)
    inside = StudyFolder(place)
    for arm in (arm for arm in compared.arms if arm not in {one.export.arm for one in measured}):
        write_lines_of(inside.arm(arm) / SCORES_FILE, folder.scores(arm))
    for one in measured:
        write_lines_of(inside.arm(one.export.arm) / SCORES_FILE, one.scores)
    if with_examples:
        write_lines_of(place / EXAMPLES_FILE, folder.examples())
        write_lines_of(inside.arm(name) / PROMPTS_FILE, read_lines_of(Prompt, folder.arm(name) / PROMPTS_FILE))
        write_lines_of(inside.arm(name) / ANSWERS_FILE, folder.answers(name))
        for one in measured:
            write_lines_of(inside.arm(one.export.arm) / ANSWERS_FILE, one.answers)


def _evidence(
    record: StudyRecord, compared: Comparison, name: str, note: ShippedNote, exports: list[Export], with_examples: bool
) -> Evidence:
    pairs = [pair.seen_from(name) for pair in compared.deciding_pairs if name in pair.arms]
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
        pairs=pairs,
        exports=exports,
        with_examples=with_examples,
        not_checked=list(NOT_CHECKED if exports else NOT_CHECKED[1:]),
        files={},
        evidence_sha256="",
    )
