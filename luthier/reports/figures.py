"""Which figures a report has, each with its rows: what is drawn can be taken away as csv.

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
from luthier.reports.evidence import buckets_of, budget_rows, fact_rows, length_choices, likelihood_rows, profiled
from luthier.reports.pairs import groups_of, letters_of, ranked_pairs
from luthier.reports.read import StudyPage

Row = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A figure as safe markup, and its rows as the address of a csv file."""

    svg: Markup
    file: str
    csv: str


def figures(page: StudyPage) -> dict[str, Drawn]:
    """name -> figure, for those that have something to show."""
    found = _quality(page) | _training(page) | _profile(page) | _people(page)
    return {name: Drawn(Markup(svg), f"{name}.csv", csv_link(rows)) for name, (svg, rows) in found.items()}


def csv_link(rows: Sequence[Mapping[str, Any]]) -> str:
    """A data: address that holds the rows as csv, UTF-8 with a heading; unknown is empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return "data:text/csv;charset=utf-8;base64," + b64encode(buffer.getvalue().encode()).decode()


def _cell(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def pair_rows(page: StudyPage) -> list[Row]:
    """The pairs as they are downloaded: numbers of the interval and of the one-sided bounds."""
    names = ("a", "b", "verdict", "difference", "simultaneous_low", "simultaneous_high", "one_sided_low",
             "one_sided_high", "sd", "n")  # fmt: skip
    return [{name: row.get(name) for name in names} for row in ranked_pairs(page)]


Figures = dict[str, tuple[str, list[Row]]]


def _quality(page: StudyPage) -> Figures:
    """Means by arm, and the same against what an answer and the study cost."""
    dots, compare, metric = page.dots(), page.compare, page.deciding
    if not dots:
        return {}
    best = compare["best"]
    ends = (best.get("simultaneous_low"), best.get("simultaneous_high"))
    known = None if None in ends or not compare["comparisons"] else (float(ends[0]), float(ends[1]))
    letters = letters_of(page)
    rows: list[Row] = [
        {"arm": arm.name, "kind": arm.kind, **{key: page.result(arm).get(key) for key in ("mean", "low", "high", "n")},
         "not_separated": letters.get(arm.name, ""), "megabytes": arm.saved_megabytes,
         "prompt_tokens": arm.prompt_tokens, "minutes": arm.minutes}
        for arm in page.compared
    ]  # fmt: skip
    tokens = [arm.prompt_tokens or 0.0 for arm in page.compared]
    minutes = [arm.minutes or 0.0 for arm in page.compared]
    return {
        "forest": (plots.forest(dots, metric, compare["margin"], known, groups_of(page)), rows),
        "by_tokens": (plots.scatter(dots, tokens, metric, "tokens in a prompt", "tokens"), rows),
        "by_minutes": (plots.scatter(dots, minutes, metric, "minutes in this study", "minutes"), rows),
    }


def _training(page: StudyPage) -> Figures:
    """Loss by step, and dev by the limit on new tokens."""
    found: Figures = {}
    curves = {arm.name: arm.steps for arm in page.trained if arm.steps}
    if curves:
        steps = {arm.name: arm.counts.get("best_step") for arm in page.trained}
        rows = [{"arm": name, **row} for name, taken in curves.items() for row in taken]
        found["curves"] = (plots.curves(curves, steps, page.deciding), rows)
    if lengths := length_choices(page):
        rows = [
            {"arm": name, "limit": limit, "dev": value, "chosen": limit == chosen}
            for name, (by_limit, chosen) in lengths.items()
            for limit, value in by_limit.items()
        ]
        found["length_figure"] = (plots.lengths(lengths, _kinds(page), page.deciding), rows)
    return found


def _profile(page: StudyPage) -> Figures:
    """Words, facts and bits by arm; the metric under budgets and by length of input and reference."""
    found: Figures = {}
    if words := _points([(name, row.get("words"), "mean") for name, row in profiled(page).items()]):
        found["words"] = (plots.points("words", words, "words in an answer"), words)
    if facts := _points([(row["arm"], row.get("any"), "share") for row in fact_rows(page)]):
        found["facts_figure"] = (plots.points("facts", facts, "share of answers with something unsupported"), facts)
    if bits := _points([(row["arm"], row, "mean") for row in likelihood_rows(page)]):
        found["bits"] = (plots.points("bits", bits, "bits per character of the reference; lower is better"), bits)
    tables = {"budgets": [(row["label"], row["arms"]) for row in budget_rows(page)]}
    for what, buckets in buckets_of(page).items():
        tables[f"by_{what}"] = [("{:.0f} to {:.0f}".format(*row["words"]), row["arms"]) for row in buckets]
    titles = {name: f"words in the {name.removeprefix('by_')}" for name in tables} | {"budgets": "all answers cut to"}
    for name, columns in tables.items():
        if drawn := _across(page, name, columns, titles[name]):
            found[name] = drawn
    return found


def _across(
    page: StudyPage, key: str, columns: Sequence[tuple[str, Mapping[str, Row]]], title: str
) -> tuple[str, list[Row]] | None:
    """One line an arm over labelled columns of means; None where nothing is known."""
    means = {arm.name: [of.get(arm.name, {}).get("mean") for _, of in columns] for arm in page.arms}
    known = {name: values for name, values in means.items() if any(value is not None for value in values)}
    rows = [{title: label, "arm": name, **row} for label, of in columns for name, row in of.items()]
    labels = [label for label, _ in columns]
    return (plots.across(key, known, _kinds(page), labels, title, page.deciding), rows) if known else None


def _people(page: StudyPage) -> Figures:
    """What people said: ratings.json holds the rows ready to be drawn."""
    return {
        f"people_{name}": (
            plots.points(f"people-{name}", rows, figure["x"], figure["reference"]),
            [{**row, "x": figure["x"]} for row in rows],
        )
        for name, figure in ((page.ratings or {}).get("figures") or {}).items()
        if (rows := [row for row in figure["rows"] if row["value"] is not None])
    }


def _points(found: Sequence[tuple[str, Row | None, str]]) -> list[Row]:
    """(label, row, key of its value) -> label, value, low, high, of those that are known."""
    return [
        {"label": label, "value": row[key], "low": row.get("low"), "high": row.get("high"), "n": row.get("n")}
        for label, row, key in found
        if row and row.get(key) is not None
    ]


def _kinds(page: StudyPage) -> dict[str, str]:
    return {arm.name: arm.kind for arm in page.arms}
