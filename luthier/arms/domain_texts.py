"""The texts of further pretraining: documents kept apart, nothing of dev or test among them, and their prompts.

    settings, task --texts_of--> DomainTexts --prompts_of--> a prompt for each piece of a document

A decoder predicts every token of a piece from those before it. An encoder-decoder writes hidden spans (Raffel et al.
2020, section 3.1.4), for which its tokenizer needs sentinels. A row holds one piece and no other document. Rows of
similar length stand together in one sequence where the model allows it, and none sees another one.

This file imports no torch.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from luthier.adapt.settings import GENERAL, Texts
from luthier.arms.short_form import domain_tables
from luthier.errors import DataError, SettingsError
from luthier.records import Example, Prompt
from luthier.scratch.corpus import SHORTEST, Corpus, Document, corpus_of, documents_of
from luthier.scratch.objectives import SENTINELS, Vocabulary, corrupted, span_lengths, tokens_for_inputs
from luthier.settings import settings_from
from luthier.task.prompt import Renderer
from luthier.task.task import Task
from luthier.training.settings import Training

TASK = "task"  # the corpus of a task's own training inputs
TELLING = 50  # characters: a shorter text stands in others by chance
FEWEST = 8  # tokens of a piece of which spans are hidden
HELD_BACK = "stands in a dev or test example, or holds one"
CONTROL = "spells a control token of the model"


@dataclass(frozen=True)
class DomainTexts:
    """Documents to train on and documents held out, and how many were left out for which reason."""

    corpus: Corpus
    left_out: dict[str, int]


def texts_of(settings: Texts, task: Task, train: Sequence[Example], renderer: Renderer) -> DomainTexts:
    """The texts that `settings` name; `train` are the study's training examples.

    Raises DataError for texts that are not there, or too few.
    """
    own = settings.corpus == TASK
    documents = _of_task(train, settings.references) if own else documents_of(settings.corpus)
    counts: Counter[str] = Counter()
    kept = list(_kept(documents, _held_back(task), renderer, counts))
    if documents and not kept:
        reason = next(iter(counts))
        raise DataError(f"every document of it {reason}, so nothing is left to train on", file=settings.corpus)
    where = f"{task.source}: its training inputs" if own else settings.corpus
    return DomainTexts(corpus_of(kept, where, 1 if own else SHORTEST), dict(sorted(counts.items())))


def settings_of(given: Mapping[str, Any], where: str) -> tuple[Texts, Training]:
    """Settings of further pretraining in one table -> which texts, and how they are trained on."""
    tables: dict[str, dict[str, Any]] = {"settings": {}, "training": {}}
    for key, value in given.items():
        if (table := domain_tables().get(key)) is not None:
            tables[table][key] = value
    training = settings_from(Training, {"replay": GENERAL} | tables["training"], where)
    return settings_from(Texts, tables["settings"], where), training


def _of_task(train: Sequence[Example], references: bool) -> list[Document]:
    """A document for each training input, with its first reference behind it where that is wanted."""
    texts = [[one.input, *(one.references[:1] if references else ())] for one in train]
    return [Document(one.id, TASK, "\n\n".join(parts)) for one, parts in zip(train, texts, strict=True)]


def _held_back(task: Task) -> list[str]:
    """The inputs and references of dev and test that are long enough to be told from others."""
    examples = [*task.split("dev"), *task.split("test")]
    texts = {_plain(text) for one in examples for text in (one.input, *one.references)}
    return sorted(text for text in texts if len(text) >= TELLING)


def _kept(
    documents: Iterable[Document], held_back: Sequence[str], renderer: Renderer, counts: Counter[str]
) -> Iterator[Document]:
    """The documents that may be read; `counts` gets the reasons of the others."""
    documents = list(documents)
    plains = [_plain(one.text) for one in documents]
    joined, holding = "\0".join(held_back), _holding(plains, held_back)
    for number, (document, plain) in enumerate(zip(documents, plains, strict=True)):
        if number in holding or (len(plain) >= TELLING and plain in joined):
            counts[HELD_BACK] += 1
        elif renderer.spelled(document.text):
            counts[CONTROL] += 1
        else:
            yield document


def _holding(plains: Sequence[str], texts: Iterable[str]) -> set[int]:
    """The numbers of the documents that hold one of the texts: one search of all documents for each text."""
    joined, found = "\0".join(plains), set[int]()
    starts = list(accumulate((len(plain) + 1 for plain in plains), initial=0))
    for text in texts:
        at = joined.find(text)
        while at >= 0:
            number = bisect_right(starts, at) - 1
            found.add(number)
            at = joined.find(text, starts[number + 1])
    return found


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


# ---------------------------------------------------------------------------------------------------------- prompts


def prompts_of(renderer: Renderer, begin: int, documents: Iterable[Document], row: int, seed: int) -> list[Prompt]:
    """A prompt for each piece of at most `row` tokens, called NAME/PIECE; `begin` is the token a text begins with.

    Raises SettingsError for a family that learns from no plain text, or a tokenizer without sentinels.
    """
    row = min(row, renderer.window)
    if renderer.family == "decoder":
        return [one for text in documents for one in renderer.text_prompts(text.name, text.text, begin, row)]
    if renderer.family != "encoder-decoder":
        raise SettingsError(f"domain: an {renderer.family} has no head here that learns from plain text")
    words = _Sentinels.of(renderer, row)
    return [one for text in documents for one in _hidden(renderer, words, text, row, seed)]


def lengths_of_texts(
    settings: Texts, task: Task, train: Sequence[Example], renderer: Renderer, *, begin: int, seed: int
) -> tuple[tuple[int, int], ...]:
    """Tokens of prompt and target of every piece that would be trained on."""
    texts = texts_of(settings, task, train, renderer).corpus.train
    pieces = prompts_of(renderer, begin, texts, settings.row, seed)
    return tuple((len(one.prompt_ids), len(one.target_ids or ())) for one in pieces)


@dataclass(frozen=True)
class _Sentinels(Vocabulary):
    """The ids of <extra_id_0>, <extra_id_1> and so on, which stand for hidden spans."""

    ids: tuple[int, ...] = ()

    @classmethod
    def of(cls, renderer: Renderer, row: int) -> _Sentinels:
        vocabulary = renderer.tokenizer.get_vocab()
        ids = [vocabulary[name] for n in range(SENTINELS) if (name := f"<extra_id_{n}>") in vocabulary]
        if len(ids) < (needed := min(SENTINELS, span_lengths(tokens_for_inputs(row))[1])):
            raise SettingsError(
                f"domain: an encoder-decoder learns from texts by hidden spans, and its tokenizer has {len(ids)} of "
                f"{needed} sentinels (<extra_id_0>, ...); choose T5 or one like it, a smaller row, or leave domain out"
            )
        return cls(len(vocabulary), renderer.end_id, tuple(ids))

    def sentinel(self, number: int) -> int:
        return self.ids[number]


def _hidden(renderer: Renderer, words: _Sentinels, document: Document, row: int, seed: int) -> Iterator[Prompt]:
    """The pieces of a document with spans hidden, drawn by seed, name and piece."""
    ids, length = renderer.target_ids(document.text)[:-1], tokens_for_inputs(row)
    for number, at in enumerate(range(0, len(ids), length)):
        if len(piece := ids[at : at + length]) >= FEWEST:
            made = corrupted(piece, words, random.Random(f"spans-{seed}-{document.name}-{number}"))
            yield Prompt(f"{document.name}/{number}", "", made.source, made.targets)
