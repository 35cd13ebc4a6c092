"""The figures of a report, as SVG text to be put into a page: the same numbers give the same bytes.

Colours are Okabe and Ito's, which people with any colour vision tell apart, and every kind has its own marker as well.
Text stays text, so that it can be read aloud and uses the page's font; names come from users and are never read as
mathematics. Figures are narrow, so that their labels are still readable on a phone.
"""

from __future__ import annotations

import html
import io
import itertools
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator

from luthier.results.arm_record import LengthChoice
from luthier.results.lines import Step
from luthier.results.ratings_record import FigureRow

INK, FAINT, BAND = "#333333", "#bdbdbd", "#ececec"
ORANGE, SKY, GREEN, BLUE, VERMILLION, PURPLE = "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"
KINDS = {"baseline": (GREY, "D"), "prompt": (BLUE, "o"), "trained": (VERMILLION, "s")}  # colour, marker
# Every arm has its own colour, and each kind its range of colours: greys, cool and warm ones.
PENS = {"baseline": (GREY, INK), "prompt": (BLUE, SKY, GREEN), "trained": (VERMILLION, ORANGE, PURPLE)}
DASHES = ("-", "--", ":", "-.")

WIDTH = 5.4  # inches; about a phone's width at the page's text size
FAR = 5  # times the usual: values beyond are drawn nearer
LONGEST = 24  # characters of a name in a figure; tables hold it whole

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "luthier",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Dot:
    """One arm in a figure: its mean and its own interval on the deciding metric. `kind` is a key of KINDS."""

    name: str
    kind: str
    mean: float
    low: float | None = None
    high: float | None = None


def forest(
    dots: Sequence[Dot],
    metric: str,
    margin: float,
    simultaneous: tuple[float, float] | None,
    groups: Sequence[Sequence[str]] = (),
) -> str:
    """Mean and interval by arm, in the order given; the first arm's `simultaneous` interval is drawn and labelled.

    The grey band holds the means that are within `margin` of the first arm's. Each of `groups`, arms that are not
    separated, is a line at the right with a mark at each of its arms.
    """

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvspan(dots[0].mean - margin, dots[0].mean, color=BAND, linewidth=0)
        if simultaneous:
            axes.plot(simultaneous, (0, 0), color=INK, linewidth=1, marker="|", markersize=9)
            at, side = (simultaneous[0], "right") if _is_right_half(dots, simultaneous) else (simultaneous[1], "left")
            axes.annotate("simultaneous", (at, 0), (-6 if side == "right" else 6, 0), textcoords="offset points",
                          ha=side, va="center", fontsize=8.5)  # fmt: skip
        for row, dot in enumerate(dots):
            colour, marker = KINDS[dot.kind]
            if dot.low is not None and dot.high is not None:
                axes.plot((dot.low, dot.high), (row, row), color=colour, linewidth=3.5, solid_capstyle="butt")
            axes.plot(dot.mean, row, marker, color=colour, markersize=6.5, markeredgecolor="white", markeredgewidth=0.7)
        _named_rows(axes, [dot.name for dot in dots])
        axes.set_xlabel(metric)
        _brackets(axes, [[row for row, dot in enumerate(dots) if dot.name in group] for group in groups])

    words = "; ".join(f"{d.name} {d.mean:.3f}" + _interval(d.low, d.high) for d in dots)
    label = f"Mean {metric} by arm with its interval: {words}."
    if groups:
        label += f" Not separated: {'; '.join(', '.join(group) for group in groups)}."
    return draw("forest", label, paint, 0.75 + 0.29 * len(dots))


