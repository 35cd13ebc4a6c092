"""The growth of training time as a small SVG: twice the work must take twice the time."""

from __future__ import annotations

import io
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")

from matplotlib import pyplot as plt

AXES = {"examples": "examples of 64 tokens", "lengths": "tokens an example, 4 examples"}


def growth(runs: list[dict[str, Any]], axis: str) -> list[dict[str, float]]:
    """Median seconds over the rounds for each amount of work along 'examples' or 'lengths'."""
    key = axis.removesuffix("s") if axis == "lengths" else axis
    return [
        {"at": points[0][key], "tokens": points[0]["tokens"], "seconds": median(p["seconds"] for p in points)}
        for points in zip(*(run[axis] for run in runs), strict=True)
    ]


def scaling_svg(runs: list[dict[str, Any]]) -> str:
    """Both axes side by side, logarithmic, with the line through the largest work that exact proportion would draw."""
    with plt.rc_context({"svg.hashsalt": "luthier", "font.size": 9}):
        figure, panels = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True, layout="constrained")
        for panel, (axis, title) in zip(panels, AXES.items(), strict=True):
            points = growth(runs, axis)
            x, y = [p["at"] for p in points], [p["seconds"] for p in points]
            panel.plot(x, [y[-1] * n / x[-1] for n in x], color="0.7", label="in proportion")
            panel.plot(x, y, "o-", color="C0", label="measured")
            panel.set(xscale="log", yscale="log", xlabel=title, xticks=x, xticklabels=x)
            panel.minorticks_off()
        panels[0].set_ylabel("seconds")
        panels[0].legend(frameon=False)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
        plt.close(figure)
    return out.getvalue()
