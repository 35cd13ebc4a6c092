"""The figures of a report, each with its rows, which the page offers as csv.

A figure is its SVG and a data: link that holds the rows, so that the page stays one file. Where there is nothing to
draw there is no figure.
"""

from __future__ import annotations

import csv
import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from luthier.reports import plots
from luthier.reports.evidence import buckets_of, equal_length_rows, facts_of, length_choices, likelihoods, profiled
from luthier.reports.forgetting import crossed, crosses
from luthier.reports.pairs import letters_of, ranked_pairs
from luthier.reports.read import StudyPage
from luthier.reports.words import limit_words
from luthier.results.comparison import Mean
from luthier.results.profile_record import Share
from luthier.results.ratings_record import FigureRow
from luthier.results.record import Number

Row = dict[str, Any]  # one line of a csv file


@dataclass(frozen=True)
class PageFigure:
    """A figure as safe markup, and its rows as a data: address of a csv file."""

    svg: Markup
    file: str
    csv: str


def figures(page: StudyPage) -> dict[str, PageFigure]:
    """name -> figure, for those that have something to show."""
    drawings = _quality(page) | _plan(page) | _training(page) | _profile(page) | _people(page) | _forgetting(page)
    return {name: PageFigure(Markup(svg), f"{name}.csv", csv_link(rows)) for name, (svg, rows) in drawings.items()}


