"""What people and other programs read in a shipped folder: the model card, Ollama's Modelfile, and the prompt."""

from __future__ import annotations

import json
from typing import Any

from luthier.arms.shipped import Shipped
from luthier.decoding.settings import Generation
from luthier.errors import SettingsError
from luthier.results.comparison import Pair
from luthier.results.evidence import EVIDENCE_FOLDER, SUMS_FILE, Evidence, Export
from luthier.results.names import DOMAIN
from luthier.results.shipped_note import ShippedNote

MODELFILE = "Modelfile"


def card(evidence: Evidence, note: ShippedNote, with_modelfile: bool) -> str:
    """README.md: the decision with its numbers, how to ask, and what was not checked."""
    head = "\n".join(
        [
            "---",
            f"base_model: {json.dumps(note.base.name, ensure_ascii=False)}",
            "library_name: peft" if note.weights == "adapter" and not note.domain else "library_name: transformers",
            "tags: [luthier]",
            "---",
        ]
    )
    sections = [
        head,
        f"# {evidence.task}: {evidence.arm}\n\n{evidence.decision}",
        _facts(evidence),
        "## How it compares\n\n" + _pairs(evidence),
        _exports(evidence.exports),
        _how_to_ask(with_modelfile),
        _begins(note),
        "## What was not checked\n\n" + "\n".join(f"- {one}" for one in evidence.not_checked),
        _licence(evidence, note),
        f"## How to check this folder\n\n`luthier verify .` compares every file with {SUMS_FILE} and asks the probes "
        "again" + (", and `luthier verify . --test` the whole test.\n" if evidence.with_examples else ".\n"),
    ]
    return "\n\n".join(section for section in sections if section).rstrip() + "\n"


def _facts(evidence: Evidence) -> str:
    look = (
        "looks at the test set were not counted" if evidence.look is None else f"look {evidence.look} at the test set"
    )
    chosen = "" if evidence.chosen else " The study did not choose this arm."
    return (
        f"Measured by {evidence.metric} on {evidence.n} independent test units ({look}); differences below "
        f"{evidence.margin:g} do not matter.{chosen}"
    )


def _pairs(evidence: Evidence) -> str:
    rows = ["| against | difference | interval | verdict |", "|---|---|---|---|"]
    rows += [
        f"| {pair.b} | {_signed(pair.difference)} | {_interval(pair)} | {pair.verdict or '–'} |"
        for pair in evidence.pairs
    ]
    return "\n".join(rows)


def _exports(exports: list[Export]) -> str:
    if not exports:
        return ""
    rows = ["| file | MB | same answers | difference | verdict |", "|---|---|---|---|---|"]
    for one in exports:
        same = f"{one.same_answers} of {one.answers}"
        rows.append(
            f"| {one.file} | {one.bytes / 1e6:,.1f} | {same} | {_signed(one.difference)} | {one.verdict or '–'} |"
        )
    return "## Other forms\n\nEach was asked the whole test again and compared with the arm.\n\n" + "\n".join(rows)


def _how_to_ask(with_modelfile: bool) -> str:
    lines = ['luthier ask . "..."', "luthier serve . --port 8000"]
    if with_modelfile:
        lines.append(f"ollama create NAME -f {MODELFILE}")
    return "## How to ask it\n\n```\n" + "\n".join(lines) + "\n```"


def _begins(note: ShippedNote) -> str:
    if not note.domain:
        return ""
    own, base = note.weights, note.base.name
    return (
        f"## What it stands on\n\n{own}/ was trained on the weights in {DOMAIN}/: those of {base} after further "
        f"pretraining on texts. A tool that puts {own}/ on {base} itself gets another model; "
        "`luthier merge . --out FOLDER` writes one plain model that every tool loads."
    )


def _licence(evidence: Evidence, note: ShippedNote) -> str:
    holds = (
        f"This folder holds test examples and answers in {EVIDENCE_FOLDER}/, and dev examples in luthier.json."
        if evidence.with_examples
        else "luthier.json holds a few dev examples as tokens, and the shots of the prompt."
    )
    return (
        "## Licence and data\n\n"
        f"The licence of the base model {note.base.name} and of your data hold for this folder too; luthier does not "
        f"know them. {holds}"
    )


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _interval(pair: Pair) -> str:
    ends = ["–" if end is None else f"{end:+.4f}" for end in (pair.low, pair.high)]
    return f"{ends[0]} to {ends[1]}"


def prompt_record(shipped: Shipped, note: ShippedNote) -> dict[str, Any]:
    """prompt.json: how a prompt is made, and how an answer is decoded, for programs that read no luthier.json."""
    return {
        "template": shipped.template,
        "shots": [{"input": shot.input, "answer": shot.references[0]} for shot in shipped.shots],
        "prompt": _whole(shipped),
        "prompt_sha256": note.prompt_sha256,
        "generation": shipped.generation.model_dump(),
        "end": _end(shipped),
    }


def _end(shipped: Shipped) -> str:
    """The token that ends an answer, as text."""
    return str(shipped.model.tokenizer.convert_ids_to_tokens(shipped.model.renderer.end_id))


_INPUT = "\ue000input\ue000"


def _whole(shipped: Shipped) -> str:
    """The whole prompt as text, with {input} where the input goes."""
    return shipped.prompt(_INPUT).text.replace(_INPUT, "{input}")


def refuse_unsayable(shipped: Shipped) -> None:
    """Raises SettingsError for an arm that decodes in a way which no Modelfile can say."""
    usual, own = Generation(), shipped.generation
    for name in ("beams", "samples", "no_repeat_ngram_size"):
        if (value := getattr(own, name)) != getattr(usual, name):
            raise SettingsError(
                f"--modelfile: {shipped.folder} was measured with {name} {value}, which Ollama does not have; leave "
                "--modelfile out"
            )


def modelfile(shipped: Shipped, file: str) -> str:
    """Ollama's Modelfile: the measured prompt as TEMPLATE, greedy or as measured, with the end token as stop.

    Where nothing is said, Ollama draws among 40 tokens, and a penalty looks back over 64.
    """
    generation: Generation = shipped.generation
    module: Any = shipped.model.module
    every = module.get_input_embeddings().weight.shape[0]
    template = _go_text(_whole(shipped)).replace("{input}", "{{ .Prompt }}")
    parameters = {
        "temperature": generation.temperature,
        "num_predict": generation.max_new_tokens,
        "num_ctx": shipped.model.window,
        "seed": shipped.seed,
        "repeat_penalty": generation.repetition_penalty,
        "repeat_last_n": -1 if generation.repetition_penalty != 1 else None,
        "top_k": generation.top_k or (every if generation.temperature else None),
        "top_p": generation.top_p,
        "stop": json.dumps(_end(shipped), ensure_ascii=False),
    }
    lines = [f"PARAMETER {name} {value}" for name, value in parameters.items() if value is not None]
    return f'FROM ./{file}\nTEMPLATE """{template}"""\n' + "\n".join(lines) + "\n"


def _go_text(text: str) -> str:
    """The text where Go's templates read braces and the Modelfile three quotes as text."""
    return text.replace("{{", '{{ "{{" }}').replace('"""', '{{ "\\"\\"\\"" }}')
