"""What a lesson shows: pictures, tables, painted tokens. In a script their words are printed; a notebook draws them.

`show` hands a value to `sys.displayhook`, as an interactive Python does with the value of a line. Jupyter and the page
bring their own hook and use `_repr_html_`.
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class Picture:
    """An SVG, and the words for those who do not see it. Above it stands its title, or the words where it has none."""

    svg: str
    words: str
    title: str = ""

    def __repr__(self) -> str:
        return self.words

    def _repr_html_(self) -> str:
        caption = html.escape(self.title or self.words, quote=False)
        return (
            f'<figure role="img" tabindex="0" aria-label="{html.escape(self.words)}">'
            f"<figcaption>{caption}</figcaption>{self.svg}</figure>"
        )


@dataclass(frozen=True, repr=False)
class Table:
    """Rows under a header; the first column is text, the others stand right."""

    header: Sequence[str]
    rows: Sequence[Sequence[Any]]

    def __repr__(self) -> str:
        lines = [[str(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.ljust(w) if at == 0 else cell.rjust(w)
                for at, (cell, w) in enumerate(zip(line, widths, strict=True))
            )
            for line in lines
        )

    def _repr_html_(self) -> str:
        return table_html(self.header, self.rows)


_LONGEST_WHOLE = 20  # letters of a cell that is never broken, such as "-0.021 to +0.004"


def table_html(header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """A table as HTML that scrolls by itself where it is wider than the page; cells are shown as they are written.

    A column with a long cell has the class text: its lines may be broken.
    """
    texts = {at for row in rows for at, cell in enumerate(row) if len(str(cell)) > _LONGEST_WHOLE}

    def line(tag: str, cells: Sequence[Any]) -> str:
        kinds = (' class="text"' if at in texts else "" for at in range(len(cells)))
        return "".join(
            f"<{tag}{kind}>{html.escape(str(cell))}</{tag}>" for kind, cell in zip(kinds, cells, strict=True)
        )

    head, body = line("th", header), "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return f'<div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_SHADED = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"


@dataclass(frozen=True, repr=False)
class Tokens:
    """Pieces of a text, each with a share from 0 to 1 that shades it; `notes` stand in the tooltip.

    A line break is shown as a sign, and behind its piece a new line begins. In words, pieces that are shaded for half
    or more stand in other brackets.
    """

    pieces: Sequence[str]
    shares: Sequence[float]
    notes: Sequence[str] = ()

    def __repr__(self) -> str:
        dark = [share >= 0.5 for share in self.shares]
        brackets = [_SHADED if one else "[]" for one in dark]
        painted = (f"{ends[0]}{_with_signs(piece)}{ends[1]}" for piece, ends in zip(self.pieces, brackets, strict=True))
        return " ".join(painted) + (f"\n({_SHADED[0]} {_SHADED[1]}: shaded)" if any(dark) and not all(dark) else "")

    def _repr_html_(self) -> str:
        notes = self.notes or [f"{share:.2f}" for share in self.shares]
        painted = "".join(
            f'<span class="token" style="background:rgba(0,114,178,{0.45 * share:.2f})" title="{html.escape(note)}">'
            f"{html.escape(_with_signs(piece))}</span>{'<br>' if chr(10) in piece else ''}"
            for piece, share, note in zip(self.pieces, self.shares, notes, strict=True)
        )
        return f'<p class="tokens">{painted}</p>'


def _with_signs(piece: str) -> str:
    return piece.replace("\n", "\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}")


def bars(title: str, rows: Iterable[tuple[str, float]], unit: str = "") -> Picture:
    """Horizontal bars, the longest as wide as the picture, each with its name and number."""
    pairs = list(rows)
    most = max((value for _, value in pairs), default=0) or 1
    height = 34
    parts = []
    words = "; ".join(f"{name} {_number(value)}{' ' + unit if unit else ''}" for name, value in pairs)
    for at, (name, value) in enumerate(pairs):
        y = at * height
        parts.append(
            f'<text x="0" y="{y + 13}" font-size="13">{html.escape(name)}: {_number(value)} {html.escape(unit)}</text>'
            f'<rect x="0" y="{y + 18}" width="{max(1, 300 * value / most):.1f}" height="9" fill="#0072B2"/>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 300 {height * len(pairs)}" width="300"'
        f' style="max-width:100%" fill="currentColor">{"".join(parts)}</svg>'
    )
    return Picture(svg, f"{title}: {words}.", title)


def _number(value: float) -> str:
    """Four digits, or all of a large number."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def grid(title: str, looking: Sequence[str], seen: Sequence[str], shares: Sequence[Sequence[float]]) -> Picture:
    """Who sees whom: a row for each token that looks, a column for each that is seen, darker where the share is higher.

    The most of a row is full colour; a share of 0 is white with a thin border.
    """
    side, left, top = 30, 10 + 8 * max(map(len, looking)), 14 + 8 * max(map(len, seen))
    parts = [
        f'<text x="{left - 6}" y="{top + side * at + 20}" text-anchor="end">{html.escape(word)}</text>'
        for at, word in enumerate(looking)
    ]
    for at, word in enumerate(seen):
        x = left + side * at + 19
        parts.append(f'<text x="{x}" y="{top - 6}" transform="rotate(-90 {x} {top - 6})">{html.escape(word)}</text>')
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            strength = share / (max(line) or 1)
            parts.append(
                f'<rect x="{left + side * column + 1}" y="{top + side * row + 1}" width="{side - 2}"'
                f' height="{side - 2}" stroke="#9a9a9a" stroke-width="0.5" fill="#0072B2"'
                f' fill-opacity="{0.85 * strength:.2f}"><title>{share:.2f}</title></rect>'
            )
    width, height = left + side * len(seen) + 4, top + side * len(looking) + 4
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' font-size="13" fill="currentColor">{"".join(parts)}</svg>'
    )
    most = (
        f"{word!r} sees {seen[max(range(len(line)), key=line.__getitem__)]!r} most"
        for word, line in zip(looking, shares, strict=True)
    )
    return Picture(svg, f"{title}: {'; '.join(most)}.", title)


def show(value: Any) -> None:
    """Shows a value: drawn in a notebook and on a page, as its words in a script."""
    sys.displayhook(value)
