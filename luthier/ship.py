"""An arm's folder is what a user ships: it loads in a new process, refuses another base, and repeats its probe answers.

`luthier.json` beside the weights remembers everything that shaped what was measured: the base model's hash, the
template and shots, the generation settings, and the first answers.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from luthier.adapt import METHODS, method
from luthier.asking import asking, chosen, label_logprobs, room_for
from luthier.errors import FolderError, ModelError, SettingsError
from luthier.files import read_json, read_lines, write_json
from luthier.generate import Generation, Request, generate
from luthier.model import Model, load, weights_sha256
from luthier.records import Example, Prompt, as_row, from_row
from luthier.settings import settings_from
from luthier.speculative import Followers
from luthier.widths import file_bytes, quantize, read, save

NOTE = "luthier.json"
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
    probes: tuple[dict[str, Any], ...]
    answers_by: str = "generation"

    def prompt(self, text: str) -> Prompt:
        """The prompt of one input, rendered as in the study."""
        room = room_for(self.model, self.generation.max_new_tokens or 0)
        return self.model.renderer.prompt(Example("input", text, ()), self.template, self.shots, room=room)

    def known(self) -> Followers:
        """The arm's own answers on test: how it goes on, which makes the next answer faster. None for a bare model."""
        return Followers(row["tokens"] for row in read_lines(self.folder / "answers.jsonl"))


def write_note(
    place: Path,
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
) -> None:
    """Asks the probes and writes luthier.json; nothing is done when it is there already."""
    if (place / NOTE).exists():
        return
    note = {
        "format": 1,
        "method": method_name,
        "weights": shipped,
        "width": width,
        "weights_sha256": weights_sha256(place / str(shipped)) if width else None,
        "base": {"name": model.name, "sha256": model.base_sha256, "family": model.family, "precision": precision},
        "template": template,
        "shots": [as_row(shot) for shot in shots],
        "prompt_sha256": model.renderer.hash(template, shots),
        "generation": generation.model_dump(),
        "labels": list(model.labels),
        "answers_by": answers_by,
        "seed": seed,
    }
    asked: list[dict[str, Any]] = [{"id": p.id, "prompt_ids": list(p.prompt_ids)} for p in probes]
    answers = _probe(model, asked, generation, answers_by, seed)
    write_json(place / NOTE, note | {"probes": [row | answers[row["id"]] for row in asked]})


def load_arm(place: Path) -> Shipped:
    """The arm in `place` on its base model.

    Raises FolderError when the folder is not an arm's, ModelError when the base or the prompt is another one.
    """
    if not (place / NOTE).exists():
        beside = sorted(note.parent.name for note in place.parent.glob(f"*/{NOTE}"))
        there = f"; there are: {', '.join(beside)}" if place.parent.name == "arms" and beside else ""
        raise FolderError(f"{place}: no {NOTE} here; name a finished arm{there}")
    note = read_json(place / NOTE)
    try:
        adapted = (_narrow if note.get("width") else _on_its_base)(place, note)
        shots = tuple(from_row(Example, row) for row in note["shots"])
        generation = Generation(**note["generation"])
        probes, by = tuple(note["probes"]), note.get("answers_by", "generation")
        shipped = Shipped(place, adapted, note["template"], shots, generation, note["seed"], probes, by)
    except KeyError as missing:
        raise FolderError(f"{place / NOTE}: the entry {missing} is missing; make the arm again") from None
    if adapted.renderer.hash(shipped.template, shots) != note["prompt_sha256"]:
        raise ModelError(f"{place}: the tokenizer here renders another prompt than the one measured; use its own base")
    return shipped


def _on_its_base(place: Path, note: dict[str, Any]) -> Model:
    """The base that the arm was measured on, with what the arm's folder holds."""
    base, found = note["base"], method(note["method"])
    model = load(base["name"], precision=base["precision"], labels=note.get("labels", ()))
    if model.base_sha256 != base["sha256"]:
        raise ModelError(
            f"{place}: made on another {base['name']} (weights {base['sha256'][:12]}, here "
            f"{model.base_sha256[:12]}); load it with the base that it was measured on"
        )
    return found.load(model, place / note["weights"]) if note["weights"] else model


def _narrow(place: Path, note: dict[str, Any]) -> Model:
    """The whole model that the folder of an arm with a width holds; no base is needed beside it."""
    model, base = read(place / note["weights"], note["width"], note["base"]["precision"]), note["base"]
    if model.base_sha256 != note["weights_sha256"]:
        raise ModelError(f"{place / note['weights']}: not the weights that were measured; make the arm again")
    return replace(model, name=base["name"], base_sha256=base["sha256"], labels=tuple(note.get("labels", ())))


