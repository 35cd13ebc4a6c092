"""The dialect of a table: delimiter, quotes and header, found by reading the whole file, and said where unusual.

    Text --found_dialect--> Dialect --records--> cells

A dialect fits when every record has as many cells as the header. The usual one of the file's ending is tried first. A
quoted cell may hold line feeds; but where each of its lines is a whole row by itself, a stray quote has swallowed rows,
and the file is refused by row. In a file of tabs, whose format has no quotes, they are read as signs of the text.
"""

from __future__ import annotations

import csv
import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from luthier.errors import DataError
from luthier.task.opened import MAX_LINE, NO_QUOTE, Format, Lines, Text

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SEP = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # Excel's first line that names the delimiter
_SURE = 3  # lines: so many in a row are not each a whole row by chance


@dataclass(frozen=True)
class Dialect:
    """How a table is written."""

    delimiter: str
    quote: str | None = '"'  # None: quotes are signs of the texts
    escaped: bool = False  # a backslash, and not a second quote, stands before a quote inside a cell
    spaced: bool = False  # a blank stands behind each delimiter
    skipped: int = 0  # lines before the header


@dataclass(frozen=True)
class Table:
    """What was found about a table. `names` by position; None: a column without name and cells, which is left out."""

    dialect: Dialect
    names: tuple[str | None, ...]
    said: tuple[str, ...] = ()


@dataclass
class _Survey:
    """One pass over the file under one dialect."""

    dialect: Dialect
    header: list[str] = field(default_factory=list)
    header_line: int = 1
    rows: int = 0
    blank_rows: int = 0  # rows of blank cells alone
    longer_rows: int = 0  # rows with empty cells beyond the header's
    filled: list[bool] = field(default_factory=list)  # by column: whether a cell holds something
    doubled: int = 0  # cells in single quotes with doubled ones inside
    alone: int = 0  # cells that begin with a single quote and are not in single quotes
    many_lines: int = 0  # rows of several lines
    swallowing: list[tuple[int, int, int]] = field(default_factory=list)  # (row, first line, last line)
    problem: DataError | None = None

    @property
    def fits(self) -> bool:
        return self.problem is None

    @property
    def shows_single_quotes(self) -> bool:
        return bool(self.doubled) and not self.alone


def records(lines: Lines, dialect: Dialect) -> Iterator[tuple[int, list[str], list[str]]]:
    """(first line, cells, lines) of each record that is not blank. Raises DataError where quotes are wrong."""
    # The limit belongs to the whole process, so this never lowers what other code has set.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE))
    held: list[str] = []

    def kept() -> Iterator[str]:
        for line in lines:
            if lines.line > dialect.skipped:
                held.append(line)
                yield line

    try:
        for cells in csv.reader(
            kept(),
            delimiter=dialect.delimiter,
            quotechar=dialect.quote,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar="\\" if dialect.escaped else None,
            skipinitialspace=dialect.spaced,
            strict=True,
        ):
            if cells:
                yield lines.line - len(held) + 1, cells, held
            held.clear()
    except csv.Error as error:
        problem = f"this is not well-formed ({error}); look for a quote that is not closed or not doubled"
        more = ", or read quotes as signs of the texts with --quote none" if dialect.quote else ""
        raise lines.refused(problem + more, lines.line - len(held) + 1) from None


def found_table(text: Text, usual: str, written: Format) -> Table:
    """The dialect and the columns of a table; `usual` is the delimiter of its ending. Raises DataError."""
    survey, said = _found(text, usual, written)
    if not survey.header:
        raise DataError("the file is empty; it needs a header and at least one row", file=text.path)
    if survey.fits and not survey.rows:
        raise DataError("the file has a header and no rows; add at least one row", file=text.path)
    if written.quote is None:
        survey, more = _without_swallowed_rows(text, survey)
        said += more
    if survey.problem:
        raise survey.problem
    header, more = _columns(text, survey)
    if survey.blank_rows:
        said.append(f"{survey.blank_rows} rows hold nothing but blanks and are left out")
    if survey.longer_rows:
        said.append(f"{survey.longer_rows} rows end in empty cells beyond the header, which are left out")
    return Table(survey.dialect, header, tuple(said + more))


# --- which dialect fits -------------------------------------------------------------------------------------------


