"""Questions of lesson 1.8: tokenizers."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

from luthier.course.question import Choice, Question, WrongSolution

Words = tuple[tuple[str, int], ...]


def _pairs(words: Words, weighed: bool = True) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, times in words:
        for left, right in pairwise(word):
            counts[left + right] += times if weighed else 1
    return counts


def _first(counts: Counter[str]) -> str:
    return min(counts, key=lambda one: (-counts[one], one))


def _letters(words: Words) -> str:
    """The two letters that stand most often, the more frequent one first."""
    counts: Counter[str] = Counter()
    for word, times in words:
        for letter in word:
            counts[letter] += times
    return "".join(sorted(counts, key=lambda one: (-counts[one], one))[:2])


def _again(words: Words) -> str:
    """The text written out, and each pair counted in it."""
    text = [word for word, times in words for _ in range(times)]
    letters = sorted({letter for word, _ in words for letter in word})
    found = {
        a + b: sum(word[at : at + 2] == a + b for word in text for at in range(len(word) - 1))
        for a in letters
        for b in letters
    }
    return max(sorted(found), key=lambda one: found[one])


def _table(dice: Random) -> dict[str, Any]:
    """Five short words of few letters, each with its count; one pair is more frequent than all others."""
    while True:
        letters = "".join(dice.sample("aeinorstlm", 5))
        made = {"".join(dice.choice(letters) for _ in range(dice.randrange(3, 6))) for _ in range(5)}
        words = tuple((word, dice.randrange(2, 10)) for word in sorted(made))
        best = _pairs(words).most_common(2)
        if (
            len(words) == 5
            and best[0][1] > best[1][1]
            and not any(a == b for word, _ in words for a, b in pairwise(word))
        ):
            return {"words": words, "shown": ", ".join(f"{word} {times} times" for word, times in words)}


def _window(dice: Random) -> dict[str, Any]:
    words = dice.randrange(400, 3000, 10)
    tokens = round(words * dice.uniform(1.15, 2.6))
    return {"words": words, "tokens": tokens, "window": dice.choice((512, 1024, 2048, 4096, 8192))}


QUESTIONS = (
    Question(
        row="1.8",
        name="merge",
        text="A text holds these words: {shown}. BPE begins with single letters. Which two letters does it join first? "
        "Write them as one piece, such as: th",
        draw=_table,
        answer=lambda words: _first(_pairs(words)),
        again=_again,
        wrong={
            "You counted each word once. A word counts as often as it stands in the text.": (
                lambda words: _first(_pairs(words, weighed=False))
            ),
            "You joined the two most frequent letters. They must also stand side by side.": _letters,
            "You took the beginning of the most frequent word. A pair is counted in all words.": (
                lambda words: min(words, key=lambda one: (-one[1], one[0]))[0][:2]
            ),
        },
        why="Over all words, each as often as it stands there, '{answer}' stands together most often.",
    ),
    Question(
        row="1.8",
        name="words",
        text="A tokenizer makes {tokens:,} tokens of a text of {words:,} words. A model has a window of {window:,} "
        "tokens. About how many words of such a text fill the window?",
        draw=_window,
        answer=lambda words, tokens, window: window * words / tokens,
        again=lambda words, tokens, window: window / (tokens / words),
        wrong={
            "You took a token for a word. Here a word has more than one token.": lambda window: window,
            "You divided the wrong way round. There are fewer words than tokens.": (
                lambda words, tokens, window: window * tokens / words
            ),
            "You took the rule of thumb of three words for four tokens. This text has its own rate.": (
                lambda window: 0.75 * window
            ),
        },
        why="A word of this text takes {tokens:,} / {words:,} tokens, so {window:,} tokens hold {answer:,.0f} words.",
        unit="words",
    ),
    Choice(
        row="1.8",
        name="blanks",
        text="You put an empty line between the turns of a dialogue. Your tokenizer is a byte-level BPE. What does the "
        "model see?",
        right="another row of tokens than before",
        wrong={
            "the same tokens, since white space has no meaning": (
                "WordPiece throws white space away. A byte-level BPE keeps every byte of it."
            ),
            "the same tokens, with one blank line at the end": "Tokens stand in the order of the text.",
            "nothing, since an empty line has no token": "A line break is a byte, and each byte is in some token.",
        },
        why="A byte-level tokenizer keeps all white space, so this is another prompt.",
    ),
)

WRONG_SOLUTIONS = {
    "next_merge": (
        WrongSolution(
            "def next_merge(words):\n"
            "    counts = {}\n"
            "    for word, times in words.items():\n"
            "        for pair in zip(word, word[1:]):\n"
            "            counts[pair] = counts.get(pair, 0) + times\n"
            "    left, right = max(counts, key=counts.get)\n"
            "    return [left, right, counts[left, right]]",
            says="of equal counts",
        ),
        WrongSolution(
            "def next_merge(words):\n"
            "    counts = {}\n"
            "    for word in words:\n"
            "        for pair in zip(word, word[1:]):\n"
            "            counts[pair] = counts.get(pair, 0) + 1\n"
            "    left, right = min(counts, key=lambda pair: (-counts[pair], pair))\n"
            "    return [left, right, counts[left, right]]",
            says="in all words",
        ),
        WrongSolution(
            "def next_merge(words):\n"
            "    counts = {}\n"
            "    for word, times in words.items():\n"
            "        for pair in set(zip(word, word[1:])):\n"
            "            counts[pair] = counts.get(pair, 0) + times\n"
            "    left, right = min(counts, key=lambda pair: (-counts[pair], pair))\n"
            "    return [left, right, counts[left, right]]",
            says="twice in one word",
        ),
    )
}
