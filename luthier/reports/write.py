"""The report of a study: its folder and nothing else -> report.html and report.md.

The page is one file that opens offline, with its style and figures inside and no script at all; a policy in its head
forbids the browser to load or run anything, whatever an answer says. The same folder gives the same bytes.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from luthier import metrics
from luthier.files import write_text
from luthier.reports.confusion import class_rows, confusion_rows, labels_of
from luthier.reports.evidence import (
    SHAPE,
    buckets_of,
    budget_rows,
    effort_rows,
    fact_rows,
    length_choices,
    likelihood_rows,
    recipe_rows,
    shape_rows,
    width_rows,
)
from luthier.reports.examples import examples_to_show
from luthier.reports.figures import csv_link, figures, pair_rows
from luthier.reports.pairs import (
    FIRST_WARNINGS,
    against_the_best,
    detectable,
    examples_for,
    groups_of,
    how_sure,
    letters_of,
    ranked_pairs,
    strip_of,
    warnings_of,
)
from luthier.reports.read import StudyPage, read_study

Row = dict[str, Any]

UNKNOWN = "–"
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "≈", "cannot tell": "?"}
# A small model may say anything: a control character of an answer is shown as its picture (NUL as \u2400), since no
# page may hold it. Tab and line ends stay.
CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}


def report(folder: Path) -> Path:
    """Writes report.md and report.html into a study's folder and returns the path of the page.

    Raises FolderError when a file of the study is missing or damaged, or the folder cannot be written.
    """
    page = read_study(Path(folder))
    shown = _shown(page)
    shown["sections"] = _sections(shown)
    command = Markup(" ".join(str(page.study.get("command") or UNKNOWN).split()))  # one line of a code block
    text = environment(markdown).get_template("report.md.jinja").render(shown, command=command)
    write_text(page.folder / "report.md", text.translate(CONTROLS))
    path = page.folder / "report.html"
    made = environment(None).get_template("report.html.jinja").render(shown | {"figures": figures(page)})
    write_text(path, made.translate(CONTROLS))
    return path


def _sections(shown: Row) -> list[tuple[str, str]]:
    """(id, title) of the sections that have something to say, in the order of the page; a template each."""
    page, ratings = shown["page"], shown["ratings"] or {}
    every = [
        ("pairs", "Pairs", True),
        ("classes", "Confusion", shown["classes"]),
        ("examples", "Where arms differ", True),
        ("answers", "Length and copying", shown["shape"]),
        ("facts", "Facts", shown["facts"]),
        ("people", "People", ratings.get("people")),
        ("judges", "Judges", ratings.get("judges")),
        ("power", "What can be detected", True),
        ("seeds", "Seeds", shown["compare"].get("claims")),
        ("effort", "Effort", shown["effort"]),
        ("widths", "Widths", shown["widths"]),
        ("metrics", "All metrics", True),
        ("likelihood", "Likelihood", shown["likelihood"]),
        ("cost", "Cost", True),
        ("training", "Training", page.trained),
        ("length", "Limit on length", shown["lengths"]),
        ("data", "Data", True),
        ("prompts", "Prompts", True),
        ("again", "Make it again", True),
    ]
    return [(id, title) for id, title, there in every if there]


def environment(finalize: Callable[[Any], Any] | None) -> Environment:
    """Templates in which every value is escaped: for HTML, or by `finalize`; a misspelt name is an error."""
    environment = Environment(
        loader=PackageLoader("luthier.reports", "templates"),
        autoescape=finalize is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment


def markdown(value: Any) -> Any:
    """A value as Markdown text that cannot become a tag, a link, a table cell or a heading of its own."""
    if isinstance(value, Markup):
        return value
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)


# ----------------------------------------------------------------------------------------------------- what is shown


def _shown(page: StudyPage) -> Row:
    """The names that both templates know."""
    pairs = ranked_pairs(page)
    study, compare = page.study, page.compare
    warnings = warnings_of(page)
    return {
        "page": page,
        "study": study,
        "task": study["task"],
        "model": study["model"],
        "compare": compare,
        "metric": page.deciding,
        "metrics": list(compare["signatures"]),
        "metric_words": metrics.WORDS,
        "signs": SIGNS,
        "decision": _decision(compare["ship"]["sentence"]),
        "how_sure": how_sure(page),
        "warnings": warnings,
        "first_warnings": warnings[:FIRST_WARNINGS],
        "against": against_the_best(page),
        "pairs": pairs,
        "strip": strip_of(pairs, compare["margin"]),
        "pairs_csv": csv_link(pair_rows(page)),
        "groups": groups_of(page),
        "letters": letters_of(page),
        "detectable": detectable(page),
        "examples_for": examples_for(page),
        "labels": labels_of(page),
        "classes": class_rows(page),
        "confusion_csv": csv_link(confusion_rows(page)),
        "lengths": length_choices(page),
        "examples": examples_to_show(page),
        **_evidence(page),
        "excluded": {name: Counter(row["reason"] for row in rows) for name, rows in compare["excluded"].items()},
    }


def _evidence(page: StudyPage) -> Row:
    """What optional files hold; the templates leave out what is empty."""
    profile = page.profile or {}
    return {
        "kinds": {arm.name: arm.kind for arm in page.arms},
        "profile": profile,
        "shape_names": list(SHAPE),
        "shape": shape_rows(page),
        "budgets": budget_rows(page),
        "buckets": buckets_of(page),
        "facts": fact_rows(page),
        "ratings": page.ratings,
        "effort": effort_rows(page),
        "widths": width_rows(page),
        "recipes": recipe_rows(page),
        "likelihood": likelihood_rows(page),
    }


def _decision(sentence: str) -> list[str]:
    """The sentence as a headline and, where it goes on, the rest; 'n = 60' is kept on one line."""
    return re.split(r"(?<=[a-z)]\.) ", sentence.replace("n = ", "n\u00a0=\u00a0"), maxsplit=1)


# ----------------------------------------------------------------------------------------------- numbers for readers


def _score(value: float | None, digits: int = 3) -> str:
    return UNKNOWN if value is None else f"{value:z.{digits}f}".replace("-", "−")


def _signed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+z.3f}".replace("-", "−")


def _interval(row: Row, prefix: str = "", signed: bool = False, digits: int = 3) -> Markup:
    """[low, high] of a row, or nothing where an end is unknown. Nothing in it needs escaping, brackets in Markdown
    included."""
    low, high = row.get(f"{prefix}low"), row.get(f"{prefix}high")
    if low is None or high is None:
        return Markup("")
    ends = [_signed(end) if signed else _score(end, digits) for end in (low, high)]
    return Markup(f"[{ends[0]}, {ends[1]}]")


def _percents(row: Row, prefix: str = "") -> Markup:
    """[low, high] of a share in percent, or nothing where an end is unknown."""
    low, high = row.get(f"{prefix}low"), row.get(f"{prefix}high")
    return Markup("" if low is None or high is None else f"[{100 * low:.0f}, {100 * high:.0f}]")


def _short_number(value: float | None) -> str:
    """About three digits: 0, 0.4, 12.3, 204, 1,204."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if 0 < abs(value) < 100 else f"{value:,.0f}"


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _gigabytes(value: float | None) -> str:
    return f"{value / 1e9:.1f} GB" if value else UNKNOWN


def _minutes(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else _short_number(seconds / 60)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.3g} %"


def _words(value: Any) -> str:
    """A record of settings or facts as 'name value, name value'; what is None was not given."""
    if not isinstance(value, dict):
        return UNKNOWN if value is None else str(value)
    return ", ".join(f"{key} {entry}" for key, entry in value.items() if entry is not None) or UNKNOWN


FILTERS: dict[str, Callable[..., Any]] = {
    "score": _score,
    "signed": _signed,
    "interval": _interval,
    "percents": _percents,
    "number": _short_number,
    "count": _count,
    "gigabytes": _gigabytes,
    "minutes": _minutes,
    "percent": _percent,
    "words": _words,
}