def _found(text: Text, usual: str, written: Format) -> tuple[_Survey, list[str]]:
    first = _first_line(text)
    sep = _SEP.fullmatch(first.strip("\r\n"))
    skipped = 1 if sep else 0
    first = _first_line(text, 1 + skipped)
    given = written.delimiter or (sep[1] if sep else None)
    delimiters = [given] if given else [usual, *(sign for sign in _NAMES if sign != usual)]
    surveys = []
    for quoted in _quotings(written.quote):
        for delimiter in delimiters:
            spaced = _is_spaced(first, delimiter)
            surveys.append(_survey(text, replace(quoted, delimiter=delimiter, skipped=skipped, spaced=spaced)))
            if _is_sure(text, surveys[-1], written):
                best = _single_quoted(text, _wider(text, surveys[-1], first, delimiters), written)
                return best, _said(best.dialect, usual, written)
    usually_quoted = surveys[: len(delimiters)]
    several = [s for s in usually_quoted if len(s.header) > 1 and (s.rows or not surveys[0].fits)]
    best = max(several, key=lambda survey: survey.rows, default=surveys[0])
    return best, _said(best.dialect, usual, written)


def _quotings(given: str | None) -> list[Dialect]:
    """The ways of quoting to try, the usual one first."""
    if given == NO_QUOTE:
        return [Dialect("", None), Dialect("", None, escaped=True)]
    plain = Dialect("", given or '"')
    return [plain, replace(plain, escaped=True), *([] if given else [Dialect("", "'")])]


def _single_quoted(text: Text, survey: _Survey, written: Format) -> _Survey:
    """The survey, or that of single quotes where cells are written as those are: doubled inside and nowhere alone."""
    if written.quote is None and survey.shows_single_quotes:
        other = _survey(text, replace(survey.dialect, quote="'"))
        return other if other.fits and len(other.header) == len(survey.header) else survey
    return survey


def _wider(text: Text, survey: _Survey, header: str, delimiters: Sequence[str]) -> _Survey:
    """The survey, or that of another delimiter under which every row fits too and has more columns.

    Two signs seldom stand equally often in every row; the one that stands there more often does so by less of a chance.
    """
    others = [sign for sign in delimiters if sign in header and sign != survey.dialect.delimiter]
    spaced = {sign: _is_spaced(header, sign) for sign in others}
    also = [_survey(text, replace(survey.dialect, delimiter=sign, spaced=spaced[sign])) for sign in others]
    return max([survey, *(other for other in also if other.fits)], key=lambda one: len(one.header))


def _is_sure(text: Text, survey: _Survey, written: Format) -> bool:
    """Whether every row fits into several columns, and single quotes, if they are read as quotes, are needed for it."""
    if not survey.fits or len(survey.header) < 2:
        return False
    first = _first_line(text, survey.header_line)
    if survey.dialect.quote != "'" or written.quote is not None or first.startswith("'"):
        return True
    plain = _survey(text, replace(survey.dialect, quote=None))
    return not plain.fits or plain.shows_single_quotes


def _first_line(text: Text, number: int = 1) -> str:
    return next(itertools.islice(text.lines(), number - 1, None), "")


def _is_spaced(header: str, delimiter: str) -> bool:
    later = header.strip().split(delimiter)[1:]
    return delimiter != "\t" and bool(later) and all(name.startswith(" ") for name in later)


def _survey(text: Text, dialect: Dialect) -> _Survey:
    """Reads the whole file under `dialect`, up to the first row that does not fit."""
    survey, lines = _Survey(dialect), text.lines()
    try:
        for start, cells, held in records(lines, dialect):
            if not survey.header:
                survey.header, survey.header_line = cells, start
                survey.filled = [False] * len(cells)
                if dialect.quote == '"' and len(cells) > 1 and all(_is_quoted(cell, "'") for cell in cells):
                    raise lines.refused("the header's names stand in single quotes", start)
                lines.row = 1
                continue
            if not any(cell.strip() for cell in cells):
                survey.blank_rows += 1
                continue
            if len(cells) < len(survey.header) or any(cell.strip() for cell in cells[len(survey.header) :]):
                problem = f"the row has {len(cells)} cells and the header {len(survey.header)}"
                raise lines.refused(f"{problem}; check its quotes and separators", start)
            survey.longer_rows += len(cells) > len(survey.header)
            survey.filled = [was or bool(cell.strip()) for was, cell in zip(survey.filled, cells, strict=False)]
            for cell in cells if dialect.quote != "'" else ():
                if cell.startswith("'"):
                    inner = cell[1:-1].replace("''", "")
                    in_quotes = _is_quoted(cell, "'") and "'" not in inner
                    survey.alone += not in_quotes
                    survey.doubled += in_quotes and inner != cell[1:-1]
            survey.rows += 1
            if len(held) > 1:
                survey.many_lines += 1
                if _are_rows(held, dialect, len(survey.header)):
                    survey.swallowing.append((lines.row, start, start + len(held) - 1))
            lines.row += 1
    except DataError as error:
        survey.problem = error
    return survey


