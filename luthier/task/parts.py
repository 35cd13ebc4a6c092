"""An input of several parts: columns that a template names, turns of a chat; one text of them, and cutting them.

"{context} asks {question}" + fields --fill--> text
turns --transcript--> one text, for whatever reads an input as a text (units, leaks, copying, facts)
example --shortened--> the same example with less text, for a prompt that does not fit
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from luthier.records import Example, Turn

INPUT = "input"  # the placeholder of the whole input
# A name in braces. `\boxed{answer}` and `{{answer}}` are none, and neither is JSON, whose names stand in quotes.
_PLACEHOLDER = re.compile(r"(?<![\w{])\{([^\W\d][\w .-]*)\}(?!\})")
_PARAGRAPH = "\n\n"
QUESTION, REPLY, RULES = "user", "assistant", "system"  # the roles of turns


def placeholders(text: str, known: Sequence[str] = ()) -> list[str]:
    """The names in braces that a template holds, in order, each as often as it stands there."""
    found = [(match.start(), match[1]) for match in _PLACEHOLDER.finditer(text)]
    places = {place for place, _ in found}
    for name in known:  # a name of a user's column may hold any sign
        found += [(m.start(), name) for m in re.finditer(re.escape(f"{{{name}}}"), text) if m.start() not in places]
    return [name for _, name in sorted(found)]


def fill(text: str, example: Example) -> str:
    """The template `text` with the example's texts in their places, in one pass: a text's own braces stay as they are.

    Where there are several columns, a paragraph of the template whose columns are all blank is left out.
    """
    values = {INPUT: example.input, **example.fields}
    if example.fields:
        named = {part: placeholders(part, list(values)) for part in text.split(_PARAGRAPH)}
        text = _PARAGRAPH.join(
            part
            for part in text.split(_PARAGRAPH)
            if not named[part] or any(values.get(name, "-").strip() for name in named[part])
        )
    pattern = "|".join(re.escape(f"{{{name}}}") for name in values)
    return re.sub(pattern, lambda match: values[match[0][1:-1]], text)


def composed(columns: Sequence[str]) -> str:
    """The template that holds all these columns and no other words."""
    return _PARAGRAPH.join(f"{{{name}}}" for name in columns)


def joined(fields: Mapping[str, str]) -> str:
    """Several columns as one text: those that are not blank, a blank line between them."""
    return _PARAGRAPH.join(text for text in fields.values() if text.strip())


def transcript(turns: Sequence[Turn]) -> str:
    """The turns of a chat as one text: a single turn is its words alone, several are led by their roles."""
    return turns[0][1] if len(turns) == 1 else "\n".join(f"{role}: {words}" for role, words in turns)


def cuttable(example: Example) -> int:
    """The largest number of characters that `shortened` tells apart."""
    if example.fields:
        return max(map(len, example.fields.values()))
    return sum(len(words) for _, words in example.turns) if example.turns else len(example.input)


def shortened(example: Example, characters: int) -> Example:
    """The example with at most `characters` of its input, cut at the end.

    Several columns are each cut to that many. Of a chat the question is cut at its end, then whole earlier turns are
    left out, the oldest first; the system's turn stays.
    """
    if example.fields:
        fields = {name: text[:characters] for name, text in example.fields.items()}
        return replace(example, fields=fields, input=joined(fields))
    if not example.turns:
        return replace(example, input=example.input[:characters])
    *earlier, (role, question) = example.turns
    kept = tuple(_newest(earlier, characters - len(question)))
    turns = (*(turn for turn in earlier if turn[0] == RULES), *reversed(kept), (role, question[:characters]))
    return replace(example, turns=turns, input=transcript(turns))


def _newest(earlier: Sequence[Turn], room: int) -> Iterator[Turn]:
    """The newest turns that fit into `room` characters, the newest first; none that a reply would begin."""
    waiting: list[Turn] = []
    for turn in reversed([turn for turn in earlier if turn[0] != RULES]):
        room -= len(turn[1])
        if room < 0:
            return
        waiting.append(turn)
        if turn[0] == QUESTION:
            yield from waiting
            waiting = []
