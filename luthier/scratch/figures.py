"""Figures as SVG: of scaling laws losses by compute, backtests, and optimal parameters; of trials means by band."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from luthier.reports.plots import (
    BAND,
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    draw,
    names_beside,
    quiet_axes,
)
from luthier.results.trial_record import TrialMean
from luthier.scratch.backtest import Predictor
from luthier.scratch.isoflop import Isoflop
from luthier.scratch.laws import Published

_LAW_PENS = ((SKY, "--"), (ORANGE, ":"), (GREEN, "-."), (PURPLE, (0, (5, 1, 1, 1, 1, 1))))


def losses(made: Predictor) -> str:
    """Every point, a line for each size, and the law's lowest loss at each compute with its interval."""
    points, law = made.points, made.minimum.law
    flops = np.geomspace(points.flops_n.min(), points.flops_n.max() * 10, 60)
    loss, low, high = made.tested.interval(*law.optimum(flops))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.fill_between(flops, low, high, color=BAND, linewidth=0)
        axes.plot(flops, loss, color=INK, linewidth=1.6)
        for size in np.unique(points.parameters_n):
            one = points.where(points.parameters_n == size)
            tokens = np.geomspace(one.tokens_n.min(), one.tokens_n.max(), 30)
            axes.plot(6 * size * tokens, law.loss(size, tokens), color=SKY, linewidth=0.6)
        axes.plot(points.flops_n, points.losses_n, ".", color=BLUE, markersize=4)
        quiet_axes(axes, "training compute (FLOPs)", "loss (nats)")

    label = f"{len(points)} losses by compute, and the law's lowest loss with its interval."
    return draw("loss", label, paint, 3.4)


def backtest(made: Predictor) -> str:
    """Errors of each cut's law beyond its cut, by distance, and the width that the interval takes from them."""
    tests = made.backtests

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        far = max((float(one.distances_m.max()) for one in tests), default=1.0)
        line = np.linspace(0, far, 40)
        if made.tested.width is not None:
            edge = 100 * made.tested.width * (1 + line)
            axes.fill_between(line, -edge, edge, color=BAND, linewidth=0)
        axes.axhline(0, color=GREY, linewidth=0.8)
        pens = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE)
        for one, colour in zip(tests, pens, strict=False):
            name = f"fitted below {one.quantile:.0%}"
            axes.plot(one.distances_m, 100 * one.errors_m, ".", color=colour, markersize=4, label=name)
        if tests:
            axes.legend(frameon=False, fontsize=8, loc="lower right")
        quiet_axes(axes, "distance beyond the fitted points (in spans)", "error (%)")

    words = "; ".join(f"fitted below {one.quantile:.0%}: 90 % of errors below {one.error:.1%}" for one in tests)
    return draw("backtest", f"Backtests. {words or 'None was possible'}.", paint, 3.2)


def optima(made: Predictor, second: Isoflop) -> str:
    """Compute-optimal parameters by compute: the fitted law with its interval, approach 2, and the published laws."""
    points, law = made.points, made.minimum.law
    flops = np.geomspace(points.flops_n.min(), points.flops_n.max() * 1e3, 60)
    ends = np.array([made.tested.optimum_interval(float(c))["parameters"] for c in flops[::6]])

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.fill_between(flops[::6], ends[:, 1], ends[:, 2], color=BAND, linewidth=0)
        for published, (colour, dash) in zip(Published.all(), _LAW_PENS, strict=True):
            axes.plot(flops, published.optimum(flops)[0], linestyle=dash, color=colour, linewidth=1.2,
                      label=published.name)  # fmt: skip
        axes.plot(flops, law.optimum(flops)[0], color=INK, linewidth=1.8, label="these points")
        used = [(one.flops, one.parameters) for one in second.budgets if one.parameters is not None]
        if used:
            axes.plot(*zip(*used, strict=True), "s", color=VERMILLION, markersize=4, label="approach 2")
        axes.legend(frameon=False, fontsize=8)
        quiet_axes(axes, "training compute (FLOPs)", "optimal parameters")

    label = "Compute-optimal parameters by compute, of these points and of four published laws."
    return draw("optimum", label, paint, 3.6)


def by_band(key: str, means: Sequence[TrialMean], x: str) -> str:
    """A trial's means over bands of positions or distances, a line an arm, each point with its interval."""
    ticks = list(dict.fromkeys(one.at for one in means))
    arms = list(dict.fromkeys(one.arm for one in means))

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        ends = []
        for number, (arm, colour) in enumerate(zip(arms, itertools.cycle((BLUE, VERMILLION, GREEN, ORANGE)))):
            own = [one for one in means if one.arm == arm]
            places = [ticks.index(one.at) + 0.08 * (number - (len(arms) - 1) / 2) for one in own]
            values = [one.value for one in own]
            axes.vlines(places, [one.low for one in own], [one.high for one in own], color=colour, linewidth=1.2)
            line, marker = "-" if number == 0 else "--", "os^D"[number % 4]
            axes.plot(places, values, line, color=colour, linewidth=1.4, marker=marker, markersize=4)
            ends.append((arm, places[-1], values[-1], colour))
        names_beside(figure, axes, ends)
        quiet_axes(axes, x, means[0].measure)
        axes.set_xticks(range(len(ticks)), [tick.replace(" to ", "\nto ") for tick in ticks], fontsize=8)

    words = "; ".join(f"{arm} " + ", ".join(f"{one.value:.3f}" for one in means if one.arm == arm) for arm in arms)
    return draw(key, f"{means[0].measure} at {x} {', '.join(ticks)}: {words}.", paint, 3.2)
