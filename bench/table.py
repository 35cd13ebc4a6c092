"""The results as tables: medians, the ratio to ours within each round, and the share of what the machine can do.

Behind each median stand, in brackets, the least and the largest of the rounds.

`python -m bench.table README.md` writes them between the markers `<!-- bench -->` and `<!-- /bench -->`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from statistics import median
from typing import Any

from bench.flops import SMOLLM2_135M, generation, peak, training, weight_bytes_moved
from luthier.files import read_json, write_text

RESULTS = Path(__file__).parent / "results" / "results.json"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
RANK = 16
AXES = ("examples", "lengths")  # along which `scaling` grows the work
TITLES = {
    "train-lora": "Training, LoRA (r = 16, all linear layers), batch 16",
    "train-full": "Training, every parameter, batch 16",
    "generate-1": "Generation, one at a time",
    "generate-16": "Generation, a batch of 16",
    "generate-48": "Generation, one batch of 48",
    "serve": "Serving, 48 clients at once",
    "generate-shots": "Generation, three shots in front of each dialogue, a batch of 16",
}
Runs = list[dict[str, Any]]


def rate(group: str, run: dict[str, Any]) -> float:
    """Real tokens a second: all of them in training, the new ones in generation; prompts' time is counted in."""
    tokens = run["tokens"] if group.startswith("train") else run["new_tokens"]
    return float(tokens / run["seconds"])


def ratios(group: str, ours: Runs, theirs: Runs) -> list[float]:
    """How many times as fast as theirs ours was, round by round: both saw the same hour of the machine."""
    by_round = {run["round"]: rate(group, run) for run in theirs}
    return [rate(group, run) / by_round[run["round"]] for run in ours if run["round"] in by_round]


def operations(group: str, run: dict[str, Any]) -> int:
    if group.startswith("train"):
        return training(SMOLLM2_135M, run, RANK if group == "train-lora" else None)
    return generation(SMOLLM2_135M, run)


def limit(results: dict[str, Any]) -> dict[str, float] | None:
    """The machine's best rates, each the highest of the rounds, since nothing makes a machine seem faster than it is;
    None where they were not measured.
    """
    runs = results["runs"].get("limit/machine")
    if not runs:
        return None
    return {
        "fp32": max(peak(run, "fp32") for run in runs),
        "bf16": max(peak(run, "bf16") for run in runs),
        "read": max(run["read_bytes_per_second"] for run in runs),
        "triad": max(run["triad_bytes_per_second"] for run in runs),
    }


def group_table(results: dict[str, Any], group: str) -> str:
    """One row a peer, fastest first, and one for each that could not be run."""
    rows = {key: runs for key, runs in results["runs"].items() if key.startswith(f"{group}/")}
    ours, best = rows.get(f"{group}/ours", []), limit(results)
    answers = group.startswith("generate")
    heads = [
        TITLES[group],
        "new tokens/s" if answers else "tokens/s",
        "luthier is faster by",
        "share of fp32 peak",
        "of bf16 peak",
        "peak memory",
        *(["first answer as luthier's"] if answers else []),
        "rounds",
    ]
    lines = [_line(heads), "|---|" + "--:|" * (len(heads) - 1)]
    for key in sorted(rows, key=lambda key: -median(rate(group, run) for run in rows[key])):
        lines.append(_line(_row(results["labels"][key], group, rows[key], ours, best)))
    for key, reason in results["missing"].items():
        if key.startswith(f"{group}/") and key not in rows:
            said = f"not run: {reason.replace('|', '/')}"
            lines.append(_line([results["labels"][key], said, *[""] * (len(heads) - 2)]))
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _row(label: str, group: str, runs: Runs, ours: Runs, best: dict[str, float] | None) -> list[str]:
    mine = runs is ours
    cells = [
        f"{f'**{label}**' if mine else label} ({runs[-1].get('precision', '')})",
        _spread([rate(group, run) for run in runs], ",.0f"),
        "1" if mine else _spread(ratios(group, ours, runs), ".2f", " x"),
        *_shares(group, runs, best),
        f"{median(run['peak_bytes'] for run in runs) / 2**30:.1f} GiB",
    ]
    if group.startswith("generate"):
        cells.append("" if mine or not ours else _agreement(ours[0]["answer"], runs[0]["answer"]))
    return [*cells, str(len(runs))]


