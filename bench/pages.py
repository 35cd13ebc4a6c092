"""The results of every kind of machine as pages: README.md shows one table of each, docs/speed.md the others.

python -m bench.table      writes both between the markers <!-- bench --> and <!-- /bench -->
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.flops import SMOLLM2_135M, weight_bytes_moved
from bench.jobs import gpu_jobs
from bench.rounds import NO_GPU
from bench.table import TITLES, Runs, group_table, limit, rate, spread
from luthier.files import read_json, write_text

ROOT = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"
README, SPEED = ROOT / "README.md", ROOT / "docs" / "speed.md"
BEGIN, END = "<!-- bench -->", "<!-- /bench -->"
SHOWN = "train-lora"  # the table that README.md has
AXES = ("examples", "lengths")  # along which `scaling` grows the work
FEATURES = {
    "amx": "AMX", "avx512-bf16": "AVX-512 BF16", "avx512": "AVX-512", "avx2": "AVX2", "bf16": "bf16", "sve": "SVE",
    "neon": "NEON",
}  # fmt: skip


def all_results(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """Those of every kind of machine, the newest first."""
    found = [read_json(path) for path in sorted(folder.glob("*.json")) if not path.name.endswith(".old.json")]
    return sorted((one for one in found if runs_of(one)), key=last_day, reverse=True)


def runs_of(results: dict[str, Any]) -> Runs:
    return [run for runs in results["runs"].values() for run in runs]


def last_day(results: dict[str, Any]) -> str:
    return max(run.get("date", "") for run in runs_of(results))


def title(results: dict[str, Any]) -> str:
    """The kind in words."""
    machine = results["machine"]
    if machine.get("gpu"):
        return str(machine["gpu"])
    strongest = [FEATURES[name] for name in machine["features"][:1]]
    without = ["no AMX"] if "avx512-bf16" in machine["features"][:1] and "Intel" in machine["processor"] else []
    cores = f"{machine['cores']} core{'s' * (machine['cores'] != 1)}"
    return ", ".join([machine["processor"], *strongest, *without, cores])


def origin_line(results: dict[str, Any]) -> str:
    """Which days, commits and memory; a + marks a checkout with changes."""
    runs = runs_of(results)
    days = sorted({run["date"] for run in runs if run.get("date")})
    commits = sorted({run["commit"][:7] + ("+" if run["changed"] else "") for run in runs if run.get("commit")})
    when = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else "on an unknown day"
    memory = f"{results['machine']['memory_bytes'] / 2**30:.0f} GiB"
    return f"Measured {when} at {', '.join(commits) or 'an unknown commit'}; {memory} of memory."


def limit_line(results: dict[str, Any]) -> str:
    best = limit(results)
    if best is None:
        return ""
    return (
        f"Best matrix product: fp32 {best['fp32'] / 1e9:,.0f} GFLOP/s, bf16 {best['bf16'] / 1e9:,.0f} GFLOP/s; the "
        f"better one is the peak. Memory: read {best['read'] / 1e9:.1f} GB/s, triad {best['triad'] / 1e9:.1f} GB/s."
    )


def others_line(results: dict[str, Any]) -> str:
    """How busy others kept the machine while the runs that stand were made, and how often one was refused."""
    known = [run["others_cores"] for run in runs_of(results) if run.get("others_cores") is not None]
    if not known:
        return "How busy others kept the machine was not measured in these runs."
    unknown = len(runs_of(results)) - len(known)
    refused = len(results.get("refused", []))
    return (
        f"Others used {median(known):.2f} of a core during a run, at most {max(known):.2f}"
        + (f" (unknown of {unknown} runs)" if unknown else "")
        + (f"; {refused} runs that they disturbed more were refused." if refused else ".")
    )


def bandwidth_line(results: dict[str, Any]) -> str:
    """One answer at a time is bound by reading the weights: the share of the read bandwidth that ours reached."""
    runs, best = results["runs"].get("generate-1/ours"), limit(results)
    if not runs or best is None:
        return ""
    share = median(weight_bytes_moved(SMOLLM2_135M, run) / run["seconds"] / best["read"] for run in runs)
    return f"One answer at a time, luthier reads its weights at {share:.0%} of the memory's read bandwidth."


def arm_line(results: dict[str, Any]) -> str:
    """What a token of a LoRA arm's answers costs, beside one of the base's."""
    said = []
    for group, words in (("generate-1", "one at a time"), ("generate-48", "48 in a batch")):
        base, arm = (results["runs"].get(f"{group}/{name}", []) for name in ("ours", "ours-lora"))
        at = {run["round"]: rate(group, run) for run in arm}
        if ratios := [rate(group, run) / at[run["round"]] for run in base if run["round"] in at]:
            said.append(f"{spread(ratios, '.2f')} times the base's {words}")
    return f"A token of a LoRA arm's answer takes {', '.join(said)}." if said else ""


def growth_line(results: dict[str, Any]) -> str:
    """What 16 times the work cost in time."""
    runs = results["runs"].get("scaling/ours")
    if not runs:
        return ""
    examples, lengths = ([run[axis][-1]["seconds"] / run[axis][0]["seconds"] for run in runs] for axis in AXES)
    return (
        f"Training on 16 times the examples took {spread(examples, '.1f')} times the time, "
        f"on examples 16 times as long {spread(lengths, '.1f')} times."
    )


def groups(results: dict[str, Any]) -> list[str]:
    named = {key.partition("/")[0] for key in (*results["runs"], *results["missing"])}
    return [group for group in TITLES if group in named]


def tables(results: dict[str, Any], but: Sequence[str] = ()) -> str:
    """Everything that was measured on one kind of machine, as Markdown, without the groups `but`."""
    parts = [group_table(results, group) for group in groups(results) if group not in but]
    said = (bandwidth_line(results), arm_line(results), growth_line(results)) if runs_of(results) else ()
    return "\n\n".join(part for part in (*parts, *said) if part)


def readme_part(found: Sequence[dict[str, Any]]) -> str:
    """One table a kind."""
    parts = []
    for results in found:
        if SHOWN in groups(results):
            about = f"**{title(results)}.** {origin_line(results)} {others_line(results)}"
            parts += [about, limit_line(results), group_table(results, SHOWN)]
    return "\n\n".join(part for part in parts if part)


def speed_part(found: Sequence[dict[str, Any]]) -> str:
    """All other tables, a section a kind, and the rows that wait for a GPU."""
    parts: list[str] = []
    for results in found:
        parts += [f"## {title(results)}", f"{origin_line(results)} {others_line(results)}", limit_line(results)]
        parts += [tables(results, but=[SHOWN]), *_growth(results)]
    if not any(results["machine"].get("gpu") for results in found):
        parts += ["## A GPU", *_without_gpu()]
    return "\n\n".join(part for part in parts if part)


def _growth(results: dict[str, Any]) -> list[str]:
    drawn = f"bench/results/{results['machine']['kind']}.svg"
    return [f"![Time of training against the work](../{drawn})"] if (ROOT / drawn).exists() else []


def _without_gpu() -> Iterator[str]:
    """The tables of a machine without a GPU: every row is there, and says that it was not measured."""
    labels = {job.key: job.label for job in gpu_jobs()}
    empty: dict[str, Any] = {"runs": {}, "labels": labels, "missing": dict.fromkeys(labels, NO_GPU)}
    return (group_table(empty, group) for group in groups(empty))


def between_markers(text: str, content: str) -> str:
    """`text` with `content` between the markers. Raises ValueError where they are missing."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"no markers: write {BEGIN} and {END} on lines of their own where the tables shall stand")
    pattern = re.escape(BEGIN) + r".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{content}\n{END}", text, count=1, flags=re.DOTALL)


def pages(folder: Path = RESULTS) -> dict[Path, str]:
    """What README.md and docs/speed.md hold once these results are in them."""
    found = all_results(folder)
    parts = {README: readme_part(found), SPEED: speed_part(found)}
    return {path: between_markers(path.read_text(encoding="utf-8"), part) for path, part in parts.items()}


def write_pages() -> None:
    for path, text in pages().items():
        write_text(path, text)
