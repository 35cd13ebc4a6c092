"""The report of a study: its folder -> report.html and report.md.

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
from luthier.files import possible, write_text
from luthier.reports import formats, words
from luthier.reports.confusion import confusion_rows, matrices
from luthier.reports.evidence import (
    SHAPE,
    buckets_of,
    equal_length_rows,
    facts_of,
    length_choices,
    likelihoods,
    profiled,
    width_rows,
    with_recipe,
)
from luthier.reports.examples import examples_to_show
from luthier.reports.figures import csv_link, figures, pair_rows
from luthier.reports.forgetting import forgetting_rows
from luthier.reports.pairs import against_the_best, examples_for, letters_of, ranked_pairs, strip_of
from luthier.reports.read import StudyPage, read_study

Names = dict[str, Any]  # what a template knows

FIRST_WARNINGS = 3  # on the first screen; the others unfold
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "≈", "cannot tell": "?", "kept": "≈", "lost": "▼"}
# A small model may say anything: a control character of an answer is shown as its picture (NUL as \u2400), since no
# page may hold it. Tab and line ends stay.
CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"}


def report(folder: Path) -> Path:
    """Writes report.md and report.html into a study's folder and returns the path of the page.

    Raises FolderError when a file of the study is missing or damaged, or the folder cannot be written.
    """
    page = read_study(possible(folder))
    shown = _shown(page)
    command = Markup(" ".join(page.study.command.split()) or formats.UNKNOWN)  # one line of a code block
    text = environment(markdown).get_template("report.md.jinja").render(shown, command=command)
    write_text(page.folder / "report.md", text.translate(CONTROLS))
    path = page.folder / "report.html"
    template = environment(None).get_template("report.html.jinja")
    made = template.render(shown, sections=_sections(page), figures=figures(page))
    write_text(path, made.translate(CONTROLS))
    return path


def _sections(page: StudyPage) -> list[tuple[str, str]]:
    """(id, title) of the sections that have content, in the order of the page; each has a template."""
    ratings = page.ratings
    every = [
        ("pairs", "Pairs", True),
        ("classes", "Confusion", page.labels and page.compared),
        ("examples", "Where arms differ", True),
        ("answers", "Length and copying", profiled(page)),
        ("facts", "Facts", facts_of(page) or page.facts_not_read),
        ("people", "People", ratings and ratings.people),
        ("judges", "Judges", ratings and ratings.judges),
        ("domain", "Further pretraining", page.read_texts),
        ("kept", "What was kept", page.panel and forgetting_rows(page)),
        ("power", "What can be detected", True),
        ("seeds", "Seeds", page.compare.claims),
        ("effort", "Effort", page.trained),
        ("widths", "Widths", width_rows(page)),
        ("metrics", "All metrics", True),
        ("likelihood", "Likelihood", likelihoods(page)),
        ("cost", "Cost", True),
        ("plan", "Predicted and measured", page.predictions),
        ("training", "Training", page.trained),
        ("length", "Limit on length", length_choices(page)),
        ("data", "Data", True),
        ("prompts", "Prompts", True),
        ("again", "Make it again", True),
    ]
    return [(id, title) for id, title, there in every if there]


def environment(finalize: Callable[[Any], Any] | None) -> Environment:
    """Templates in which every value is escaped: for HTML, or by `finalize`; an unknown name is an error."""
    environment = Environment(
        loader=PackageLoader("luthier.reports", "templates"),
        autoescape=finalize is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= formats.FILTERS
    environment.filters |= {
        "limit_words": words.limit_words,
        "limit_effect": words.limit_effect,
        "weights": words.weights,
    }
    return environment


def markdown(value: Any) -> Any:
    """A value as Markdown text that cannot become a tag, a link, a table cell or a heading of its own."""
    if isinstance(value, Markup):
        return value
    text = html.escape(" ".join(str(value).split()), quote=False)
    return re.sub(r"([\\`*_\[\]|#])", r"\\\1", text)


# ----------------------------------------------------------------------------------------------------- what is shown


def _shown(page: StudyPage) -> Names:
    """The variables of both templates."""
    study, compare, pairs = page.study, page.compare, ranked_pairs(page)
    warnings = words.warnings_of(page)
    return {
        "page": page,
        "study": study,
        "task": study.task,
        "model": study.model,
        "compare": compare,
        "profile": page.profile,
        "ratings": page.ratings,
        "metric": page.deciding,
        "metrics": list(compare.signatures),
        "metric_words": metrics.WORDS,
        "signs": SIGNS,
        "kinds": {arm.name: arm.kind for arm in page.arms},
        "decision": _decision(compare.ship.sentence),
        "how_sure": words.how_sure(page),
        "warnings": warnings,
        "first_warnings": warnings[:FIRST_WARNINGS],
        "against": against_the_best(page),
        "pairs": pairs,
        "strip": strip_of(pairs, compare.margin),
        "pairs_csv": csv_link(pair_rows(page)),
        "groups": compare.groups_not_separated(),
        "letters": letters_of(page),
        "detectable": words.detectable(page),
        "examples_for": examples_for(page),
        "labels": page.labels,
        "matrices": matrices(page),
        "ways": words.WAYS,
        "confusion_csv": csv_link(confusion_rows(page)),
        "lengths": length_choices(page),
        "examples": examples_to_show(page),
        "shape": SHAPE,
        "profiles": profiled(page),
        "equal_lengths": equal_length_rows(page),
        "buckets": buckets_of(page),
        "facts": facts_of(page),
        "facts_not_read": page.facts_not_read,
        "widths": width_rows(page),
        "predictions": page.predictions,
        "recipes": with_recipe(page),
        "forgetting": forgetting_rows(page),
        "likelihoods": likelihoods(page),
        "excluded": {name: Counter(row.reason for row in rows) for name, rows in compare.excluded.items()},
    }


def _decision(sentence: str) -> list[str]:
    """The sentence as a headline and, where it goes on, the rest; 'n = 60' is kept on one line."""
    return re.split(r"(?<=[a-z)]\.) ", sentence.replace("n = ", "n\u00a0=\u00a0"), maxsplit=1)