def _is_quoted(cell: str, quote: str) -> bool:
    return len(cell) > 1 and cell[0] == quote == cell[-1]


def _said(dialect: Dialect, usual: str, written: Format) -> list[str]:
    """What a user did not say and could not expect."""
    said = []
    if dialect.delimiter != usual and not written.delimiter:
        sign = _NAMES.get(dialect.delimiter, f"the sign {dialect.delimiter}")
        said.append(
            f"{sign} stand between the cells" if dialect.delimiter in _NAMES else f"{sign} stands between cells"
        )
    if dialect.quote == "'" and not written.quote:
        said.append("cells stand in single quotes")
    if dialect.escaped:
        said.append("a backslash before a sign is read as that sign")
    if dialect.spaced:
        said.append("the blank after each delimiter is left out")
    return said


# --- rows that a quote swallowed ----------------------------------------------------------------------------------


def _are_rows(held: Sequence[str], dialect: Dialect, cells: int) -> bool:
    """Whether each line of a record would be a whole row if quotes were signs of the text.

    In running text a blank follows a comma, so a line whose commas have none is no running text.
    """
    if cells < 2 or dialect.quote is None:
        return False
    rows = [line.rstrip("\r\n").split(dialect.delimiter) for line in held]
    runs = dialect.delimiter == "," and any(cell.startswith(" ") for row in rows for cell in row[1:])
    return all(len(row) == cells for row in rows) and not runs


def _without_swallowed_rows(text: Text, survey: _Survey) -> tuple[_Survey, list[str]]:
    """The survey, or that of quotes as signs of the texts. Raises DataError by row where neither is sure."""
    if survey.fits and not survey.swallowing:
        return survey, []
    literal = _literal(text, survey.dialect) if survey.dialect.delimiter == "\t" else None
    if literal:
        return literal, ["quotes are read as signs of the texts, because each line is a row by itself"]
    if survey.problem:
        return survey, []
    rows = [
        found
        for found in survey.swallowing
        if survey.dialect.delimiter != ","
        or len(survey.swallowing) == survey.many_lines
        or found[2] - found[1] >= _SURE - 1
    ]
    row, first, last = (rows or survey.swallowing)[0]
    if rows:
        problem = f"a quote opens here and closes on line {last}, and each line between is a whole row by itself"
        mend = (
            "double the quote, or say --quote none where quotes are signs of the texts, or --quote '\"' to read it so"
        )
        raise DataError(f"{problem}; {mend}", file=text.path, row=row, line=first)
    return survey, [f"row {row} is quoted from line {first} to line {last}, and each of these would be a row by itself"]


def _literal(text: Text, dialect: Dialect) -> _Survey | None:
    """The survey with quotes as signs of the texts; None where that does not fit, or a cell stands in quotes."""
    plain = replace(dialect, quote=None, escaped=False)
    for _, cells, _ in records(text.lines(), plain):
        if any(_is_quoted(cell, dialect.quote or '"') for cell in cells):
            return None
    survey = _survey(text, plain)
    return survey if survey.fits else None


# --- columns ------------------------------------------------------------------------------------------------------


def _columns(text: Text, survey: _Survey) -> tuple[tuple[str | None, ...], list[str]]:
    """The columns' names without blanks around them; nameless ones are called by their place, or left out if empty."""
    names: list[str | None] = []
    nameless, empty = [], 0
    for place, (name, filled) in enumerate(zip(survey.header, survey.filled, strict=True), 1):
        clean = unicodedata.normalize("NFC", name.strip().strip("\ufeff\u200b"))
        if not clean and not filled:
            empty += 1
            names.append(None)
            continue
        if not clean:
            nameless.append(f"column {place}")
        names.append(clean or f"column {place}")
    twice = next((name for name in names if name is not None and names.count(name) > 1), None)
    if twice is not None:
        problem = "the header has this column more than once; rename one"
        raise DataError(problem, file=text.path, field=twice)
    said = [f"{empty} empty columns without a name are left out"] if empty else []
    if nameless:
        said.append(f"columns without a name are called {', '.join(nameless)}")
    return tuple(names), said
