"""A plain page: everything that comes from outside is escaped, and figures stand as they are."""

from __future__ import annotations

from pathlib import Path

from luthier.reports.sheet import Section, write_sheet


def test_a_page_escapes_texts_and_keeps_figures(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\x00"
    sections = [Section("One", [evil], ("a", "b"), [(evil, "2")], "<svg></svg>", code=evil), Section("Two")]
    page = write_sheet(tmp_path / "page.html", evil, [evil], sections).read_text()
    assert "<script" not in page and "\x00" not in page
    assert page.count("&lt;script&gt;") == 6 and page.count("<svg></svg>") == 1 and page.count("<table>") == 1
