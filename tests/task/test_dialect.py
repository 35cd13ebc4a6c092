"""Tables of every dialect are read back as they were written; a stray quote swallows no row; the unusual is said."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthier.errors import DataError
from luthier.task.dialect import found_table
from luthier.task.opened import AS_FOUND, Format, opened_text
from luthier.task.rows import read_rows

BUSY = [HealthCheck.too_slow]  # a machine that others use draws slowly


def values(path: Path, **format: str | None) -> list[list[str]]:
    return [list(row.values.values()) for row in read_rows(path, Format(**format))]


def said(path: Path) -> str:
    rows = read_rows(path)
    list(rows)
    return "; ".join(rows.said)


# --- round trip: dialects x encodings x quotes x line ends --------------------------------------------------------

DELIMITERS, ENDS = (",", ";", "\t", "|"), ("\n", "\r\n", "\r")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "cp932", "gb18030")
EVERY_SIGN = 'he said "yes", it\'s so; or | not\tat\nall'  # a row that shows how cells are quoted
CELLS = st.text(st.sampled_from("ab ,;|\t\n'\"éü家Ω"), max_size=12).map(lambda text: f"x{text}")


def written(rows: list[list[str]], delimiter: str, quote: str, quoting: Any, end: str) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quotechar=quote, quoting=quoting, lineterminator=end).writerows(rows)
    return out.getvalue()


@settings(max_examples=150, deadline=None, suppress_health_check=BUSY)
@given(
    st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8),
    st.sampled_from(DELIMITERS),
    st.sampled_from("\"'"),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    st.sampled_from(ENDS),
    st.sampled_from(ENCODINGS),
    st.sampled_from([".csv", ".tsv"]),
)
def test_what_csv_writes_is_read_back(tmp_path_factory, rows, delimiter, quote, quoting, end, encoding, ending) -> None:
    """As it is found where that is possible; a refusal names an option, and with the options it is always read."""
    # Python quotes a line feed only where it is a sign of the file's own line ends.
    body = [[cell.replace("\n", end) for cell in row] for row in ((EVERY_SIGN, "1", "y"), *rows)]
    text = written([["text", "number", "label"], *body], delimiter, quote, quoting, end)
    path = tmp_path_factory.mktemp("round") / f"x{ending}"
    path.write_bytes(text.encode(encoding, "ignore"))
    expected = [[cell.encode(encoding, "ignore").decode(encoding, "ignore") for cell in row] for row in body]
    told = {"encoding": encoding, "delimiter": delimiter, "quote": quote}
    assert values(path, **told) == expected
    try:
        found = values(path, encoding=None if encoding.startswith("utf") else encoding)
    except DataError as error:
        assert "--quote" in str(error)
    else:
        assert found == expected


RUNNING = (
    'the guest asks for towels in room and wants a quiet one, please; so says Ann: “yes” — no "never" it\'s 5" 3,50 € '
    "für Gäste"
)
WORDS = RUNNING.split()


@pytest.mark.parametrize("seed", range(150))
def test_tables_of_running_text_are_found_without_an_option(seed: int, tmp_path: Path) -> None:
    """With words that look like quotes, and cells of several lines."""
    draw = random.Random(seed)
    delimiter, quote, end = draw.choice(DELIMITERS), draw.choice('"""\''), draw.choice(ENDS)
    encoding, ending = draw.choice([*ENCODINGS[:5], "cp1252"]), draw.choice([".csv", ".csv", ".tsv", ".txt"])
    quoting = draw.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
    breaks, rows = draw.choice([" ", end]), []
    for number in range(draw.choice([5, 20, 60])):
        words = [draw.choice(WORDS) for _ in range(draw.randint(6, 28))]
        text = f"{' '.join(words[:3])}{breaks}{' '.join(words[3:])}"
        rows.append([str(number), text, " ".join(words[:4]), draw.choice(["pos", "neg"])])
    path = tmp_path / f"x{ending}"
    path.write_bytes(
        written([["id", "text", "summary", "label"], *rows], delimiter, quote, quoting, end).encode(encoding)
    )
    assert values(path) == rows


@pytest.mark.parametrize("delimiter", DELIMITERS)
@pytest.mark.parametrize("end", ENDS)
def test_an_unusual_delimiter_is_said_and_a_usual_one_is_not(delimiter: str, end: str, tmp_path: Path) -> None:
    rows = [["text", "label"], *([f"a {i}, and b", "x"] for i in range(9))]
    for ending, usual in ((".csv", ","), (".tsv", "\t")):
        path = tmp_path / f"x{ending}"
        path.write_text(written(rows, delimiter, '"', csv.QUOTE_MINIMAL, end), newline="")
        assert values(path) == rows[1:]
        assert ("stand between the cells" in said(path)) == (delimiter != usual)
        path.write_text(f"sep={delimiter}{end}" + path.read_text(), newline="")
        assert values(path) == rows[1:]


