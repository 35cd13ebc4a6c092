"""A user's file as text: its compression and encoding are found, said, and never guessed against evidence.

    bytes --magic numbers--> plain bytes --byte order mark, UTF-8, or what chardet says--> lines of text

A file that is no text, such as a workbook, is refused by what it is. A file that is UTF-8 in most lines and not in
others is refused by line: another encoding would spoil the lines that are right.
"""

from __future__ import annotations

import bz2
import codecs
import contextlib
import dataclasses
import gzip
import io
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from pydantic import Field, field_validator

from luthier.errors import DataError
from luthier.settings import Settings

MAX_LINE = 16 * 2**20  # characters, and bytes, of a line; more is a broken file, which may not fill the memory
NO_QUOTE = "none"
_HEAD = 4096  # bytes that tell what a file is
_SAMPLE = 200_000  # bytes of lines that are not UTF-8, shown to chardet
_MIXED = 0.1  # share of the lines beyond ASCII that are UTF-8: above it the file is UTF-8 with broken lines
_ZEROS, _FEWEST_ZEROS = 0.95, 0.01  # shares of NUL bytes that UTF-32 and UTF-16 have
_SURE_ORDER = 3  # times as many characters of ASCII in one order of bytes as in the other
_SURER = 1.1  # an encoding of old systems is asked about where chardet holds it this many times likelier

