"""One table of results: medians, the ratio to ours within each round, and the share of what the machine can do.

Behind each median stand, in brackets, the least and the largest of the rounds. `pages.py` puts tables into the docs.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.flops import SMOLLM2_135M, generation, peak, pretraining, training

RANK = 16
TITLES = {
    "train-lora": "Training, LoRA (r = 16, all linear layers), batch 16",
    "train-full": "Training, every parameter, batch 16",
    "pretrain-256": "From nothing, 6 layers of width 256, 4,096 tokens a step",
    "pretrain-512": "From nothing, 8 layers of width 512, 4,096 tokens a step",
    "generate-1": "Generation, one at a time",
    "generate-16": "Generation, a batch of 16",
    "generate-48": "Generation, one batch of 48",
    "generate-shots": "Generation, three shots in front of each dialogue, a batch of 16",
    "serve": "Serving, 48 clients at once",
    "busy": "A busy machine: as many spinning processes beside it as it has cores",
    "gpu-train-lora": "On a GPU: training, LoRA (r = 16, all linear layers), batch 16",
    "gpu-train-full": "On a GPU: training, every parameter, batch 16",
    "gpu-generate-48": "On a GPU: generation, one batch of 48",
}
Runs = list[dict[str, Any]]
FIRST_TOKENS = ("first_token_alone", "first_token_beside", "first_token_few")


def work(group: str) -> str:
    """'train', 'pretrain', 'generate', 'serve' or 'busy': the kind of work, on whatever device."""
    return group.removeprefix("gpu-").partition("-")[0]


def tokens(group: str, run: dict[str, Any]) -> int:
    """The tokens that are counted, real ones: all of them in training, the new ones in generation."""
    return int(run["tokens"] if work(group) in ("train", "pretrain") else run["new_tokens"])


def rate(group: str, run: dict[str, Any]) -> float:
    """Tokens a second; in generation the time of reading the prompts is counted in."""
    return float(tokens(group, run) / run["seconds"])


def ratios(group: str, ours: Runs, theirs: Runs) -> list[float]:
    """How many times as fast as theirs ours was, round by round: both saw the same hour of the machine."""
    by_round = {run["round"]: rate(group, run) for run in theirs}
    return [rate(group, run) / by_round[run["round"]] for run in ours if run["round"] in by_round]


def operations(group: str, run: dict[str, Any]) -> float:
    if work(group) == "train":
        return training(SMOLLM2_135M, run, RANK if group.endswith("lora") else None)
    return pretraining(run) if work(group) == "pretrain" else generation(SMOLLM2_135M, run)


def limit(results: dict[str, Any]) -> dict[str, float] | None:
    """The machine's best rates, each the highest of the rounds, since nothing makes a machine seem faster than it is;
    None where they were not measured.
    """
    runs = results["runs"].get("limit/machine") or results["runs"].get("gpu-limit/machine")
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
    make = _busy_rows if group == "busy" else _rate_rows
    heads, lines = make(results, group, rows)
    for key, reason in results["missing"].items():
        if key.startswith(f"{group}/") and key not in rows:
            lines.append([results["labels"][key], _not_run(reason), *[""] * (len(heads) - 2)])
    return "\n".join([_line(heads), "|---|" + "--:|" * (len(heads) - 1), *(_line(line) for line in lines)])


def _not_run(reason: str) -> str:
    return f"*{reason}*" if reason.startswith("not measured") else f"not run: {reason.replace('|', '/')}"


def _rate_rows(results: dict[str, Any], group: str, rows: dict[str, Runs]) -> tuple[list[str], list[list[str]]]:
    """(heads, a line a peer) of work that has a rate."""
    ours, best, kind = rows.get(f"{group}/ours", []), limit(results), work(group)
    more = {
        "generate": ["first answer as luthier's"],
        "serve": ["first token alone", "beside 15 streams", "of 16 at once"],
    }.get(kind, [])  # fmt: skip
    heads = [
        TITLES[group], "tokens/s" if kind in ("train", "pretrain") else "new tokens/s", "luthier is faster by",
        "seconds a 1,000", "CPU-seconds a 1,000", "share of peak", "peak memory", *more, "rounds",
    ]  # fmt: skip
    fastest_first = sorted(rows, key=lambda key: -median(rate(group, run) for run in rows[key]))
    return heads, [_row(results["labels"][key], group, rows[key], ours, best) for key in fastest_first]


def _row(label: str, group: str, runs: Runs, ours: Runs, best: dict[str, float] | None) -> list[str]:
    mine = runs is ours
    cells = [
        f"{f'**{label}**' if mine else label} ({runs[-1].get('precision', '')})",
        spread([rate(group, run) for run in runs], ",.0f"),
        "1" if mine else spread(ratios(group, ours, runs), ".2f", " x"),
        *(_per_thousand(group, runs, clock) for clock in ("seconds", "work_seconds")),
        share_of_peak(group, runs, best),
        f"{median(run['peak_bytes'] for run in runs) / 2**30:.1f} GiB",
    ]
    if work(group) == "generate":
        cells.append("" if mine or not ours else _agreement(ours[0]["answer"], runs[0]["answer"]))
    if work(group) == "serve":
        cells += [_median(runs, name, ".2f", " s") for name in FIRST_TOKENS]
    return [*cells, str(len(runs))]


def _busy_rows(results: dict[str, Any], group: str, rows: dict[str, Runs]) -> tuple[list[str], list[list[str]]]:
    """(heads, a line for each thing that people do): here the ratio is the result."""
    heads = [TITLES[group], "idle", "busy", "busy / idle", "CPU-seconds idle", "busy", "rounds"]
    lines = [
        [
            f"**{results['labels'][key]}**",
            _median(runs, "seconds", ".1f", " s"),
            _median(runs, "busy_seconds", ".1f", " s"),
            spread([run["busy_seconds"] / run["seconds"] for run in runs], ".2f", " x"),
            _median(runs, "work_seconds", ".1f"),
            _median(runs, "busy_work_seconds", ".1f"),
            str(len(runs)),
        ]
        for key, runs in rows.items()
    ]
    return heads, lines


def share_of_peak(group: str, runs: Runs, best: dict[str, float] | None) -> str:
    """Share of the better of the machine's fp32 and bf16 products; empty where the limit was not measured."""
    if best is None:
        return ""
    return f"{median(operations(group, run) / run['seconds'] for run in runs) / max(best['fp32'], best['bf16']):.0%}"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _per_thousand(group: str, runs: Runs, clock: str) -> str:
    """Seconds of a clock for 1,000 tokens; empty where it was not read."""
    known = [1000 * run[clock] / tokens(group, run) for run in runs if run.get(clock) is not None]
    return f"{median(known):.2f}" if known else ""


def _median(runs: Runs, name: str, form: str, unit: str = "") -> str:
    """Of the runs that measured it; empty where none did."""
    known = [run[name] for run in runs if run.get(name) is not None]
    return f"{median(known):{form}}{unit}" if known else ""


def spread(values: list[float], form: str, unit: str = "") -> str:
    """The median with the least and the largest of several rounds."""
    if not values:
        return "unknown"
    ends = f" ({min(values):{form}} to {max(values):{form}})" if len(values) > 1 else ""
    return f"{median(values):{form}}{unit}{ends}"


def _agreement(ours: list[int], theirs: list[int]) -> str:
    """How many tokens are the same before the first that is not: all of them, where both are exact in fp32."""
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), len(theirs))
    return f"{same} of {len(theirs)}"


def main() -> None:
    from bench.pages import write_pages  # which imports this file

    write_pages()


if __name__ == "__main__":
    main()
