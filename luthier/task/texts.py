"""Texts of a file as luthier holds them, and the Notes that count what reading changed.

Carriage returns become line feeds and control characters spaces, since tokenizers and metrics treat them in surprising
ways. Letters with marks are composed (NFC, Unicode Standard Annex 15), so that one visible text is one text. Words that
were spoiled by a wrong encoding before they came here ("CafÃ©") are found by ftfy, named, and left as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from luthier.task.opened import AS_FOUND, Format

# C0 and C1 controls except tab and line feed; carriage returns have become line feeds before this is asked.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_CARRIAGE_RETURN = re.compile(r"\r\n?")
_SIDE_BY_SIDE = re.compile(r"[^\x00-\x7f]{2}")
_LOST = "\ufffd"  # what a program wrote in place of bytes that it could not read


@dataclass(frozen=True)
class Notes:
    """What was found about one file, and the changes that reading made to its texts."""

    file: str
    rows: int
    controls: dict[str, int] = field(default_factory=dict)  # code point, e.g. U+0092 -> characters made a space
    control_rows: tuple[int, ...] = ()  # the rows they were in
    line_endings: int = 0  # carriage returns, with or without a line feed, made one line feed
    blank_references: tuple[int, ...] = ()  # rows with a blank text among several references, left out
    found: tuple[str, ...] = ()  # how the file is written, where that is unusual
    written: Format = AS_FOUND  # how it is written, where that is unusual, as keys of task.toml
    composed: int = 0  # texts whose letters and marks were composed
    composed_rows: tuple[int, ...] = ()
    spoiled_rows: tuple[int, ...] = ()  # rows with words that a wrong encoding spoiled, left as they are
    spoiled: tuple[str, str] = ("", "")  # such a word, and what it seems to have been
    chats: tuple[str, ...] = ()  # what reading left out of chats or joined in them

    def sentences(self) -> list[str]:
        """Everything that was found or changed, one sentence a kind; empty when there was nothing."""
        sentences = list(self.found)
        if self.controls:
            kinds = ", ".join(f"{name} x {count}" for name, count in self.controls.items())
            where = listing(self.control_rows)
            sentences.append(f"{sum(self.controls.values())} control characters ({kinds}) became spaces, in {where}")
        if self.line_endings:
            sentences.append(f"{self.line_endings} carriage returns inside texts became line feeds")
        if self.composed:
            where = listing(self.composed_rows)
            sentences.append(f"{self.composed} texts had letters and their marks apart and were composed, in {where}")
        if self.blank_references:
            sentences.append(f"blank references beside others were left out, in {listing(self.blank_references)}")
        return [f"{self.file}: {sentence}" for sentence in (*sentences, *self.chats)] + self.warnings()

    def warnings(self) -> list[str]:
        """What was found, is left as it is, and spoils what is measured."""
        if not self.spoiled_rows:
            return []
        word, meant = self.spoiled
        was = f"'{word}' seems to be '{meant}'" if meant else f"'{word}' holds a sign that stands for lost letters"
        where = listing(self.spoiled_rows)
        problem = f"words were spoiled by a wrong encoding before they came here ({was}), in {where}"
        return [f"{self.file}: {problem}; export the rows again as UTF-8"]


def listing(rows: tuple[int, ...], most: int = 10) -> str:
    return f"rows {', '.join(map(str, rows[:most]))}" + (f" and {len(rows) - most} more" if len(rows) > most else "")


class Cleaning:
    """Cleans the texts of one file and counts what it changed."""

    def __init__(self) -> None:
        self.controls: Counter[str] = Counter()
        self.control_rows: dict[int, None] = {}  # a set that keeps its order
        self.line_endings = 0
        self.blank_references: list[int] = []
        self.composed = 0
        self.composed_rows: dict[int, None] = {}
        self.spoiled_rows: dict[int, None] = {}
        self.spoiled = ("", "")
        self.chats: Counter[str] = Counter()

    def text(self, text: str, row: int) -> str:
        """The text as every task holds it."""
        text, returns = _CARRIAGE_RETURN.subn("\n", text)
        self.line_endings += returns
        self.look(text, row)
        if controls := _CONTROL.findall(text):
            self.controls.update(f"U+{ord(character):04X}" for character in controls)
            self.control_rows[row] = None
        # A space, and not nothing or a guess at the lost encoding: two words stay two, and no character is invented.
        return self._composed(_CONTROL.sub(" ", text), row)

    def references(self, texts: list[str], row: int) -> tuple[str, ...]:
        """The texts that are not blank; a blank one beside others is counted."""
        kept = tuple(text for text in (self.text(text, row) for text in texts) if text.strip())
        if kept and len(kept) < len(texts):
            self.blank_references.append(row)
        return kept

    def _composed(self, text: str, row: int) -> str:
        if unicodedata.is_normalized("NFC", text):
            return text
        self.composed += 1
        self.composed_rows[row] = None
        return unicodedata.normalize("NFC", text)

    def look(self, text: str, row: int) -> None:
        """Notes a word that a wrong encoding spoiled, and changes nothing."""
        if text.isascii():
            return
        word = next((word for word in text.split() if _LOST in word), "")
        meant = ""
        if not word:
            word, meant = spoiled_word(text)
        if word:
            self.spoiled_rows[row] = None
            self.spoiled = self.spoiled if self.spoiled[0] else (word, meant)

    def notes(self, file: str, rows: int, found: tuple[str, ...] = (), written: Format = AS_FOUND) -> Notes:
        return Notes(
            file,
            rows,
            dict(self.controls),
            tuple(self.control_rows),
            self.line_endings,
            tuple(self.blank_references),
            found,
            written,
            self.composed,
            tuple(self.composed_rows),
            tuple(self.spoiled_rows),
            self.spoiled,
            tuple(f"{count} {what}" for what, count in self.chats.items()),
        )


def spoiled_word(text: str) -> tuple[str, str]:
    """The first word that was written in UTF-8 and read in another encoding, and what it was; ('', '') if none is."""
    if not _SIDE_BY_SIDE.search(text):  # a letter of UTF-8 has two bytes or more, and each became a sign
        return "", ""
    from ftfy import badness, fix_encoding

    if not badness.is_bad(text):
        return "", ""
    for word in text.split():
        # A control character alone is counted as such, and may be a sign of Windows read as one of ISO's.
        if any(sign > "\x9f" for sign in word) and (meant := fix_encoding(word)) != word:
            return word, meant
    return "", ""
