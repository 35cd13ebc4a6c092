"""Requirements that a function checks: what an answer to an instruction has to obey, and the words that ask for it.

    REQUIREMENTS["at-most-words"].words(20)          "Use at most 20 words."
    REQUIREMENTS["at-most-words"].holds(answer, 20)  True or False

An answer without a word obeys nothing, so that silence, or a dash alone, is not obedience.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


class Requirement(NamedTuple):  # no dataclass: lm-eval loads a copy of this file in a way that those do not bear
    """`ask` holds the words that ask for it, with its arguments in braces; `check(answer, *arguments)` checks it."""

    ask: str
    check: Callable[..., bool]

    def words(self, *arguments: Any) -> str:
        return self.ask.format(*arguments)

    def holds(self, answer: str, *arguments: Any) -> bool:
        return bool(_words(answer)) and self.check(answer.strip(), *arguments)


def obeyed(answer: str, requirements: Sequence[tuple[str, tuple[Any, ...]]]) -> float:
    """The share of the requirements that the answer obeys, 0 to 1."""
    held = [REQUIREMENTS[name].holds(answer, *arguments) for name, arguments in requirements]
    return sum(held) / len(held)


def process_results(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, float]:
    """What lm-eval calls for each answer of the task `luthier_following`, which brings a copy of this file."""
    return {"obeyed": obeyed(results[0], doc["requirements"])}


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _sentences(text: str) -> int:
    return len(re.findall(r"[^.!?]*[^\W_][^.!?]*(?:[.!?]+|$)", text))


def _letters(text: str) -> str:
    return "".join(sign for sign in text if sign.isalpha())


def _numbered(text: str) -> bool:
    return all(line.startswith(f"{number}.") for number, line in enumerate(_lines(text), 1))


REQUIREMENTS: dict[str, Requirement] = {
    "contains": Requirement("Use the word “{0}”.", lambda text, word: word in _words(text)),
    "lacks": Requirement("Do not use the word “{0}”.", lambda text, word: word not in _words(text)),
    "at-most-words": Requirement("Use at most {0} words.", lambda text, most: len(_words(text)) <= most),
    "at-least-words": Requirement("Use at least {0} words.", lambda text, least: len(_words(text)) >= least),
    "one-sentence": Requirement("Write exactly one sentence.", lambda text: _sentences(text) == 1),
    "two-sentences": Requirement("Write exactly two sentences.", lambda text: _sentences(text) == 2),
    "one-line": Requirement("Write a single line.", lambda text: len(_lines(text)) == 1),
    "lines": Requirement("Write exactly {0} lines.", lambda text, count: len(_lines(text)) == count),
    "dashes": Requirement("Begin each line with a dash.", lambda text: all(x.startswith("-") for x in _lines(text))),
    "numbered": Requirement("Number the lines: 1., 2. and so on.", _numbered),
    "begins": Requirement("Begin with the word “{0}”.", lambda text, word: _words(text)[:1] == [word.lower()]),
    "ends": Requirement("End with “{0}”.", lambda text, sign: text.endswith(sign)),
    "no-commas": Requirement("Do not use commas.", lambda text: "," not in text),
    "no-digits": Requirement("Do not use digits.", lambda text: not any(sign.isdigit() for sign in text)),
    "no-question": Requirement("Do not ask anything.", lambda text: "?" not in text),
    "capitals": Requirement("Write in capital letters only.", lambda text: _letters(text).isupper()),
    "small": Requirement("Write in small letters only.", lambda text: _letters(text).islower()),
    "no-stop": Requirement("Do not end with a full stop.", lambda text: not text.endswith(".")),
}
