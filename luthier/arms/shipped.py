"""An arm's folder is what a user ships: it loads in a new process, refuses another base, and repeats its probe answers.

`luthier.json` beside the weights remembers everything that shaped what was measured: the base model's hash, the
template and shots, the generation settings, and the first answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.adapt.method import Tuning
from luthier.adapt.methods import method
from luthier.decoding.answers import asking
from luthier.decoding.settings import Generation
from luthier.decoding.speculative import NgramTable
from luthier.errors import FolderError, ModelError
from luthier.files import refuse_link
from luthier.model.fingerprint import files_of_arm, files_of_base, mark_of_base, refuse_other_files
from luthier.model.model import Model, load
from luthier.model.sources import resolve, weights_sha256
from luthier.model.widths import read
from luthier.records import Answer, Example, Prompt
from luthier.results.comparison import Comparison
from luthier.results.lines import ANSWERS_FILE
from luthier.results.names import DOMAIN, arm_folder
from luthier.results.record import read_lines_of
from luthier.results.shipped_note import Base, Probe, ShippedNote, Shot
from luthier.settings import settings_from
from luthier.task.examples import asked_example

QUANTIZED = "quantized"  # folder of an arm whose weights were made narrow: a whole model


@dataclass(frozen=True)
class Shipped:
    """An arm read back from its folder, ready to answer."""

    folder: Path
    model: Model
    template: str
    shots: tuple[Example, ...]
    generation: Generation
    seed: int
    probes: tuple[Probe, ...]
    answers_by: str = "generation"
    room: int = 0  # tokens of the window that every prompt of the study left free; a bare model was never measured
    note_sha256: str = ""  # of the arm's note; a bare model has none

    @cached_property
    def fingerprint(self) -> str:
        """A hash that changes with every byte that decides an answer."""
        return self.note_sha256 or mark_of_base(self.model.folder)

    def prompt(self, text: str, most_new_tokens: int = 0) -> Prompt:
        """The prompt of one input, rendered as in the study, with more room where a longer answer is asked for."""
        return self.prompt_of(asked_example(text, self.template), most_new_tokens)

    def prompt_of(self, example: Example, most_new_tokens: int = 0) -> Prompt:
        """The prompt of an example that was read under the arm's template."""
        room = max(self.room, self.model.renderer.room_for(most_new_tokens))
        return self.model.renderer.prompt(example, self.template, self.shots, room=room)

    def known(self) -> NgramTable:
        """The arm's own answers on test: how it goes on, which makes the next answer faster. None for a bare model."""
        return NgramTable(answer.tokens for answer in read_lines_of(Answer, self.folder / ANSWERS_FILE))


def write_note(
    path: Path,
    model: Model,
    *,
    method_name: str,
    shipped: str | None,
    precision: str,
    template: str,
    shots: Sequence[Example],
    generation: Generation,
    seed: int,
    probes: Sequence[Prompt],
    width: str | None = None,
    answers_by: str = "generation",
    room: int,
    begins: bool = False,
) -> None:
    """Asks the probes and writes luthier.json; nothing is done when it is there already.

    room: tokens of the window that every prompt left free for the answer. begins: whether its base is that in domain/.
    """
    if ShippedNote.is_in(path):
        return
    answers = _answers(model, probes, generation, answers_by, seed)
    given: dict[str, Any] = {"answers_by": answers_by, "weights": shipped, **model.printed_day}
    given |= {"domain": files_of_arm(path / DOMAIN)} if begins else {}
    ShippedNote(
        **given,
        format=1,
        method=method_name,
        width=width,
        weights_sha256=weights_sha256(path / str(shipped)) if width else None,
        files=files_of_arm(path / shipped) if shipped else {},
        base=Base(
            name=model.name,
            sha256=model.base_sha256,
            family=model.family,
            precision=precision,
            files=files_of_base(resolve(model.name)),
        ),
        template=template,
        shots=[Shot.of(shot) for shot in shots],
        prompt_sha256=model.renderer.hash(template, shots),
        generation=generation.model_dump(),
        labels=list(model.labels),
        seed=seed,
        probes=[
            Probe(
                id=probe.id,
                prompt_ids=list(probe.prompt_ids),
                text=answers[probe.id].text,
                tokens=list(answers[probe.id].tokens),
            )
            for probe in probes
        ],
        note_sha256="",
        room=room,
    ).sealed().write(path)