def scatter(dots: Sequence[Dot], costs: Sequence[float], metric: str, cost: str, key: str) -> str:
    """Mean quality (up) against one cost (right), with names in a column beside the figure."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        for dot, x in zip(dots, costs, strict=True):
            colour, marker = KINDS[dot.kind]
            if dot.low is not None and dot.high is not None:
                axes.plot((x, x), (dot.low, dot.high), color=colour, linewidth=1.2, alpha=0.6)
            axes.plot(x, dot.mean, marker, color=colour, markersize=7, markeredgecolor="white")
        axes.margins(x=0.08)
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        names_beside(figure, axes, [(d.name, x, d.mean, KINDS[d.kind][0]) for d, x in zip(dots, costs, strict=True)])
        quiet_axes(axes, cost, metric)

    words = "; ".join(f"{d.name} {d.mean:.3f} at {x:,.4g}" for d, x in zip(dots, costs, strict=True))
    return draw(f"cost-{key}", f"{metric} against {cost}: {words}.", paint, _height(len(dots)))


def points(
    key: str, rows: Sequence[FigureRow], x: str, reference: float | None = None, usual: float | None = None
) -> str:
    """Values with their intervals, one below the other; a dashed line where `reference` means no difference. Values far
    beyond `usual` are drawn nearer (`bent`)."""
    said = bent([end for row in rows for end in (row.value, row.low, row.high)], usual)
    x += f", {said}" if said else ""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        if reference is not None:
            axes.axvline(reference, color=GREY, linewidth=1, linestyle="--")
        for position, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.plot((row.low, row.high), (position, position), color=BLUE, linewidth=3, solid_capstyle="butt")
            axes.plot(row.value, position, "o", color=BLUE, markersize=6.5, markeredgecolor="white")
        _named_rows(axes, [row.label for row in rows])
        axes.set_xlabel(x)
        if usual is not None and said:
            bend(axes, usual)

    words = "; ".join(f"{row.label} {row.value:.3f}" + _interval(row.low, row.high) for row in rows)
    return draw(key, f"{x}: {words}.", paint, 0.75 + 0.29 * len(rows))


def equality(rows: Sequence[tuple[str, str, float, float]], what: str) -> str:
    """Predicted against measured with the line of equality; rows are (arm, kind, predicted, measured)."""
    high = 1.15 * max(value for _, _, *pair in rows for value in pair)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot([0, high], [0, high], color=FAINT, linewidth=1, zorder=1)
        for _, kind, predicted, measured in rows:
            colour, marker = KINDS[kind]
            axes.plot([measured], [predicted], marker=marker, color=colour, markersize=6, linestyle="none", zorder=3)
        axes.set(xlim=(0, high), ylim=(0, high))
        names_beside(figure, axes, [(name, x, y, KINDS[kind][0]) for name, kind, y, x in rows])
        quiet_axes(axes, f"measured {what}", f"predicted {what}")

    label = f"Predicted against measured {what}, with the line where both are equal."
    return draw(f"equality-{what.partition(',')[0]}", label, paint, 3.6)


def across(
    key: str,
    by_arm: Mapping[str, Sequence[float | None]],
    kinds: Mapping[str, str],
    ticks: Sequence[str],
    x: str,
    y: str,
) -> str:
    """One line an arm over a few named positions on x."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ends = []
        for (name, values), (colour, dash) in zip(by_arm.items(), _pens(by_arm, kinds), strict=True):
            points = [(at, value) for at, value in enumerate(values) if value is not None]
            axes.plot(*zip(*points, strict=True), dash, color=colour, linewidth=1.6, marker="o", markersize=4)
            ends.append((name, *points[-1], colour))
        names_beside(figure, axes, ends)
        quiet_axes(axes, x, y)
        axes.set_xticks(range(len(ticks)), [tick.replace(" ", "\n", 1) for tick in ticks], parse_math=False)

    words = "; ".join(
        f"{name} " + ", ".join(f"{v:.3f}" for v in values if v is not None) for name, values in by_arm.items()
    )
    return draw(key, f"{y} at {', '.join(ticks)}: {words}.", paint, _height(len(by_arm)))


