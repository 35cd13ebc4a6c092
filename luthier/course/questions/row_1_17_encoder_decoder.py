"""Questions of lesson 1.17: encoder-decoders and span corruption."""

from __future__ import annotations

from itertools import groupby
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

WHO = ("my brother", "the old baker", "our neighbour", "the new teacher", "a tired nurse", "the young pilot")
DID = ("carried", "painted", "repaired", "sold", "found", "borrowed", "hid", "washed")
WHAT = ("two heavy boxes", "the garden gate", "a broken lamp", "his green bicycle", "some very old maps")
WHEN = ("before the rain came", "late on Sunday evening", "while everybody was asleep", "without saying a word")


def _sentence(dice: Random) -> dict[str, Any]:
    sentence = " ".join(dice.choice(part) for part in (WHO, DID, WHAT, WHEN))
    words = tuple(sentence.split())
    first = dice.randrange(0, 3)
    long = dice.randrange(1, 4)
    second = first + long + dice.randrange(1, 3)
    hidden = (*range(first, first + long), *range(second, second + 5 - long))
    return {
        "sentence": sentence,
        "words": words,
        "hidden": tuple(one for one in hidden if one < len(words)),
        "places": ", ".join(str(one + 1) for one in hidden if one < len(words)),
    }


def _spans(hidden: tuple[int, ...]) -> list[list[int]]:
    """The hidden places in spans of neighbours."""
    return [[place for _, place in group] for _, group in groupby(enumerate(hidden), lambda pair: pair[1] - pair[0])]


def _target(words: tuple[str, ...], hidden: tuple[int, ...], first: int = 0) -> str:
    parts = [
        f"<extra_id_{number}> {' '.join(words[place] for place in span)}"
        for number, span in enumerate(_spans(hidden), first)
    ]
    return " ".join([*parts, "</s>"])


def _target_by_word(words: tuple[str, ...], hidden: tuple[int, ...]) -> str:
    """The same, word by word: a sentinel where a hidden word follows one that is not."""
    said: list[str] = []
    number = 0
    for place, word in enumerate(words):
        if place in hidden:
            if place - 1 not in hidden:
                said.append(f"<extra_id_{number}>")
                number += 1
            said.append(word)
    return " ".join([*said, "</s>"])


def _source(words: tuple[str, ...], hidden: tuple[int, ...]) -> str:
    """What the encoder reads."""
    starts = {span[0]: f"<extra_id_{number}>" for number, span in enumerate(_spans(hidden))}
    kept = [starts.get(place, None if place in hidden else word) for place, word in enumerate(words)]
    return " ".join([*(one for one in kept if one), "</s>"])


QUESTIONS = (
    Question(
        row="1.17",
        name="target",
        text="The sentence is: {sentence}. The words {places} are hidden, counted from 1. Words that stand side by "
        "side are one span. What does T5's decoder have to write? Write sentinels as <extra_id_0>, <extra_id_1>, and "
        "</s> at the end. Here no sentinel stands behind the last span.",
        draw=_sentence,
        answer=lambda words, hidden: _target(words, hidden),
        again=lambda words, hidden: _target_by_word(words, hidden),
        wrong={
            "That is what the encoder reads. The decoder writes the hidden words.": (
                lambda words, hidden: _source(words, hidden)
            ),
            "Each hidden word got a sentinel. One stands for a whole span.": (
                lambda words, hidden: " ".join(
                    [*(f"<extra_id_{number}> {words[place]}" for number, place in enumerate(hidden)), "</s>"]
                )
            ),
            "The sentinels are missing. Without them nobody knows which span is meant.": (
                lambda words, hidden: " ".join([*(words[place] for place in hidden), "</s>"])
            ),
            "The first sentinel is <extra_id_0>.": lambda words, hidden: _target(words, hidden, 1),
            "You wrote the whole sentence again. T5 writes the hidden spans alone.": (
                lambda words: " ".join([*words, "</s>"])
            ),
        },
        why="Each span stands behind its sentinel: {answer}",
        tolerance=0,
    ),
    Question(
        row="1.17",
        name="written",
        text="A text has {tokens:,} tokens. T5 hides 15 % of them, in spans of exactly 3 tokens. How many tokens does "
        "the decoder write, with its sentinels and one end token?",
        draw=lambda dice: {"tokens": 20 * dice.randrange(2, 3000)},
        answer=lambda tokens: tokens * 15 // 100 + tokens * 5 // 100 + 1,
        again=lambda tokens: sum(1 + 3 for _ in range(tokens // 20)) + 1,
        wrong={
            "You left the sentinels out. Each span begins with one.": lambda tokens: tokens * 15 // 100 + 1,
            "You left the end token out.": lambda tokens: tokens * 20 // 100,
            "You gave each hidden token a sentinel. A span has one.": lambda tokens: tokens * 30 // 100 + 1,
            "That is what the encoder reads.": lambda tokens: tokens * 90 // 100 + 1,
        },
        why="15 % of {tokens:,} are hidden. They stand in a third as many spans, each with a sentinel. With the end "
        "token that is {answer:,}.",
        tolerance=0,
    ),
    Choice(
        row="1.17",
        name="sentinel",
        text="T5 reads: I have <extra_id_0> keys. How many words does it put in the place of <extra_id_0>?",
        right="as many as it finds likely, also none or several",
        wrong={
            "exactly one": "A sentinel stands for a span. In training most spans have more than one token.",
            "exactly three": "Three is the mean of training. Each span has its own length.",
            "as many as the mark says": "The number in the mark counts spans. It says nothing about their length.",
        },
        why="The decoder writes until it says the next sentinel or the end.",
    ),
)

WRONG_SOLUTIONS = {
    "corrupt": (
        WrongSolution(
            "def corrupt(words, spans):\n"
            "    source, target = list(words), []\n"
            "    for number, (start, length) in enumerate(spans):\n"
            "        sentinel = f'<extra_id_{number}>'\n"
            "        target += [sentinel] + words[start : start + length]\n"
            "        for place in range(start, start + length):\n"
            "            source[place] = sentinel\n"
            "    return [' '.join(source + ['</s>']), ' '.join(target + ['</s>'])]",
            says="one sentinel stands for the whole span",
        ),
        WrongSolution(
            "def corrupt(words, spans):\n"
            "    source, target, at = [], [], 0\n"
            "    for start, length in spans:\n"
            "        source += words[at:start] + ['<extra_id_0>']\n"
            "        target += ['<extra_id_0>'] + words[start : start + length]\n"
            "        at = start + length\n"
            "    return [' '.join(source + words[at:] + ['</s>']), ' '.join(target + ['</s>'])]",
            says="a sentinel of its own",
        ),
        WrongSolution(
            "def corrupt(words, spans):\n"
            "    hidden = {place for start, length in spans for place in range(start, start + length)}\n"
            "    source = [word for place, word in enumerate(words) if place not in hidden]\n"
            "    target = [word for place, word in enumerate(words) if place in hidden]\n"
            "    return [' '.join(source + ['</s>']), ' '.join(target + ['</s>'])]",
            says="before it in the target",
        ),
    )
}
