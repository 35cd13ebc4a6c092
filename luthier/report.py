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

from luthier import plots
from luthier.files import write_text
from luthier.page import (
    FIRST_WARNINGS,
    StudyPage,
    against_the_best,
    examples_to_show,
    length_choices,
    ranked_pairs,
    read_study,
    strip_of,
    warnings_of,
)

Row = dict[str, Any]

UNKNOWN = "–"
SIGNS = {"better": "▲", "worse": "▼", "equivalent": "≈", "cannot tell": "?"}
METRIC_WORDS = {
    "rouge1": "words shared with the reference",
    "rouge2": "word pairs shared with the reference",
    "rougeL": "longest common word sequence",
    "rougeLsum": "the same, sentence by sentence",
    "bleu": "n-gram precision, whole corpus",
    "chrf": "character n-grams, whole corpus",
    "length_ratio": "answer words / reference words",
    "stopped": "share that ended by themselves",
    "copied": "share of 4-grams found in the input",
    "bits_per_character": "how surprising the reference is; lower is better",
}


def report(folder: Path) -> Path:
    """Writes report.md and report.html into a study's folder and returns the path of the page.

    Raises FolderError when a file of the study is missing or damaged, or the folder cannot be written.
    """
    page = read_study(Path(folder))
    shown = _shown(page)
    command = Markup(" ".join(str(page.study.get("command") or UNKNOWN).split()))  # one line of a code block
    text = _environment(_markdown).get_template("report.md.jinja").render(shown, command=command)
    write_text(page.folder / "report.md", text)
    path = page.folder / "report.html"
    write_text(path, _environment(None).get_template("report.html.jinja").render(shown | _figures(page)))
    return path


def _environment(finalize: Callable[[Any], Any] | None) -> Environment:
    """Templates in which every value is escaped: for HTML, or by `finalize`; a misspelt name is an error."""
    environment = Environment(
        loader=PackageLoader("luthier", "templates"),
        autoescape=finalize is None,
        finalize=finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment


def _markdown(value: Any) -> Any:
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
        "metric_words": METRIC_WORDS,
        "signs": SIGNS,
        "decision": _decision(compare["ship"]["sentence"]),
        "how_sure": how_sure(page),
        "warnings": warnings,
        "first_warnings": warnings[:FIRST_WARNINGS],
        "against": against_the_best(page),
        "pairs": pairs,
        "strip": strip_of(pairs, compare["margin"]),
        "detectable": detectable(page),
        "lengths": length_choices(page),
        "examples": examples_to_show(page),
        "excluded": {name: Counter(row["reason"] for row in rows) for name, rows in compare["excluded"].items()},
    }


def _decision(sentence: str) -> list[str]:
    """The sentence as a headline and, where it goes on, the rest; 'n = 60' is kept on one line."""
    return re.split(r"(?<=[a-z)]\.) ", sentence.replace("n = ", "n\u00a0=\u00a0"), maxsplit=1)


def how_sure(page: StudyPage) -> str:
    """The confidence, what it covers and from how much, in one sentence."""
    compare = page.compare
    confidence, n = f"{100 * (1 - compare['alpha']):.4g} %", compare["n"]
    units = f"{n} independent test examples" + (f" ({compare['examples']} rows)" if compare["examples"] != n else "")
    if not compare["comparisons"]:
        return f"One arm, {units}; its interval has {100 * compare['level']:.4g} % confidence."
    pairs = f"all {compare['comparisons']} pairs of arms at once" if compare["comparisons"] > 1 else "the one pair"
    best = compare["best"]
    low, high = best.get("simultaneous_low"), best.get("simultaneous_high")
    simultaneous = f" Simultaneous interval of the best mean, that of {best['arm']}: {_score(low)} to {_score(high)}."
    return f"Verdicts hold with {confidence} confidence for {pairs}, from {units}.{simultaneous}"


def detectable(page: StudyPage) -> list[str]:
    """What the answers' real spread says about this test set; study.json has what was said before."""
    power, metric, margin = page.compare["power"], page.deciding, page.compare["margin"]
    found = []
    if power.get("detectable") is not None:
        low, high = power["sd_range"]
        found.append(
            f"The difference between two arms varies from example to example with a standard deviation of {low:.3f} to "
            f"{high:.3f} {metric}. With n = {page.compare['n']} a true difference of {power['detectable']:.3f} is "
            f"found in {100 * power['power']:.0f} % of studies for the pair that varies most, a smaller one for others."
        )
        can = "could" if power["equivalence_possible"] else "could not"
        found.append(f"Two arms {can} be found equivalent within {margin:.3f} with n = {page.compare['n']}.")
    undecided = [row["examples_needed"] for row in ranked_pairs(page) if row.get("examples_needed")]
    if undecided:
        most = max(undecided, key=lambda needed: needed["more"])
        found.append(
            f"{len(undecided)} of {page.compare['comparisons']} pairs are undecided; to show a difference of "
            f"{margin:.3f} in each of them, about {most['more']:,} more examples are needed "
            f"({most['total']:,} in all; {most['low']:,} to {most['high']:,} as far as the spread is known)."
        )
    return found


def _figures(page: StudyPage) -> Row:
    """The figures of the page, as safe markup; None where there is nothing to draw."""
    dots, compare, metric = page.dots(), page.compare, page.deciding
    best = compare["best"]
    ends = (best.get("simultaneous_low"), best.get("simultaneous_high"))
    known = None if None in ends or not compare["comparisons"] else (float(ends[0]), float(ends[1]))
    curves = {arm.name: arm.steps for arm in page.trained if arm.steps}
    steps = {arm.name: arm.counts.get("best_step") for arm in page.trained}
    lengths, kinds = length_choices(page), {arm.name: arm.kind for arm in page.arms}
    tokens = [arm.prompt_tokens or 0.0 for arm in page.compared]
    minutes = [arm.minutes or 0.0 for arm in page.compared]
    drawn = {
        "forest": plots.forest(dots, metric, compare["margin"], known) if dots else None,
        "by_tokens": plots.scatter(dots, tokens, metric, "tokens in a prompt", "tokens") if dots else None,
        "by_minutes": plots.scatter(dots, minutes, metric, "minutes in this study", "minutes") if dots else None,
        "curves": plots.curves(curves, steps, metric) if curves else None,
        "length_figure": plots.lengths(lengths, kinds, metric) if lengths else None,
    }
    return {name: svg and Markup(svg) for name, svg in drawn.items()}


# ----------------------------------------------------------------------------------------------- numbers for readers


def _score(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:z.3f}".replace("-", "−")


def _signed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:+z.3f}".replace("-", "−")


def _interval(row: Row, prefix: str = "", signed: bool = False) -> Markup:
    """[low, high] of a row, or nothing where an end is unknown. Nothing in it needs escaping, brackets in Markdown
    included."""
    low, high = row.get(f"{prefix}low"), row.get(f"{prefix}high")
    shown = _signed if signed else _score
    return Markup("" if low is None or high is None else f"[{shown(low)}, {shown(high)}]")


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
    "number": _short_number,
    "count": _count,
    "gigabytes": _gigabytes,
    "minutes": _minutes,
    "percent": _percent,
    "words": _words,
}
