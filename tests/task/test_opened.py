"""A file's encoding is found right or asked for; packed files are read; what is no text is named."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from luthier.errors import DataError, SettingsError
from luthier.settings import settings_from
from luthier.task.opened import Format, opened_text

SENTENCES = {
    "German": "Der Gast fragt nach Handtüchern und öffnet spät die Tür für 0,50 €.",
    "French": "L'hôtel a été rénové; le café à côté ouvre tôt.",
    "Spanish": "El señor pidió una habitación más tranquila mañana.",
    "English": "The guest’s room was “quiet” – café.",
    "Polish": "Gość pyta o ręczniki i późne wymeldowanie, żółć.",
    "Czech": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "Turkish": "Misafir odasında sıcak su olmadığını söylüyor, şikayet ediyor.",
    "Russian": "Гость спрашивает, когда завтрак, и просит полотенца.",
    "Greek": "Ο επισκέπτης ζητά πετσέτες για το δωμάτιο.",
    "Hebrew": "האורח מבקש מגבות לחדר.",
    "Arabic": "يطلب الضيف مناشف للغرفة.",
    "Japanese": "お客様は一枚のタオルを　追加で頼みました。",
    "Chinese": "客人要求一条毛巾,并询问早餐时间。",
    "Korean": "손님이 수건을 더 달라고 합니다.",
    "Thai": "แขกขอผ้าเช็ดตัวเพิ่ม",
    "Vietnamese": "Khách hỏi thêm khăn tắm và đặt bữa sáng.",
}
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
OTHER = {
    "German": ("cp1252", "iso8859-15"), "French": ("cp1252", "latin-1"), "Spanish": ("cp1252",), "English": ("cp1252",),
    "Polish": ("cp1250", "iso8859-2"), "Czech": ("cp1250",), "Turkish": ("cp1254",), "Russian": ("cp1251", "koi8-r"),
    "Greek": ("cp1253",), "Hebrew": ("cp1255",), "Arabic": ("cp1256",), "Japanese": ("cp932", "euc_jp", "iso2022_jp"),
    "Chinese": ("gb18030",), "Korean": ("cp949",), "Thai": ("cp874",),
}  # fmt: skip
OLD = [
    ("German", "mac_roman"),
    ("French", "mac_roman"),
    ("French", "cp850"),
    ("English", "mac_roman"),
    ("Russian", "cp866"),
]


def table(language: str, rows: int) -> str:
    return "text,label\n" + "".join(f'"{SENTENCES[language]} {i}",x\n' for i in range(rows))


def read(path: Path, encoding: str | None = None) -> str:
    return "".join(opened_text(path, encoding).lines())


@pytest.mark.parametrize("language", SENTENCES)
@pytest.mark.parametrize("rows", [1, 30])
def test_every_encoding_gives_the_text_that_was_written(language: str, rows: int, tmp_path: Path) -> None:
    path, text = tmp_path / "x.csv", table(language, rows)
    for encoding in (*UNICODE, *OTHER.get(language, ())):
        path.write_bytes(text.encode(encoding))
        assert read(path) == read(path, encoding) == text, encoding
        said = " ".join(opened_text(path).said)
        assert bool(said) == (encoding not in ("utf-8", "utf-8-sig") and not encoding.endswith("-sig")), encoding


@pytest.mark.parametrize("language, encoding", OLD)
def test_an_encoding_of_old_systems_is_asked_for_and_named(language: str, encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(table(language, 9).encode(encoding))
    with pytest.raises(
        DataError, match=r"x\.csv, line 2: byte \d+ .* may be .*name the file's encoding with --encoding"
    ):
        opened_text(path)
    assert read(path, encoding) == table(language, 9)


def test_a_file_of_utf_8_with_a_broken_line_is_not_read_in_another_encoding(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("a\ncafé\n".encode() + b"caf\xe9\n")
    with pytest.raises(DataError, match="line 3: byte 4 of the line is not UTF-8, and other lines are"):
        opened_text(path)
    assert read(path, "latin-1").splitlines()[-1] == "café"


def test_the_signs_of_windows_beyond_a_standard_are_read(tmp_path: Path) -> None:
    path, text = tmp_path / "x.csv", table("Japanese", 9) + "①髙～,x\n"
    path.write_bytes(text.encode("cp932"))
    assert read(path) == text


def test_an_encoding_that_is_said_is_held_to_every_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\ncaf\xe9\n")
    with pytest.raises(DataError, match=r"the file is not utf-8 after this line"):
        opened_text(path, "utf-8")


@pytest.mark.parametrize("pack, ending", [(gzip.compress, ".gz"), (bz2.compress, ".bz2"), (lzma.compress, ".xz")])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_a_packed_file_is_read_by_what_it_is(pack, ending: str, encoding: str, tmp_path: Path) -> None:
    text = table("German", 5)
    (tmp_path / f"x.csv{ending}").write_bytes(pack(text.encode(encoding)))
    (tmp_path / "x.csv").write_bytes(pack(text.encode(encoding)))  # its name does not say it
    assert read(tmp_path / f"x.csv{ending}") == read(tmp_path / "x.csv") == text
    assert "the file is compressed with" in opened_text(tmp_path / "x.csv").said[0]
    (tmp_path / "cut.csv").write_bytes(pack(text.encode(encoding) * 99)[:-20])
    with pytest.raises(DataError, match=r"cut\.csv: the compressed file is damaged or cut off"):
        opened_text(tmp_path / "cut.csv")


FOREIGN = {
    b"PK\x03\x04": "zip archive", b"\xd0\xcf\x11\xe0": "old Office document", b"%PDF-1.7": "PDF",
    b"SQLite format 3\x00": "SQLite", b"\x28\xb5\x2f\xfd": "zstd", b"ARROW1\x00\x00": "Arrow",
    b"7z\xbc\xaf\x27\x1c": "7z",
}  # fmt: skip


@pytest.mark.parametrize("head", FOREIGN)
def test_what_is_no_text_is_refused_by_what_it_is(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(head + bytes(range(256)))
    with pytest.raises(DataError, match=rf"x\.csv: this is .*{FOREIGN[head]}"):
        opened_text(tmp_path / "x.csv")


BAD = {
    "encoding": ("utf-9", "'utf-9' is no encoding that Python knows"),
    "delimiter": (";;", "the delimiter is ';;'; give one sign"),
    "quote": ("ab", "the quote is 'ab'; give one sign, or none"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_format_that_cannot_be_is_refused(key: str) -> None:
    value, sentence = BAD[key]
    with pytest.raises(SettingsError, match=sentence):
        settings_from(Format, {key: value}, "here")
    with pytest.raises(SettingsError, match="rot13"):
        settings_from(Format, {"encoding": "rot13"}, "here")
    assert settings_from(Format, {"delimiter": "tab"}, "here").delimiter == "\t"