def lengths(by_arm: Mapping[str, LengthChoice], kinds: Mapping[str, str], metric: str) -> str:
    """The dev metric by the limit on new tokens, one line an arm, a ring around the choice."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ends = []
        for (name, length), (colour, dash) in zip(by_arm.items(), _pens(by_arm, kinds), strict=True):
            by_limit, chosen = length.by_limit, length.chosen
            limits = sorted(by_limit)
            values = [by_limit[limit] for limit in limits]
            axes.plot(limits, values, dash, color=colour, linewidth=1.6)
            if chosen in by_limit:
                _ring(axes, chosen, by_limit[chosen], colour)
            ends.append((name, limits[-1], values[-1], colour))
        names_beside(figure, axes, ends)
        quiet_axes(axes, "most new tokens an answer may have", f"{metric} on dev")

    words = "; ".join(f"{name} {length.chosen} tokens" for name, length in by_arm.items())
    return draw("length", f"{metric} on dev by the limit on new tokens; chosen: {words}.", paint, _height(len(by_arm)))


def curves(by_arm: Mapping[str, Sequence[Step]], best_steps: Mapping[str, int | None], metric: str) -> str:
    """Steps of training by arm: above, loss by step, drawn thin, and its running mean; below, the dev metric.

    All arms are trained ones; a ring is drawn around the dev metric at an arm's best step.
    """
    kinds = dict.fromkeys(by_arm, "trained")

    def paint(figure: Figure) -> None:
        losses, devs = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        ends, judged = [], []
        for (name, steps), (colour, dash) in zip(by_arm.items(), _pens(by_arm, kinds), strict=True):
            numbers, loss = [step.step for step in steps], [step.loss for step in steps]
            smooth = _running_mean(loss, len(loss) // 20)
            losses.plot(numbers, loss, color=colour, linewidth=0.6, alpha=0.35)
            losses.plot(numbers, smooth, dash, color=colour, linewidth=1.8)
            ends.append((name, numbers[-1], smooth[-1], colour))
            if taken := [(step.step, step.dev) for step in steps if step.dev is not None]:
                devs.plot(*zip(*taken, strict=True), dash, color=colour, linewidth=1, marker="o", markersize=4)
                for number, value in taken:
                    if number == best_steps.get(name):
                        _ring(devs, number, value, colour)
                judged.append((name, *taken[-1], colour))
        names_beside(figure, losses, ends)
        names_beside(figure, devs, judged)
        quiet_axes(losses, "", "loss (nats a token)")
        quiet_axes(devs, "step", f"{metric} on dev")
        devs.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    words = "; ".join(f"{name} {_loss_words(steps)}" for name, steps in by_arm.items())
    return draw("curves", f"Training loss by step, and {metric} on dev: {words}.", paint, _height(len(by_arm)) + 1.6)


# ------------------------------------------------------------------------------------------------------- the parts


def spread(values: Sequence[float], gap: float) -> list[float]:
    """The values moved apart so that neighbours are at least `gap` away, their mean unchanged; for labels."""
    order = sorted(range(len(values)), key=values.__getitem__)
    placed: dict[int, float] = {}
    last = float("-inf")
    for i in order:
        last = placed[i] = max(values[i], last + gap)
    shift = fmean(placed.values()) - fmean(values) if values else 0.0
    return [placed[i] - shift for i in range(len(values))]


def _named_rows(axes: Axes, names: Sequence[str]) -> None:
    """The names one below the other at the left, the first on top, and faint lines to read values by."""
    axes.set_yticks(range(len(names)), [_short(name) for name in names], parse_math=False)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)


def _brackets(axes: Axes, groups: Sequence[Sequence[int]]) -> None:
    """A line at the right of the axes for each group of rows, with a mark at each of its rows."""
    for number, rows in enumerate(groups):
        positions = [1.03 + 0.035 * number] * len(rows)
        axes.plot(positions, rows, "-", marker="o", color=INK, linewidth=1.2, markersize=3.5, clip_on=False,
                  transform=axes.get_yaxis_transform())  # fmt: skip


def names_beside(figure: Figure, axes: Axes, points: Sequence[tuple[str, float, float, str]]) -> None:
    """(name, x, y, colour): each name in a column to the right, tied to its point by a hair line."""
    bottom, top = axes.get_ylim()
    inches = figure.get_figheight() * axes.get_position().height
    positions = spread([y for _, _, y, _ in points], 0.18 * (top - bottom) / inches)
    for (name, x, y, colour), position in zip(points, positions, strict=True):
        axes.annotate(
            _short(name), (x, y), (1.04, position), textcoords=("axes fraction", "data"), va="center", fontsize=9,
            color=dark(colour), parse_math=False,
            arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.6, "shrinkB": 5},
        )  # fmt: skip
    axes.set_ylim(bottom, top)


def dark(colour: str) -> str:
    """A darker colour for letters: yellow and light blue letters are hard to read on white."""
    return INK if colour in (ORANGE, SKY, PURPLE) else colour


def quiet_axes(axes: Axes, x: str, y: str) -> None:
    """Names the axes, with few ticks and a faint grid; an axis in logs keeps its own ticks."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(color=BAND, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "linear":
            axis.set_major_locator(MaxNLocator(5))
            axis.get_major_formatter().set_useOffset(False)  # type: ignore[attr-defined]