def load_arm(path: Path) -> Shipped:
    """The arm in `path` on its base model.

    Raises FolderError when the folder is not an arm's or its note was changed, ModelError when a file of the arm or of
    its base, or the prompt, is another one than was measured.
    """
    if not ShippedNote.is_in(path):
        beside = sorted(note.parent.name for note in path.parent.glob(f"*/{ShippedNote.FILE}"))
        there = f"; there are: {', '.join(beside)}" if path.parent.name == "arms" and beside else ""
        raise FolderError(f"{path}: no {ShippedNote.FILE} here; name a finished arm{there}")
    note = ShippedNote.read(path)
    note.refuse_changed(path)
    if note.weights:
        weights = path / note.weights
        refuse_link(weights)
        refuse_other_files(weights, note.files, files_of_arm(weights), "make the arm again")
    if note.domain:
        refuse_link(path / DOMAIN)
        refuse_other_files(path / DOMAIN, note.domain, files_of_arm(path / DOMAIN), "make the arm again")
    adapted = (_narrow if note.width else _on_its_base)(path, note)
    shots = tuple(shot.example for shot in note.shots)
    generation = settings_from(Generation, note.generation, ShippedNote.path_in(path), FolderError)
    room = adapted.renderer.room_for(generation.max_new_tokens or 0) if note.room is None else note.room
    shipped = Shipped(
        path, adapted, note.template, shots, generation, note.seed, tuple(note.probes), note.answers_by, room,
        note.note_sha256,
    )  # fmt: skip
    if adapted.renderer.hash(shipped.template, shots) != note.prompt_sha256:
        raise ModelError(f"{path}: the tokenizer here renders another prompt than the one measured; use its own base")
    return shipped


def _on_its_base(path: Path, note: ShippedNote) -> Model:
    """The base that the arm was measured on, with what the arm's folder holds."""
    base, arm_method = note.base, method(note.method)
    found = found_again(base, path)
    folder = resolve(found)
    other = f"made on another {base.name}; load it with the base that it was measured on"
    refuse_other_files(folder, base.files, files_of_base(folder), f"{path} was {other}")
    model = replace(load(found, precision=base.precision, labels=note.labels, day=note.day), name=base.name)
    if model.base_sha256 != base.sha256:  # a note that contradicts itself
        raise ModelError(f"{path}: {other}")
    model = after_texts(model, path, note)
    return arm_method.load(model, path / str(note.weights)) if isinstance(arm_method, Tuning) else model


def after_texts(base: Model, path: Path, note: ShippedNote) -> Model:
    """The base of an arm with the weights of the further pretraining that it begins with, if it does."""
    begun = method(DOMAIN)
    return begun.load(base, path / DOMAIN) if note.domain and isinstance(begun, Tuning) else base


def found_again(base: Base, arm: Path) -> str:
    """What `resolve` finds the base by from here: a relative folder is looked for from the arm's folder upwards too."""
    places = [Path(base.name), *(parent / base.name for parent in arm.resolve().parents)]
    there = [place for place in places if (place / "config.json").is_file()]
    if len({place.resolve() for place in there}) > 1:  # else there is no choice, and the caller compares its files
        there = [place for place in there if files_of_base(place) == base.files] or there
    return str(there[0] if there else base.name)


def _narrow(path: Path, note: ShippedNote) -> Model:
    """The whole model that the folder of an arm with a width holds; no base is needed beside it."""
    weights, base = path / str(note.weights), note.base
    model = read(weights, str(note.width), base.precision, note.day)
    return replace(model, name=base.name, base_sha256=base.sha256, labels=tuple(note.labels))


def verify(shipped: Shipped) -> None:
    """Asks the probes again. Raises ModelError when an answer differs: what is shipped is what was measured."""
    if others := differing(shipped):
        raise ModelError(
            f"{shipped.folder}: probe '{others[0]}' is answered differently here; "
            "this machine or these weights are not those that were measured"
        )


def differing(shipped: Shipped) -> list[str]:
    """The ids of the probes that are answered in other words than when the arm was measured."""
    prompts = [Prompt(probe.id, "", tuple(probe.prompt_ids)) for probe in shipped.probes]
    again = _answers(shipped.model, prompts, shipped.generation, shipped.answers_by, shipped.seed)

    def is_the_same(probe: Probe) -> bool:
        return (again[probe.id].text, list(again[probe.id].tokens)) == (probe.text, probe.tokens)

    return [probe.id for probe in shipped.probes if not is_the_same(probe)]


def _answers(
    model: Model, prompts: Sequence[Prompt], generation: Generation, answers_by: str, seed: int
) -> dict[str, Answer]:
    """The probes' answers: the same batch whenever they are asked, so that its rounding is the same too."""
    limit = generation.max_new_tokens or 1
    asked = asking(model, prompts, answers_by, limit=limit, generation=generation, seed=seed)
    return {answer.id: answer for batch in asked.batches for answer in asked.answer(batch)}


def arm_to_ask(study: Path) -> str:
    """The arm that the study ships, else its provisional choice, else the best one that has a model to ask."""
    for name in Comparison.read(study).arms_to_ask():
        if ShippedNote.is_in(arm_folder(study, name)):
            return name
    raise FolderError(f"{study}: no arm with a model is finished; name one with --arm")
