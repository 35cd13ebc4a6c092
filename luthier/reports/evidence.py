"""What a study knows beside its verdicts, as tables: profile, facts, people, judges, effort, seeds, likelihood.

Each function gives rows that a template writes down and a figure draws; empty where an older study has no such file.
"""

from __future__ import annotations

from typing import Any

from luthier.metrics import LIKELIHOOD
from luthier.reports.read import StudyPage

Row = dict[str, Any]

SHAPE = {  # what answers look like -> where profile.json has it
    "words": ("words",),
    "answer words / reference words": ("length_ratio",),
    "copied trigrams": ("copied", "trigrams"),
    "repeated trigrams": ("repeated",),
}


def length_choices(page: StudyPage) -> dict[str, tuple[dict[int, float], int]]:
    """arm -> (limit on new tokens -> dev metric, the limit chosen), for the arms whose limit dev chose."""
    found: dict[str, tuple[dict[int, float], int]] = {}
    for arm in page.compared:
        length = arm.about.get("length") or {}
        by_limit = {int(limit): value for limit, value in (length.get("dev") or {}).items() if value is not None}
        if len(by_limit) > 1:
            found[arm.name] = (by_limit, length["chosen"])
    return found


# ---------------------------------------------------------------------------------------------------------- profile


def profiled(page: StudyPage) -> dict[str, Row]:
    """arm -> its row of profile.json, the best arm first."""
    arms = page.profile["arms"] if page.profile else {}
    return {arm.name: arms[arm.name] for arm in page.arms if arm.name in arms}


def shape_rows(page: StudyPage) -> list[Row]:
    """Each arm's words, length ratio, copying and repetition; shares of answers that are empty, cut or only tags."""
    rows = []
    for name, row in profiled(page).items():
        cells = {label: _at(row, path) for label, path in SHAPE.items()}
        rows.append(
            {"arm": name, "cells": cells, "shares": {k: row.get(k) for k in ("empty", "hit_limit", "only_tags")}}
        )
    return rows


def _at(row: Row, path: tuple[str, ...]) -> Row:
    for key in path:
        row = row.get(key) or {}
    return row


def budget_rows(page: StudyPage) -> list[Row]:
    """One row a budget: its label, the arms' means, and which verdicts change when all answers are cut to it."""
    budgets = (page.profile or {}).get("budgets") or {}
    return [
        row | {"label": _budget_label(row["budget"]), "flips": row.get("flips") or [], "sentence": _flip_sentence(row)}
        for row in budgets.get("rows") or []
    ]


def _budget_label(budget: int | str | None) -> str:
    return "as answered" if budget is None else f"{budget} words" if isinstance(budget, int) else str(budget)


def _flip_sentence(row: Row) -> str:
    if row["budget"] is None:
        return "the study's verdict"
    if row.get("ship_flips"):
        arm = (row.get("ship") or {}).get("arm")
        return f"decision changes: ship {arm}" if arm else "decision changes: cannot tell"
    flips = len(row.get("flips") or [])
    return f"same decision, {flips} pair verdict{'s' * (flips != 1)} change{'s' * (flips == 1)}" if flips else "same"


def buckets_of(page: StudyPage) -> dict[str, list[Row]]:
    """'input' and 'reference' -> rows of words, n and the arms' means."""
    found = (page.profile or {}).get("buckets") or {}
    return {what: rows for what, rows in found.items() if rows}


def fact_rows(page: StudyPage) -> list[Row]:
    """Each arm's share of answers with something unsupported, in all and by kind."""
    return [{"arm": name, **row["facts"]} for name, row in profiled(page).items() if row.get("facts")]


# --------------------------------------------------------------------------------------------- effort, seeds, bits


def effort_rows(page: StudyPage) -> list[Row]:
    """What each trained arm was given: trials and tokens of tuning, then of its own training, and the minutes."""
    return [
        {
            "arm": arm.name,
            "tuning": arm.about.get("tuning") or {"trials": 0},
            "tune_minutes": _minutes(arm.cost, "tune_"),
            "train_tokens": arm.counts.get("train_tokens"),
            "train_minutes": _minutes(arm.cost, "train_"),
        }
        for arm in page.trained
    ]


def _minutes(cost: Row, prefix: str) -> float | None:
    seconds = [v for k, v in cost.items() if k.startswith(prefix) and k.endswith("_seconds") and v is not None]
    return sum(seconds) / 60 if seconds else None


def recipe_rows(page: StudyPage) -> list[Row]:
    """Each arm with three seeds or more: its recipe's mean beside this model's."""
    found = []
    for arm in page.compared:
        if recipe := page.result(arm).get("recipe"):
            found.append({"arm": arm.name, "model": page.result(arm), "recipe": recipe})
    return found


def likelihood_rows(page: StudyPage) -> list[Row]:
    """arm -> bits per character of the references, where they were measured."""
    rows = [{"arm": arm.name, **(arm.metrics.get(LIKELIHOOD) or {"mean": None})} for arm in page.compared]
    return [row for row in rows if row["mean"] is not None]


# ----------------------------------------------------------------------------------------------------------- widths


def width_rows(page: StudyPage) -> list[Row]:
    """Each narrow arm and the whole arm that it is held against: what it weighs, what it costs, what is lost.

    `difference`, `low` and `high` are the narrow arm minus its twin, paired by example; absent without a twin.
    """
    known = page.study.get("arms")
    specs = known if isinstance(known, dict) else {}
    twins = {name: _twin(name, specs) for name in specs if _narrow(specs[name])}
    shown = set(twins) | set(twins.values())
    return [
        {
            "arm": arm.name,
            "how": _how(specs[arm.name]),
            "twin": twins.get(arm.name),
            "weight": arm.counts["weight"],
            "answer_peak_bytes": arm.cost.get("answer_peak_bytes"),
            "tokens_per_second": _speed(arm.cost),
            **_lost(page, arm.name, twins.get(arm.name)),
        }
        for arm in page.arms
        if arm.name in shown and arm.counts.get("weight")
    ]


def _narrow(spec: Row) -> bool:
    return bool(spec.get("width") or (spec.get("settings") or {}).get("width"))


def _twin(name: str, specs: Row) -> str | None:
    """The arm that differs in its width alone; of one trained on narrow weights, the same trained on whole ones."""
    spec = specs[name]
    settings = {key: value for key, value in spec["settings"].items() if key != "width"}
    whole = spec | {"width": None, "settings": settings}
    if settings != spec["settings"]:
        whole["method"] = "lora"
    return next((other for other, spec in specs.items() if other != name and spec == whole), None)


def _how(spec: Row) -> str:
    if on := (spec.get("settings") or {}).get("width"):
        return f"trained on {on}"
    if spec.get("width"):
        return f"{spec['width']}, quantized after training" if spec.get("training") else str(spec["width"])
    return "whole"


def _lost(page: StudyPage, name: str, twin: str | None) -> Row:
    for pair in page.compare["pairs"]:
        if pair["metric"] == page.deciding and {pair["a"], pair["b"]} == {name, twin}:
            values = {key: pair.get(key) for key in ("difference", "low", "high")}
            if pair["a"] == name or values["difference"] is None:
                return values
            low, high = (None if values[k] is None else -values[k] for k in ("high", "low"))
            return {"difference": -values["difference"], "low": low, "high": high}
    return {"difference": None, "low": None, "high": None}


def _speed(cost: Row) -> float | None:
    """New tokens a second while answering, the reading of the prompts included."""
    seconds = (cost.get("answer_seconds") or 0) + (cost.get("dev_seconds") or 0)
    return cost.get("new_tokens", 0) / seconds if seconds else None