def bent(values: Iterable[float | None], usual: float | None) -> str:
    """What the axis says of itself where a value is FAR times `usual` from 0: one far arm would crowd the others."""
    far = usual is not None and any(value is not None and abs(value) > FAR * usual for value in values)
    return f"logarithmic beyond {usual:g}" if far else ""


def bend(axes: Axes, usual: float) -> None:
    """Makes the x axis logarithmic beyond `usual`, on both sides of 0."""
    axes.set_xscale("symlog", linthresh=usual)
    left, right = axes.get_xlim()
    ticks = [sign * usual * 10**power for sign in (-1, 1) for power in range(10)] + [0]
    axes.set_xticks([tick for tick in ticks if left <= tick <= right])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())


def _ring(axes: Axes, x: float, y: float, colour: str) -> None:
    axes.plot(x, y, "o", color="white", markeredgecolor=colour, markeredgewidth=2, markersize=8)


def _pens(names: Iterable[str], kinds: Mapping[str, str]) -> list[tuple[str, str]]:
    """(colour, dash) for each arm; when the colours of its kind begin again the dashes change."""
    drawers = {
        kind: itertools.cycle([(colour, dash) for dash in DASHES for colour in pens]) for kind, pens in PENS.items()
    }
    return [next(drawers[kinds[name]]) for name in names]


def _running_mean(values: Sequence[float], reach: int) -> list[float]:
    """The mean of each value and up to `reach` neighbours on both sides."""
    return [fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def _loss_words(steps: Sequence[Step]) -> str:
    first, last = steps[0], steps[-1]
    return f"from {first.loss:.2f} to {last.loss:.2f} in {last.step} steps"


def _is_right_half(dots: Sequence[Dot], interval: tuple[float, float]) -> bool:
    """Whether the first arm lies in the right half of the figure, so that a label has room to its left."""
    ends = [end for dot in dots for end in (dot.low, dot.mean, dot.high) if end is not None] + list(interval)
    return sum(interval) > min(ends) + max(ends)


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"


def _short(name: str) -> str:
    """The name with its middle left out when it is long: arms of one method differ at their ends."""
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[: half - 1]}…{name[-half:]}"


def _height(names: int) -> float:
    """Inches that leave room for a column of names."""
    return max(2.7, 0.8 + 0.22 * names)


def draw(key: str, label: str, paint: Callable[[Figure], None], height: float) -> str:
    """The SVG element of one figure, with `label` for those who do not see it; `key` keeps ids apart on a page."""
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a letter that matplotlib's font lacks is drawn by the browser
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        paint(figure)
        svg = rendered(figure)
    return _for_a_page(svg, key, label)


def rendered(figure: Figure) -> str:
    """The figure as an SVG document, without a date."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _for_a_page(svg: str, key: str, label: str) -> str:
    """The <svg> element alone, without a fixed size, named for screen readers, its ids made unique by `key`."""
    element = svg[svg.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>\s*", "", element, flags=re.DOTALL)
    element = re.sub(
        r"<[^>]+>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{key}-", tag[0]), element
    )  # in tags only: a user's words are between them
    _, _, inside = element.partition(">")
    box = re.search(r'viewBox="([^"]+)"', element)
    assert box is not None
    return (
        f'<svg viewBox="{box[1]}" role="img" aria-label="{html.escape(label)}" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{inside.strip()}'
    )
