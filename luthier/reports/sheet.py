"""A plain page: a title, then sections of a figure, a table, sentences and a block of text. One file, no script.

It has the style of a study's report. Whatever makes its own figures and rows shows them with this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from luthier.files import write_text
from luthier.reports.write import CONTROLS, environment


@dataclass(frozen=True)
class Section:
    """One section. `figure` is SVG by plots.py; `rows` are cells under `header`; `code` is shown as it is."""

    title: str
    texts: Sequence[str] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    figure: str = ""
    code: str = ""


def write_sheet(path: Path, title: str, lead: Sequence[str], sections: Sequence[Section]) -> Path:
    """Writes the page and returns its path. Raises FolderError when the disk refuses."""
    shown = [vars(section) | {"figure": Markup(section.figure)} for section in sections]
    page = environment(None).get_template("sheet.html.jinja").render(title=title, lead=lead, sections=shown)
    write_text(path, page.translate(CONTROLS))
    return path