def verify(shipped: Shipped) -> None:
    """Asks the probes again. Raises ModelError when an answer differs: what is shipped is what was measured."""
    if others := differing(shipped):
        raise ModelError(
            f"{shipped.folder}: probe '{others[0]}' is answered differently here; "
            "this machine or these weights are not those that were measured"
        )


def differing(shipped: Shipped) -> list[str]:
    """The ids of the probes that are answered in other words than when the arm was measured."""
    again = _probe(shipped.model, shipped.probes, shipped.generation, shipped.answers_by, shipped.seed)
    return [probe["id"] for probe in shipped.probes if again[probe["id"]] != {k: probe[k] for k in ("text", "tokens")}]


def merge_arm(place: Path, folder: Path, width: str | None = None, differ: int = 0) -> dict[str, Any]:
    """The arm as one plain model in `folder`, which every tool loads and which is as fast as the base.

    With `width` its linear layers are made narrow after that. It is called good only if it repeats the arm's probe
    answers after it was written and read back, but for `differ` of them. Returns how many probes were asked and the ids
    of those that are answered differently, the width, and the bytes of the file. Raises SettingsError for a method
    that cannot merge, FolderError for a folder in use, ModelError when more answers differ.
    """
    shipped, note = load_arm(place), read_json(place / NOTE)
    if folder.exists():
        raise FolderError(f"{folder}: there is something already; choose a new folder")
    if shipped.model.family == "encoder" and width:
        raise SettingsError(f"{place}: the weights of an encoder are not made {width} here; leave the width out")
    measured = note.get("width")
    if measured and width not in (None, measured):
        raise SettingsError(f"{place}: its weights are {measured} already; merge the arm that they were made of")
    plain = shipped.model if measured else _merged(place, note)
    made, found = quantize(plain, width) if width and not measured else plain, width or measured
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as part:
        building = Path(part) / "model"
        save(made, building)
        precision, labels = note["base"]["precision"], shipped.model.labels
        again = read(building, found, precision) if found else load(str(building), precision=precision, labels=labels)
        others = differing(replace(shipped, model=replace(again, labels=labels)))
        if len(others) > differ:
            raise ModelError(_other_answers(place, others, len(shipped.probes), None if measured else width))
        os.replace(building, folder)
    return {"probes": len(shipped.probes), "differ": others, "width": found, "file_bytes": file_bytes(folder)}


def merge(
    source: str | Path, folder: str | Path, *, arm: str | None = None, width: str | None = None, differ: int = 0
) -> dict[str, Any]:
    """`merge_arm` of a study (its shipped arm, or `arm`) or of an arm's folder."""
    place = Path(source)
    if (place / "study.json").exists():
        place = place / "arms" / (arm or _arm_to_ask(place))
    elif arm is not None:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    return merge_arm(place, Path(folder), width, differ)


def _merged(place: Path, note: dict[str, Any]) -> Model:
    """The base, with what the arm learned in its weights."""
    found, base = method(note["method"]), note["base"]
    whole = load(base["name"], precision=base["precision"], labels=note.get("labels", ()))
    if not found.trains:
        return whole
    merge = found.merge or (found.load if note["weights"] == "weights" else None)
    if merge is None:
        mergeable = ", ".join(row.name for row in METHODS.values() if row.merge)
        raise SettingsError(f"{place}: {found.name} has nothing to merge into the base; these have: {mergeable}")
    return merge(whole, place / note["weights"])


def _other_answers(place: Path, others: Sequence[str], probes: int, width: str | None) -> str:
    """Why merged weights are not handed out, and what to do."""
    said = f"{place}: probe '{others[0]}' is answered differently ({len(others)} of {probes}) once merged"
    if width is None:
        return f"{said}; these weights are not those that were measured"
    return (
        f"{said} and made {width}, which nobody measured; study it as an arm ({place.name.partition('@')[0]}@{width}) "
        f"and merge that, or allow it with --differ {len(others)}"
    )


def _probe(
    model: Model, probes: Sequence[dict[str, Any]], generation: Generation, answers_by: str, seed: int
) -> dict[str, dict[str, Any]]:
    """The probes' answers: the same batch whenever they are asked, so that its rounding is the same too."""
    prompts = [Prompt(row["id"], "", tuple(row["prompt_ids"])) for row in probes]
    limit = generation.max_new_tokens or 1
    asked = asking(model, prompts, answers_by, limit=limit, generation=generation, seed=seed)
    answers = [answer for batch in asked.batches for answer in asked.answer(batch)]
    return {answer.id: {"text": answer.text, "tokens": list(answer.tokens)} for answer in answers}