def _shares(group: str, runs: Runs, best: dict[str, float] | None) -> list[str]:
    """Share of the fp32 and the bf16 peak; empty where the limit was not measured."""
    if best is None:
        return ["", ""]
    rates = [operations(group, run) / run["seconds"] for run in runs]
    return [f"{median(rates) / best[name]:.0%}" for name in ("fp32", "bf16")]


def _spread(values: list[float], form: str, unit: str = "") -> str:
    """The median with the least and the largest of several rounds."""
    if not values:
        return "unknown"
    ends = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
    return f"{median(values):{form}}{unit}{ends}"


def _agreement(ours: list[int], theirs: list[int]) -> str:
    """How many tokens are the same before the first that is not: all of them, where both are exact in fp32."""
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))
    return f"{same} of {len(theirs)}"


def origin_line(results: dict[str, Any]) -> str:
    """What machine, and which commits; a + marks a checkout with changes."""
    runs = [run for found in results["runs"].values() for run in found]
    if not runs:
        return ""
    machine = results["machine"]
    commits = sorted({run["commit"][:7] + ("+" if run["changed"] else "") for run in runs if run.get("commit")})
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_bytes'] / 2**30:.0f} GiB; "
        f"commit {', '.join(commits) or 'unknown'}."
    )


def limit_line(results: dict[str, Any]) -> str:
    best = limit(results)
    if best is None:
        return ""
    return (
        f"Best matrix product: fp32 {best['fp32'] / 1e9:,.0f} GFLOP/s, bf16 {best['bf16'] / 1e9:,.0f} GFLOP/s. "
        f"Memory: read {best['read'] / 1e9:.1f} GB/s, triad {best['triad'] / 1e9:.1f} GB/s."
    )


def bandwidth_line(results: dict[str, Any]) -> str:
    """One answer at a time is bound by reading the weights: the share of the read bandwidth that ours reached."""
    runs, best = results["runs"].get("generate-1/ours"), limit(results)
    if not runs or best is None:
        return ""
    share = median(weight_bytes_moved(SMOLLM2_135M, run) / run["seconds"] / best["read"] for run in runs)
    return f"One answer at a time, luthier reads its weights at {share:.0%} of the memory's read bandwidth."


def growth_line(results: dict[str, Any]) -> str:
    """What 16 times the work cost in time."""
    runs = results["runs"].get("scaling/ours")
    if not runs:
        return ""
    examples, lengths = ([run[axis][-1]["seconds"] / run[axis][0]["seconds"] for run in runs] for axis in AXES)
    return (
        f"Training on 16 times the examples took {_spread(examples, '.1f')} times the time, "
        f"on examples 16 times as long {_spread(lengths, '.1f')} times."
    )


def tables(results: dict[str, Any]) -> str:
    """Everything that was measured, as Markdown."""
    groups = {key.partition("/")[0] for key in (*results["runs"], *results["missing"])}
    parts = [group_table(results, group) for group in TITLES if group in groups]
    said = (limit_line(results), bandwidth_line(results), growth_line(results), origin_line(results))
    return "\n\n".join(part for part in (*parts, *said) if part)


def between_markers(text: str, content: str) -> str:
    """`text` with `content` between the markers. Raises ValueError where they are missing."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"no markers: write {BEGIN} and {END} on lines of their own where the tables shall stand")
    pattern = re.escape(BEGIN) + r".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{content}\n{END}", text, count=1, flags=re.DOTALL)


def main() -> None:
    content = tables(read_json(RESULTS))
    for name in sys.argv[1:]:
        write_text(Path(name), between_markers(Path(name).read_text(encoding="utf-8"), content))
    if not sys.argv[1:]:
        print(content)


if __name__ == "__main__":
    main()