def csv_link(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a data: address of a csv, UTF-8 with a heading; unknown values are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return "data:text/csv;charset=utf-8;base64," + b64encode(buffer.getvalue().encode()).decode()


def _cell(value: Any) -> Any:
    """Puts an apostrophe before a text that a spreadsheet would read as a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def pair_rows(page: StudyPage) -> list[Row]:
    """The pairs for download, with the ends of the intervals and of the one-sided bounds."""
    return [
        {"a": pair.a, "b": pair.b, "verdict": pair.verdict, "difference": pair.difference,
         "simultaneous_low": pair.simultaneous_low, "simultaneous_high": pair.simultaneous_high,
         "one_sided_low": pair.one_sided_low, "one_sided_high": pair.one_sided_high, "sd": pair.sd, "n": pair.n}
        for pair in ranked_pairs(page)
    ]  # fmt: skip


Figure = tuple[str, list[Row]]  # as SVG, and its rows
Figures = dict[str, Figure]


def _quality(page: StudyPage) -> Figures:
    """Means by arm, also against tokens in a prompt and minutes in the study."""
    dots, compare, metric = page.dots(), page.compare, page.deciding
    if not dots:
        return {}
    low, high = compare.best.simultaneous_low, compare.best.simultaneous_high
    simultaneous = None if low is None or high is None or not compare.comparisons else (float(low), float(high))
    letters = letters_of(page)
    rows: list[Row] = [
        {"arm": arm.name, "kind": arm.kind, "mean": row.mean, "low": row.low, "high": row.high, "n": row.n,
         "not_separated": letters.get(arm.name, ""), "megabytes": arm.saved_megabytes,
         "prompt_tokens": arm.prompt_tokens, "minutes": arm.cost.minutes}
        for arm, row in page.means
    ]  # fmt: skip
    tokens = [arm.prompt_tokens or 0.0 for arm in page.compared]
    minutes = [arm.cost.minutes or 0.0 for arm in page.compared]
    groups = compare.groups_not_separated()
    return {
        "forest": (plots.forest(dots, metric, compare.margin, simultaneous, groups), rows),
        "by_tokens": (plots.scatter(dots, tokens, metric, "tokens in a prompt", "tokens"), rows),
        "by_minutes": (plots.scatter(dots, minutes, metric, "minutes in this study", "minutes"), rows),
    }


def _plan(page: StudyPage) -> Figures:
    """Predicted against measured: memory in GB, time in seconds."""
    found: Figures = {}
    kinds = _kinds(page)
    for unit, key, what, size in (
        ("bytes", "plan_memory", "memory, GB", 1e9),
        ("seconds", "plan_time", "seconds", 1.0),
    ):
        rows = [row for row in page.predictions if row.unit == unit and row.arm in kinds and not row.is_of_rates]
        if rows:
            dots = [(row.arm, kinds[row.arm], row.predicted / size, row.measured / size) for row in rows]
            found[key] = (plots.equality(dots, what), [row.as_json() for row in rows])
    return found


def _forgetting(page: StudyPage) -> Figures:
    """Gain on the task against the loss on each instrument that decides."""
    found: Figures = {}
    for name, asked in page.panel.instruments.items() if page.panel else ():
        if asked.margin is None or not (arms := crossed(page, name)):
            continue
        rows: list[Row] = [
            {"arm": arm.name, "gain": arm.y[0], "gain_low": arm.y[1], "gain_high": arm.y[2],
             "loss": arm.x[0], "loss_low": arm.x[1], "loss_high": arm.x[2]}
            for arm in arms
        ]  # fmt: skip
        drawn = crosses(f"kept-{name}", arms, f"loss on {name}", f"gain in {page.deciding}", asked.margin)
        found[f"kept_{name}"] = (drawn, rows)
    return found


def _training(page: StudyPage) -> Figures:
    """Loss by step, and dev by the limit on new tokens."""
    figures: Figures = {}
    curves = {arm.name: arm.steps for arm in page.trained if arm.steps}
    if curves:
        best_steps = {arm.name: arm.counts.best_step if arm.counts else None for arm in page.trained}
        rows = [{"arm": name, **step.as_json()} for name, steps in curves.items() for step in steps]
        figures["curves"] = (plots.curves(curves, best_steps, page.deciding), rows)
    if lengths := length_choices(page):
        rows = [
            {"arm": name, "limit": limit, "dev": value, "chosen": limit == length.chosen}
            for name, length in lengths.items()
            for limit, value in length.by_limit.items()
        ]
        figures["length_figure"] = (plots.lengths(lengths, _kinds(page), page.deciding), rows)
    return figures


def _profile(page: StudyPage) -> Figures:
    """Words, facts and bits by arm; the metric at equal length and by length of input and reference."""
    words = {name: (row.words.mean, row.words) for name, row in profiled(page).items()}
    facts = {name: (row.any.share, row.any) for name, row in facts_of(page).items()}
    bits = {name: (row.mean, row) for name, row in likelihoods(page).items()}
    at_limits = [(limit_words(row.budget), row.arms) for row in equal_length_rows(page)]
    figures = {
        "words": _points("words", words, "words in an answer"),
        "facts_figure": _points("facts", facts, "share of answers with something unsupported"),
        "bits": _points("bits", bits, "bits per character of the reference; lower is better"),
        "budgets": _across(page, "budgets", at_limits, "all answers cut to"),
    }
    for what, buckets in buckets_of(page).items():
        columns = [("{:.0f} to {:.0f}".format(*row.words), row.arms) for row in buckets]
        figures[f"by_{what}"] = _across(page, f"by_{what}", columns, f"words in the {what}")
    return {name: figure for name, figure in figures.items() if figure}


def _across(page: StudyPage, key: str, columns: Sequence[tuple[str, Mapping[str, Mean]]], title: str) -> Figure | None:
    """One line an arm over labelled columns of means; None without values."""
    means = {arm.name: [row.mean if (row := of.get(arm.name)) else None for _, of in columns] for arm in page.arms}
    lines = {name: values for name, values in means.items() if any(value is not None for value in values)}
    rows = [{title: label, "arm": name, **row.as_json()} for label, of in columns for name, row in of.items()]
    labels = [label for label, _ in columns]
    return (plots.across(key, lines, _kinds(page), labels, title, page.deciding), rows) if lines else None


def _people(page: StudyPage) -> Figures:
    """The figures of people's ratings; ratings.json holds their rows."""
    return {
        f"people_{name}": (
            plots.points(f"people-{name}", figure.rows, figure.x, figure.reference),
            [row.as_json() | {"x": figure.x} for row in figure.rows],
        )
        for name, figure in (page.ratings.figures if page.ratings else {}).items()
        if figure.rows
    }


def _points(key: str, of: Mapping[str, tuple[Number | None, Mean | Share]], x: str) -> Figure | None:
    """A figure of arm -> (number, record with its interval and n), one below the other; None without numbers."""
    valued = [(name, value, row) for name, (value, row) in of.items() if value is not None]
    points = [FigureRow(label=name, value=value, low=row.low, high=row.high) for name, value, row in valued]
    rows = [point.as_json() | {"n": row.n} for point, (_, _, row) in zip(points, valued, strict=True)]
    return (plots.points(key, points, x), rows) if valued else None


def _kinds(page: StudyPage) -> dict[str, str]:
    return {arm.name: arm.kind for arm in page.arms}
