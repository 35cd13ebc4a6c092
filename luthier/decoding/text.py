"""The text of an answer while its tokens come: only what no later token can change, and nothing from a stop string on.

    stream = TextStream(tokenizer, stops=["\\n\\n"])
    for event in events: show(stream.add(event.token, last=event.stop is not None)); stop if stream.stopped

The pieces joined are the text that one decoding of all tokens gives. A character may lie across tokens, and so may a
stop string: both are held back until it is certain what they are. A token is decoded together with the few before it,
because decoding all tokens again for each one would take quadratic time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_OPEN = 3  # bytes of UTF-8 that an unfinished character can have, so also its replacement characters
OPEN = "\ufffd"  # what a tokenizer writes for bytes that are no character, or not yet
CONTEXT = 6  # tokens before the new ones that are decoded with them: some tokenizers drop a blank at the beginning


class TextStream:
    """Turns tokens into pieces of text.

    stops: the answer ends before the string of these that is complete first; strip: white space around the answer is
    left out, as it is in recorded answers. `stopped` says whether a stop string was found; nothing comes after it.
    """

    def __init__(self, tokenizer: Any, stops: Sequence[str] = (), *, strip: bool = True) -> None:
        self.tokenizer, self.stops, self.strip = tokenizer, [stop for stop in stops if stop], strip
        self.stopped = False
        self._tokens: list[int] = []
        self._decoded = 0  # tokens whose text is certain
        self._given = 0  # characters that are certain of the tokens behind them
        self._held = ""  # text that is certain and not given out: it may begin a stop string, or end the answer
        self._began = not strip

    def add(self, token: int, last: bool = False) -> str:
        """The next piece of the answer, perhaps empty; with `last` all that is left of it."""
        if self.stopped:
            return ""
        self._tokens.append(token)
        piece = self._certain(last)
        if not self._began:
            piece = piece.lstrip()
            self._began = bool(piece)
        text = self._held + piece
        if (cut := first_stop(text, self.stops)) is not None:
            self.stopped, text, last = True, text[:cut], True
        keep = 0 if last else self._length_to_hold(text)
        given, self._held = text[: len(text) - keep], text[len(text) - keep :]
        return given.rstrip() if last and self.strip else given

    def _certain(self, last: bool) -> str:
        """The new text that no later token changes."""
        context = max(0, self._decoded - CONTEXT)
        before = self._decode(self._tokens[context : self._decoded])
        text = self._decode(self._tokens[context:])[len(before) :]
        # A character that is really U+FFFD looks like an open end, so only the last few are held.
        open_end = 0 if last else min(len(text) - len(text.rstrip(OPEN)), MOST_OPEN)
        new, self._given = text[self._given : len(text) - open_end], max(self._given, len(text) - open_end)
        if not open_end:
            self._decoded, self._given = len(self._tokens), 0
        return new

    def _decode(self, tokens: list[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True)) if tokens else ""

    def _length_to_hold(self, text: str) -> int:
        """The length of the end of `text` that a stop string may begin with, and of the white space before it."""
        longest = min(max((len(stop) for stop in self.stops), default=0) - 1, len(text))
        ends = (n for n in range(longest, 0, -1) if any(stop.startswith(text[-n:]) for stop in self.stops))
        held = next(ends, 0)
        before = text[: len(text) - held]
        return held + (len(before) - len(before.rstrip()) if self.strip else 0)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the stop string begins that is complete first in `text`, of several the longest; None: there is none."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return min(found)[1] if found else None