_COMPRESSED: dict[bytes, tuple[str, Callable[..., Any]]] = {
    b"\x1f\x8b": ("gzip", gzip.open),
    b"BZh": ("bzip2", bz2.open),
    b"\xfd7zXZ\x00": ("xz", lzma.open),
}
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, as workbooks of Excel and LibreOffice are; unpack it, or save the sheet as csv",
    b"\xd0\xcf\x11\xe0": "an old Office document; save the sheet as csv",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!": "a rar archive; unpack it",
    b"%PDF": "a PDF; save its rows as csv",
    b"SQLite format 3\x00": "a SQLite database; export the table as csv",
    b"ARROW1": "an Arrow file; write it as parquet",
    b"ORC": "an ORC file; write it as parquet",
    b"version https://git-lfs": "a pointer of Git LFS and not the file; run: git lfs pull",
}
_LATIN = re.compile("[A-Za-z]")
_OTHER_ALPHABET = re.compile("[\u0370-\u03ff\u0400-\u052f\u0590-\u06ff\u0e00-\u0e7f]")  # Greek to Thai
_CASES = re.compile("[a-z][\u00c0-\u00d6\u00d8-\u00de]")  # a capital in the midst of small letters
# What the systems write that are said to write these: they hold the same letters, and more.
_WIDER = {"SHIFT_JIS": "cp932", "shift_jis_2004": "cp932", "EUC-KR": "cp949", "GB2312": "gb18030", "TIS-620": "cp874"}
PARQUET = b"PAR1"
_MARKS = (  # the longer marks first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


class Format(Settings):
    """How the files are written; None: as each is found to be."""

    encoding: str | None = Field(None, description="The encoding of the files, such as utf-8 or cp1252.")
    delimiter: str | None = Field(None, description="The sign between the cells of a table, such as ; or a tab.")
    quote: str | None = Field(None, description="The sign around cells of a table; none: quotes are signs of texts.")

    @field_validator("encoding")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        try:
            if name is None or codecs.lookup(name)._is_text_encoding:
                return name
        except LookupError:
            pass
        raise ValueError(f"'{name}' is no encoding that Python knows; give one such as utf-8, cp1252 or utf-16")

    @field_validator("delimiter")
    @classmethod
    def _one_sign(cls, sign: str | None) -> str | None:
        sign = {"tab": "\t", "\\t": "\t"}.get(sign or "", sign)
        if sign is not None and (len(sign) != 1 or sign in '\r\n"'):
            raise ValueError(f"the delimiter is {sign!r}; give one sign such as , or ; or the word tab")
        return sign

    @field_validator("quote")
    @classmethod
    def _quotes(cls, sign: str | None) -> str | None:
        if sign is not None and sign != NO_QUOTE and (len(sign) != 1 or sign.isspace()):
            raise ValueError(f"the quote is {sign!r}; give one sign, or none where quotes are signs of the texts")
        return sign


AS_FOUND = Format()


@dataclass(frozen=True)
class Text:
    """A file that was looked at: how its text is opened, and what a user should know of that."""

    path: Path
    encoding: str
    unpack: Callable[..., Any]
    said: tuple[str, ...] = ()
    longest: int = MAX_LINE  # characters, and bytes, of a line

    def lines(self) -> Lines:
        """The lines from the beginning."""
        return Lines(self)


class Lines:
    """The lines of a file, each with its end; `line` and `row` say where reading is, for error messages."""

    def __init__(self, text: Text) -> None:
        self.path, self.line, self.row = text.path, 0, 0  # row 0 is a table's header
        self._text = text
        self._lines = self._read()

    def __iter__(self) -> Iterator[str]:
        return self._lines

    def _read(self) -> Iterator[str]:
        with _unpacked(self._text.path, self._text.unpack) as stream:
            text = io.TextIOWrapper(stream, self._text.encoding, newline="")  # CR, LF and CRLF end a line and stay
            most = self._text.longest
            while line := text.readline(most + 1):
                self.line += 1
                if len(line) > most:
                    raise self.refused(f"the line is longer than {most >> 20} MiB; is this a file of rows?")
                yield line.removeprefix("\ufeff") if self.line == 1 else line

    def refused(self, problem: str, line: int | None = None) -> DataError:
        return DataError(problem, file=self.path, row=self.row or None, line=line or self.line)


def is_parquet(path: Path) -> bool:
    with _opened(path, open) as file:
        return file.read(len(PARQUET)) == PARQUET


def refuse_foreign(path: Path) -> None:
    """Raises DataError for a file that cannot be read, or that is of a known kind that holds no rows of text."""
    with _opened(path, open) as file:
        _refuse_foreign(path, file.read(_HEAD))


def _refuse_foreign(path: Path, head: bytes) -> None:
    if foreign := next((words for magic, words in _FOREIGN.items() if head.startswith(magic)), None):
        raise DataError(f"this is {foreign}", file=path)


def opened_text(path: Path, encoding: str | None = None, longest: int = MAX_LINE) -> Text:
    """The file as text in `encoding`, or in the one that it is found to have. `longest`: characters of a line.

    Raises DataError for a file that is missing, damaged, no text, or in an encoding that cannot be told.
    """
    with _opened(path, open) as file:
        head = file.read(_HEAD)
    unpack: Callable[..., Any] = open
    said: list[str] = []
    for magic, (name, opener) in _COMPRESSED.items():
        if head.startswith(magic):
            unpack = opener
            said += [] if path.suffix in (".gz", ".bz2", ".xz") else [f"the file is compressed with {name}"]
            with _unpacked(path, unpack) as stream:
                head = stream.read(_HEAD)
            if any(head.startswith(again) for again in _COMPRESSED):
                raise DataError("the file is compressed twice; unpack it", file=path)
    _refuse_foreign(path, head)
    if encoding is not None:
        return _as_said(Text(path, encoding, unpack, tuple(said), longest))
    marked = _marked(head)
    if marked:
        said += [] if marked == "utf-8" else [f"the file is written in {marked}"]
        return _as_said(Text(path, marked, unpack, tuple(said), longest))
    name, more = _found(path, unpack, longest)
    return Text(path, name, unpack, (*said, *more), longest)


@contextlib.contextmanager
def _opened(path: Path, unpack: Callable[..., Any]) -> Iterator[IO[bytes]]:
    """The file, open; errors of the operating system (missing, a folder, no permission) become DataErrors."""
    try:
        with unpack(path, "rb") as file:
            yield file
    except OSError as error:
        if unpack is not open and error.errno is None:  # gzip's own
            raise _damaged(path) from None
        raise DataError(f"cannot be read ({error.strerror}); name a file that is there", file=path) from None


@contextlib.contextmanager
def _unpacked(path: Path, unpack: Callable[..., Any]) -> Iterator[Any]:
    try:
        with _opened(path, unpack) as file:
            yield file
    except (EOFError, zlib.error, lzma.LZMAError):
        raise _damaged(path) from None


def _damaged(path: Path) -> DataError:
    return DataError("the compressed file is damaged or cut off; fetch it again", file=path)


def _marked(head: bytes) -> str | None:
    """The encoding that a byte order mark or the places of NUL bytes name."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    places = [head[place::4] for place in range(4)]
    zeros = [part.count(0) / max(1, len(part)) for part in places]
    for name, empty, filled in (("utf-32-le", (2, 3), 0), ("utf-32-be", (0, 1), 3)):
        if all(zeros[place] > _ZEROS for place in empty) and zeros[filled] < 0.5:
            return name
    if head.count(0) <= _FEWEST_ZEROS * len(head):
        return None
    # Blanks, digits and line feeds are ASCII whatever the script, and only in the right order of bytes.
    ascii_of = {name: _ascii(head, name) for name in ("utf-16-le", "utf-16-be")}
    name = max(ascii_of, key=lambda name: ascii_of[name])
    return name if ascii_of[name] > _SURE_ORDER * min(ascii_of.values()) else None


def _ascii(head: bytes, encoding: str) -> int:
    """The characters of ASCII in a text that has line ends; 0 where it has none."""
    text = head.decode(encoding, "ignore")
    return sum("\0" < sign < "\x80" for sign in text) if {"\n", "\r"} & set(text) else 0


def _as_said(text: Text) -> Text:
    """`text`, if its encoding reads the whole file; else the error names the line."""
    lines = text.lines()
    try:
        for _ in lines:
            pass
    except UnicodeDecodeError as error:
        problem = f"the file is not {text.encoding} after this line ({error.reason}); name its encoding with --encoding"
        raise lines.refused(problem) from None
    return text


# --- no mark: UTF-8, or what chardet says -------------------------------------------------------------------------


def _found(path: Path, unpack: Callable[..., Any], longest: int) -> tuple[str, list[str]]:
    """The encoding of a file without a mark, and what to say of it."""
    good = bad = 0
    first: tuple[int, int] | None = None
    sample = bytearray()
    escapes = False
    with _unpacked(path, unpack) as stream:
        number = 0
        while line := stream.readline(longest + 1):
            number += 1
            if len(line) > longest and b"\r" not in line:
                raise DataError(f"the line is longer than {longest >> 20} MiB; is this a file of rows?",
                                file=path, line=number)  # fmt: skip
            escapes = escapes or b"\x1b$" in line
            if line.isascii():
                continue
            try:
                line.decode()
                good += 1
            except UnicodeDecodeError as error:
                bad += 1
                first = first or (number, error.start + 1)
                if len(sample) < _SAMPLE:
                    sample += line
    if escapes and not good + bad:
        return "iso2022_jp", ["the file is written in iso2022_jp"]
    if first is None:
        return "utf-8", []
    if good > _MIXED * (good + bad):
        problem = f"byte {first[1]} of the line is not UTF-8, and other lines are; mend the line, or name the encoding"
        raise DataError(f"{problem} of the whole file with --encoding", file=path, line=first[0])
    return _by_chardet(Text(path, "", unpack, longest=longest), bytes(sample), first)


def _by_chardet(text: Text, sample: bytes, first: tuple[int, int]) -> tuple[str, list[str]]:
    """The likeliest encoding, if none of old systems (DOS, Mac) is likelier; said with a word that shows it."""
    import chardet

    usual_eras = chardet.EncodingEra.MODERN_WEB | chardet.EncodingEra.LEGACY_ISO
    usual_names = {found["encoding"] for found in chardet.detect_all(sample, True, encoding_era=usual_eras)}
    found_all = [(str(found["encoding"]), found["confidence"]) for found in chardet.detect_all(sample, True)]
    ranked = [(name, surety) for name, surety in found_all if _reads(sample, name)]
    usual = [(name, surety) for name, surety in ranked if name in usual_names]
    rivals = [name for name, surety in ranked
              if name not in usual_names and (not usual or surety > _SURER * usual[0][1])]  # fmt: skip
    where = f"byte {first[1]} of the line is not UTF-8"
    if rivals or not usual:
        names = list(dict.fromkeys([*rivals[:2], *(name for name, _ in usual[:1])]))
        may_be = ", ".join(f"{name} ('{_example(sample.decode(name))}')" for name in names)
        of = f", and may be {may_be}" if may_be else ""
        raise DataError(f"{where}{of}; name the file's encoding with --encoding", file=text.path, line=first[0])
    name = _WIDER.get(usual[0][0], usual[0][0]).lower().replace("windows-", "cp")
    _as_said(dataclasses.replace(text, encoding=name))
    shown = _example(sample.decode(name, "replace"))
    return name, [
        f"the file is not UTF-8 and is read as {name}, for example '{shown}'; if that is wrong, name its encoding"
    ]


def _reads(sample: bytes, encoding: str) -> bool:
    """Whether `encoding` reads the sample as words.

    ISO's encodings make control characters of Windows' signs, other alphabets stand beside a-z in one word, and
    Windows' capitals of Mac's quotes stand inside words.
    """
    if encoding.lower().startswith("utf"):  # those were tried
        return False
    try:
        text = sample.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    words = [word for word in text.split() if not word.isascii()]
    mixed = sum(bool((_LATIN.search(word) and _OTHER_ALPHABET.search(word)) or _CASES.search(word)) for word in words)
    return mixed * 2 < max(1, len(words)) and not any("\x7f" <= sign <= "\x9f" for sign in text)


def _example(text: str) -> str:
    """The first word beyond ASCII."""
    return next((word for word in text.split() if not word.isascii()), "")[:40].strip(",;\t|\"'.")