def ask(
    source: str | Path,
    text: str,
    *,
    arm: str | None = None,
    generation: dict[str, Any] | None = None,
    seed: int | None = None,
) -> Iterator[str]:
    """Streams the answer to `text` in pieces.

    `source` is a study (its shipped arm, or `arm`), an arm's folder, or a model, which gets the text as it is.
    `generation` overrides what the arm was measured with. Raises LuthierError sentences for what cannot be had.
    """
    shipped, prompt, request = _asked(source, text, arm, generation, seed)
    if shipped.answers_by == "generation":
        yield from _pieces(shipped, request)
    else:
        yield chosen(shipped.model, [prompt])[0].text


def ask_probabilities(
    source: str | Path,
    text: str,
    *,
    arm: str | None = None,
    generation: dict[str, Any] | None = None,
    seed: int | None = None,
    top: int = 5,
) -> Iterator[dict[str, Any]]:
    """What `ask` would say, a record for each new token: the token, and the `top` most likely ones in its place.

    {"token": text, "candidates": [{"token", "before", "after"}, ...]}: the probability by the model, and after
    repetition penalty, temperature, top-k and top-p. An arm that chooses among labels gives one record, whose
    candidates are its labels. Raises what `ask` raises.
    """
    shipped, prompt, request = _asked(source, text, arm, generation, seed)
    model = shipped.model
    if shipped.answers_by != "generation":
        yield _label_record(model, prompt, top)
        return
    for event in generate(model, [replace(request, top=top)], shipped.known()):
        named = [
            {"token": model.tokenizer.decode([c.token]), "before": c.before, "after": c.after} for c in event.candidates
        ]
        yield {"token": model.tokenizer.decode([event.token]), "candidates": named}


def _label_record(model: Model, prompt: Prompt, top: int) -> dict[str, Any]:
    (logprobs,) = label_logprobs(model, [prompt])
    likeliest = sorted(zip(logprobs, model.labels, strict=True), key=lambda pair: -pair[0])[:top]
    named = [{"token": label, "before": math.exp(p), "after": math.exp(p)} for p, label in likeliest]
    return {"token": likeliest[0][1], "candidates": named}


def _asked(
    source: str | Path, text: str, arm: str | None, generation: dict[str, Any] | None, seed: int | None
) -> tuple[Shipped, Prompt, Request]:
    """What `source` ships, and the prompt and the request that put `text` to it."""
    if not text.strip():
        raise SettingsError("the text is empty; give the input to answer")
    shipped = _source(str(source), arm)
    asked = {k: v for k, v in (generation or {}).items() if v is not None}
    settings = settings_from(Generation, shipped.generation.model_dump() | asked, "ask")
    prompt = shipped.prompt(text)
    limit = settings.max_new_tokens or 1
    request = Request("input", prompt.prompt_ids, limit, settings, shipped.seed if seed is None else seed)
    return shipped, prompt, request


def _source(source: str, arm: str | None) -> Shipped:
    path = Path(source)
    if (path / "study.json").exists():
        return load_arm(path / "arms" / (arm or _arm_to_ask(path)))
    if arm is not None:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    if (path / NOTE).exists():
        return load_arm(path)
    model = load(source)
    return Shipped(path, model, "{input}", (), Generation(max_new_tokens=min(256, model.window // 2)), 0, ())


def _arm_to_ask(study: Path) -> str:
    """The arm that the study ships, else its provisional choice, else the best one that has a model to ask."""
    found = read_json(study / "compare.json")
    ship, deciding = found["ship"], found["deciding"]
    by_mean = sorted(found["arms"], key=lambda name: -(found["arms"][name][deciding]["mean"] or 0.0))
    for name in (ship["arm"], ship["provisional"], *by_mean):
        if name and (study / "arms" / name / NOTE).exists():
            return str(name)
    raise FolderError(f"{study}: no arm with a model is finished; name one with --arm")


def _pieces(shipped: Shipped, request: Request) -> Iterator[str]:
    """The answer's text as it grows; a character whose bytes are not all there yet waits for the next token."""
    tokens: list[int] = []
    shown = ""
    for event in generate(shipped.model, [request], shipped.known()):
        tokens.append(event.token)
        text = shipped.model.tokenizer.decode(tokens, skip_special_tokens=True).lstrip()
        if event.stop is None and text.endswith("\ufffd"):
            continue
        if piece := text[len(shown) :]:
            yield piece
            shown = text