# --- rows that a stray quote would swallow ------------------------------------------------------------------------


def stray(delimiter: str, first: int, last: int, proper: bool = False, rows: int = 60) -> str:
    """A file whose row `first` begins with a quote and whose row `last` ends with one, neither meant as quotes."""
    lines = [delimiter.join(("id", "text", "label"))]
    for i in range(rows):
        text = '"' * (i == first) + f"The guest in room {i} asks" + '"' * (i == last)
        if proper and i == rows - 1:
            text = f'"a{delimiter}b"'
        lines.append(delimiter.join((str(i), text, ("service", "billing")[i % 2])))
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("first, last", [(3, 6), (0, 59), (10, 11), (5, -1), (-1, 5), (7, 7)])
def test_quotes_in_a_file_of_tabs_are_signs_of_the_text(first: int, last: int, tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text(stray("\t", first, last))
    rows = values(tmp_path / "x.tsv")
    assert [row[0] for row in rows] == [str(i) for i in range(60)]


@pytest.mark.parametrize("delimiter", [",", ";", "|"])
@pytest.mark.parametrize("proper", [False, True])
@pytest.mark.parametrize("first, last", [(3, 6), (10, 11), (5, -1)])
def test_elsewhere_they_are_refused_by_row_and_read_as_the_user_says(delimiter, proper, first, last, tmp_path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(stray(delimiter, first, last, proper))
    with pytest.raises(DataError, match=rf"x\.csv, row {first + 1}, line {first + 2}: .*--quote none"):
        values(path)
    if not proper:
        assert len(values(path, quote="none")) == 60
    if last > 0:
        assert len(values(path, quote='"')) == 60 - (last - first)


def test_dialogues_of_several_lines_are_no_swallowed_rows(tmp_path: Path) -> None:
    """Also where a line happens to have as many commas as a row: a blank follows them, as in any text."""
    rows = [[f"Ann: Hello, Ben {i}.\nBen: Yes, fine.\nAnn: Bye, then.", "greeting"] for i in range(30)]
    path = tmp_path / "x.csv"
    path.write_text(written([["text", "label"], *rows], ",", '"', csv.QUOTE_MINIMAL, "\n"))
    assert values(path) == rows and said(path) == ""


# --- headers and columns ------------------------------------------------------------------------------------------

HEADERS = {
    "blanks after commas": ("a, b\n1, 2\n", {"a": "1", "b": "2"}, "the blank after each delimiter"),
    "empty columns": ("a,b,,\n1,2,,\n", {"a": "1", "b": "2"}, "2 empty columns without a name are left out"),
    "a column without a name": (",a\n0,1\n", {"column 1": "0", "a": "1"}, "columns without a name are called column 1"),
    "empty cells beyond the header": ("a,b\n1,2,,\n", {"a": "1", "b": "2"}, "1 rows end in empty cells beyond"),
    "a decomposed name": ("cafe\u0301,b\n1,2\n", {"caf\u00e9": "1", "b": "2"}, ""),
    "single quotes": ("'a','b'\n'1,5','2'\n", {"a": "1,5", "b": "2"}, "cells stand in single quotes"),
    "backslashes": ('a,b\n"say \\"hi\\", so",2\n', {"a": 'say "hi", so', "b": "2"}, "a backslash before a sign"),
    "a table of blanks": ("a,b\n , \n1,2\n", {"a": "1", "b": "2"}, "1 rows hold nothing but blanks"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name: str, tmp_path: Path) -> None:
    text, row, sentence = HEADERS[name]
    (tmp_path / "x.csv").write_text(text)
    rows = read_rows(tmp_path / "x.csv")
    assert [found.values for found in rows] == [row]
    assert sentence in "; ".join(rows.said) and bool(sentence) == bool(rows.said)


def test_what_is_found_is_what_a_format_can_say(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("a;b\n1;2\n", encoding="utf-16")
    rows = read_rows(tmp_path / "x.csv")
    list(rows)
    assert rows.found == Format(encoding="utf-16-le", delimiter=";")
    table = found_table(opened_text(tmp_path / "x.csv"), ",", AS_FOUND)
    assert (table.dialect.delimiter, table.names) == (";", ("a", "b"))
