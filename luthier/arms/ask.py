"""Asking: a study, an arm's folder or a bare model answers one text, streamed in pieces or token by token."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from luthier.arms.shipped import Shipped, arm_to_ask, load_arm
from luthier.arms.shipped import verify as verify_probes
from luthier.decoding.answers import choose_labels, label_logprobs
from luthier.decoding.generate import generate
from luthier.decoding.requests import Request
from luthier.decoding.settings import Generation
from luthier.decoding.text import TextStream
from luthier.errors import PromptError, SettingsError
from luthier.files import possible
from luthier.machine import keep_freed_memory
from luthier.model.model import Model, load
from luthier.progress import say
from luthier.records import Prompt
from luthier.results.names import run_folder
from luthier.results.shipped_note import ShippedNote
from luthier.results.study_record import StudyRecord
from luthier.settings import checked_seed, is_text, settings_from

MOST_RIVALS = 1000  # named beside a token


def ask(
    source: str | Path,
    text: str,
    *,
    arm: str | None = None,
    generation: dict[str, Any] | None = None,
    seed: int | None = None,
    verify: bool = False,
    strict: bool = False,
) -> Iterator[str]:
    """Streams the answer to `text` in pieces.

    `source` is a study (its shipped arm, or `arm`), an arm's folder, or a model, which gets the bare text.
    `generation` overrides the settings that the arm was measured with. `verify` asks the arm's probes first.
    What does not fit into the context window is left out as in a study, and said on standard error; with `strict` it
    is refused. Raises LuthierError for a source, arm or setting that does not exist, and for probes answered otherwise.
    """
    shipped, prompt, request = _request(source, text, arm, generation, seed, verify, strict)
    if shipped.answers_by == "generation":
        yield from _pieces(shipped, request)
    else:
        yield choose_labels(shipped.model, [prompt])[0].text


def ask_probabilities(
    source: str | Path,
    text: str,
    *,
    arm: str | None = None,
    generation: dict[str, Any] | None = None,
    seed: int | None = None,
    top: int = 5,
    verify: bool = False,
    strict: bool = False,
) -> Iterator[dict[str, Any]]:
    """The answer of `ask` as a record for each new token: the token, and the `top` most likely ones in its place.

    {"token": text, "candidates": [{"token", "before", "after"}, ...]}: the probability by the model, and after
    repetition penalty, temperature, top-k and top-p. An arm that chooses among labels yields one record, whose
    candidates are its labels. Raises what `ask` raises.
    """
    if not 0 <= top <= MOST_RIVALS:
        raise SettingsError(f"ask: top is {top}; give a whole number from 0 to {MOST_RIVALS}")
    shipped, prompt, request = _request(source, text, arm, generation, seed, verify, strict)
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
    likeliest = sorted(zip(logprobs, model.labels, strict=True), key=lambda pair: -pair[0])
    named = [{"token": label, "before": math.exp(p), "after": math.exp(p)} for p, label in likeliest[:top]]
    return {"token": likeliest[0][1], "candidates": named}


def _request(
    source: str | Path,
    text: str,
    arm: str | None,
    generation: dict[str, Any] | None,
    seed: int | None,
    check_probes: bool,
    strict: bool,
) -> tuple[Shipped, Prompt, Request]:
    """The arm or model of `source`, and the prompt and the request for `text`."""
    if not text.strip():
        raise SettingsError("the text is empty; give the input to answer")
    if not is_text(text):
        raise SettingsError("the text holds half a letter (a lone surrogate), which no tokenizer reads; mend it")
    keep_freed_memory()
    shipped = load_source(str(source), arm, check_probes=check_probes)
    asked = {k: v for k, v in (generation or {}).items() if v is not None}
    settings = settings_from(Generation, shipped.generation.model_dump() | asked, "ask")
    limit = settings.max_new_tokens or 1
    prompt = shipped.prompt(text, limit)
    _say_what_is_left_out(prompt, len(shipped.shots), shipped.model, strict)
    drawn_by = shipped.seed if seed is None else checked_seed(seed, "ask")
    request = Request("input", prompt.prompt_ids, limit, settings, drawn_by)
    return shipped, prompt, request


def _say_what_is_left_out(prompt: Prompt, shots: int, model: Model, strict: bool) -> None:
    """One sentence on what did not fit into the context window. Raises PromptError instead with `strict`."""
    parts = []
    if prompt.tokens_cut:
        parts.append(f"{prompt.tokens_cut} tokens of the input were cut")
    if prompt.shots_dropped:
        parts.append(f"{prompt.shots_dropped} of {shots} shots were left out")
    if not parts:
        return
    said = f"{' and '.join(parts)}, because the context window of {model.name} holds {model.window} tokens"
    if strict:
        raise PromptError(f"{said}; shorten the input, or leave --strict out")
    say(f"{said}, the answer's among them.")


def load_source(source: str, arm: str | None, *, check_probes: bool = False) -> Shipped:
    """The arm or model of `source`: a study (its shipped arm, or `arm`), an arm's folder, or a bare model.

    check_probes: the arm is asked its probes first. Raises LuthierError for what is not there, and for other answers.
    """
    path = possible(source)
    if StudyRecord.is_in(path):
        shipped = load_arm(run_folder(path, arm_to_ask(path) if arm is None else arm))
    elif arm is not None:
        raise SettingsError(f"{source}: is no study, so it has no arm '{arm}'; leave --arm out")
    elif ShippedNote.is_in(path):
        shipped = load_arm(path)
    else:
        model = load(source)
        generation = Generation(max_new_tokens=min(256, model.window // 2))
        shipped = Shipped(path, model, "{input}", (), generation, 0, ())
    if check_probes and not shipped.probes:
        raise SettingsError(f"{source}: is a model and no arm, so it has no probes to verify; leave --verify out")
    if check_probes:
        verify_probes(shipped)
    return shipped


def _pieces(shipped: Shipped, request: Request) -> Iterator[str]:
    """The answer's text in pieces. An incomplete character waits for the next token."""
    stream = TextStream(shipped.model.tokenizer)
    for event in generate(shipped.model, [request], shipped.known()):
        if piece := stream.add(event.token, last=event.stop is not None):
            yield piece
