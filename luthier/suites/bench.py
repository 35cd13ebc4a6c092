"""`bench`: tasks of lm-eval asked of arms and models, with paired verdicts.

    lm-eval's tasks + HarnessModel --simple_evaluate--> items --paired statistics--> bench.json, bench.jsonl

lm-eval is an optional package. The panel's own tasks (`luthier_pairs`, `luthier_text`, `luthier_following`) are always
there, and are written into the folder so that others can run them.
"""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Mapping, Sequence
from importlib import metadata
from itertools import combinations
from pathlib import Path
from typing import Any

from luthier.arms.ask import load_source
from luthier.arms.shipped import Shipped
from luthier.errors import SettingsError
from luthier.files import possible, sha256_of_text
from luthier.machine import keep_freed_memory, versions
from luthier.model.quiet import quiet
from luthier.progress import say, stoppable
from luthier.results.bench_record import ITEMS_FILE, Bench, BenchItem, BenchMean, BenchPair
from luthier.results.record import write_lines_of
from luthier.stats.intervals import MIN_NONZERO, ends_of, finite_or_none, mean_of, paired, share_of
from luthier.stats.simultaneous import cautious, simultaneous_level, verdict
from luthier.suites.harness_tasks import write_tasks

LEVEL, MARGIN = 0.95, 0.02
OLDEST = (0, 4, 13)
INSTALL = "pip install 'lm-eval>=0.4.13', and then pip install 'chardet>=7.7,<8', which it replaces"

Items = dict[str, dict[str, dict[str, float]]]  # task -> item -> metric -> value


def bench(
    sources: Sequence[str | Path],
    *,
    tasks: Sequence[str],
    include: str | Path | None = None,
    out: str | Path | None = None,
    limit: int | None = None,
    few_shot: int | None = None,
    chat: bool = False,
    margin: float = MARGIN,
    seed: int = 0,
    command: str = "",
) -> Path:
    """Asks every one of `sources` (an arm's folder, a study, a model) the tasks; returns the folder with bench.json.

    include: a folder with tasks of the user's; limit: items a task; few_shot: solved examples in front, else as the
    task says; chat: through the model's chat template. out: the folder; else one in benchmarks/ for these sources and
    tasks. Raises SettingsError for a task or a package that is not there, and for a folder with the results of others.
    """
    keep_freed_memory()
    _refuse_without_harness()
    named = {_name_of(str(source), sources): str(source) for source in sources}
    if not 0 < margin < 1:
        raise SettingsError(f"margin {margin} is not between 0 and 1; 2 points are 0.02")
    asked = sha256_of_text(json.dumps([list(tasks), str(include or ""), limit, few_shot, chat, seed]))
    mark = sha256_of_text(asked, *(str(possible(source).resolve()) for source in named.values()))[:8]
    folder = possible(out) if out else Path("benchmarks") / f"{'-'.join(named)[:80].replace('/', '-')}-{mark}"
    stored = Bench.read_if_there(folder)
    if stored and (stored.asked_sha256 != asked or set(stored.models) != set(named)):
        raise SettingsError(f"{folder}: holds a benchmark of other models or tasks; name another folder with --out")
    own = write_tasks(folder / "tasks")
    found: dict[str, Items] = {}
    results: dict[str, Any] = {}
    weights: dict[str, str] = {}
    notes: list[str] = []
    with stoppable():
        for name, source in named.items():
            say(f"{name}: {', '.join(tasks)}")
            shipped = load_source(source, None)
            weights[name] = _weights(shipped)
            if stored and stored.models[name] != weights[name]:
                raise SettingsError(f"{folder}: {name} had other weights there; name another folder with --out")
            results[name], cut = _evaluate(shipped, tasks, folder / "tasks", include, limit, few_shot, chat, seed, own)
            found[name] = items_of(results[name]["samples"])
            if cut:
                notes.append(f"{name}: the beginning of {cut} requests did not fit into the context window.")
    write_lines_of(folder / ITEMS_FILE, _lines(found))
    record = _record(found, results, margin, notes)
    record.update(command=command or "luthier bench", limit=limit, chat=chat, few_shot=few_shot, models=weights)
    record["asked_sha256"] = asked
    Bench(**record).write(folder)
    return folder


def _refuse_without_harness() -> None:
    try:
        version = metadata.version("lm-eval")
    except metadata.PackageNotFoundError:
        raise SettingsError(f"bench needs lm-eval, which is not installed; {INSTALL}") from None
    if tuple(int(part) for part in version.split(".")[:3] if part.isdigit()) < OLDEST:
        raise SettingsError(f"bench needs lm-eval 0.4.13 or newer, and {version} is installed; {INSTALL}")


def _name_of(source: str, sources: Sequence[str | Path]) -> str:
    """The last part of a source's path, or all of it where two share that."""
    last = Path(source).name or source
    return source if sum(Path(str(one)).name == last for one in sources) > 1 else last


def _weights(shipped: Shipped) -> str:
    return shipped.fingerprint


def _evaluate(
    shipped: Shipped,
    tasks: Sequence[str],
    own_folder: Path,
    include: str | Path | None,
    limit: int | None,
    few_shot: int | None,
    chat: bool,
    seed: int,
    own: Sequence[str],
) -> tuple[Mapping[str, Any], int]:
    """lm-eval's results for one model, and how many requests lost their beginning."""
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    from luthier.suites.harness import HarnessModel

    folders = [str(own_folder), *([str(possible(include))] if include else [])]
    if include and not possible(include).is_dir():
        raise SettingsError(f"{include}: no such folder; --include names a folder with tasks (yaml files)")
    manager = TaskManager(include_path=folders, include_defaults=False)
    if set(tasks) - set(manager.all_tasks):  # lm-eval's own are thousands of files, which take a while to read
        manager = TaskManager(include_path=folders)
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise SettingsError(
            f"task '{unknown[0]}' is not known to lm-eval; luthier's own are {', '.join(own)}, and --include names a "
            "folder with yours"
        )
    model = HarnessModel(shipped.model, seed)
    with quiet():
        results = simple_evaluate(
            model=model, tasks=list(tasks), task_manager=manager, limit=limit, num_fewshot=few_shot,
            apply_chat_template=chat, log_samples=True, bootstrap_iters=0, random_seed=seed,
        )  # fmt: skip
    return results, model.cut


def items_of(samples: Mapping[str, Sequence[Mapping[str, Any]]]) -> Items:
    """task -> item -> metric -> value, of lm-eval's log of samples.

    A pair (log-likelihood, weight) of a rolling metric becomes this item's own number, in the metric's unit.
    """
    found: Items = {}
    for task, rows in samples.items():
        items = found.setdefault(task, {})
        for row in rows:
            values = items.setdefault(str(row["doc_id"]), {})
            for metric in row.get("metrics", ()):
                name = metric if row.get("filter", "none") == "none" else f"{metric},{row['filter']}"
                if (value := _value(metric, row.get(metric))) is not None:
                    values[name] = value
    return found


ROLLING = ("word_perplexity", "byte_perplexity", "bits_per_byte")  # an item gives (log-likelihood, weight)


def _value(metric: str, value: Any) -> float | None:
    """An item's own number; None where a metric is formed over all items, such as F1 of (right, said)."""
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else None
    if metric in ROLLING and isinstance(value, list | tuple) and len(value) == 2 and value[1] > 0:
        loglikelihood, weight = map(float, value)
        nats = -loglikelihood / weight
        return nats / math.log(2) if metric == "bits_per_byte" else math.exp(min(nats, 700))
    return None


def _lines(found: Mapping[str, Items]) -> list[BenchItem]:
    return [
        BenchItem(model=model, task=task, id=id, values=values)
        for model, items in found.items()
        for task, rows in items.items()
        for id, values in rows.items()
    ]


def _record(found: Mapping[str, Items], results: Mapping[str, Any], margin: float, notes: list[str]) -> dict[str, Any]:
    """The fields of bench.json that follow from the items."""
    first = next(iter(found.values()))
    directions: dict[str, dict[str, bool]] = {}
    tasks: dict[str, dict[str, dict[str, BenchMean]]] = {}
    for task, rows in first.items():
        every = [row for items in found.values() for row in items[task].values()]
        metrics = [name for name in next(iter(rows.values()), ()) if all(name in row for row in every)]
        dropped = sorted({name for row in every for name in row} - set(metrics))
        if dropped or not metrics:
            named = ", ".join(dropped) or "all metrics"
            notes = [*notes, f"{task}: not every item has a number of its own for {named}, so they are not compared."]
        higher = next(iter(results.values())).get("higher_is_better", {}).get(task, {})
        directions[task] = {metric: bool(higher.get(metric.partition(",")[0], True)) for metric in metrics}
        tasks[task] = {
            model: {m: _mean(items[task], m, results[model]["results"].get(task, {})) for m in metrics}
            for model, items in found.items()
        }
    pairs = _pairs(found, directions, margin)
    return {
        "format": 1, "versions": versions() | {"lm-eval": metadata.version("lm-eval")}, "level": LEVEL,
        "margin": margin,
        "tasks": tasks, "higher_is_better": directions, "pairs": tuple(pairs), "notes": tuple(notes),
    }  # fmt: skip


def _mean(rows: Mapping[str, Mapping[str, float]], metric: str, harness: Mapping[str, Any]) -> BenchMean:
    values = [row[metric] for row in rows.values()]
    estimate = share_of(values) if set(values) <= {0.0, 1.0} else mean_of(values)
    name = metric if "," in metric else f"{metric},none"
    own = harness.get(name)
    return BenchMean(
        mean=estimate.value, **ends_of(estimate.interval(LEVEL)), n=estimate.n,
        harness=finite_or_none(float(own)) if isinstance(own, int | float) else None,
    )  # fmt: skip


def _pairs(found: Mapping[str, Items], directions: Mapping[str, Mapping[str, bool]], margin: float) -> list[BenchPair]:
    """Every pair of models on each task's first metric."""
    compared = [(task, next(iter(metrics))) for task, metrics in directions.items() if metrics]
    models = list(combinations(found, 2))
    level = simultaneous_level(LEVEL, len(models) * len(compared))
    made = []
    for task, metric in compared:
        for a, b in models:
            ids = list(found[a][task])
            sign = 1 if directions[task][metric] else -1
            better = paired(*([sign * found[one][task][id][metric] for id in ids] for one in (a, b)))
            ends = better.interval(level)
            bounded = all(0 <= found[one][task][id][metric] <= 1 for one in (a, b) for id in ids)
            few = cautious(better, level) if bounded and better.nonzero < MIN_NONZERO else None
            judged = verdict(ends, margin=margin, n=better.n, nonzero=better.nonzero, few=few)
            shown = better if sign > 0 else better.turned()
            made.append(
                BenchPair(
                    task=task, metric=metric, a=a, b=b, difference=shown.value, **ends_of(shown.interval(level)),
                    n=better.n, verdict=judged,
                )
            )  # fmt: skip
    return made


MEANS = ("task", "metric", "model", "mean", "interval", "n", "lm-eval's own")
PAIRS = ("task", "metric", "a", "b", "a minus b", "interval", "verdict of a")


def mean_rows(record: Bench) -> list[tuple[str, ...]]:
    """The cells under MEANS."""
    return [
        (task, metric, model, f"{one.mean:.4f}", _ends(one), str(one.n), _number(one.harness))
        for task, models in record.tasks.items()
        for model, metrics in models.items()
        for metric, one in metrics.items()
    ]


def pair_rows(record: Bench) -> list[tuple[str, ...]]:
    """The cells under PAIRS."""
    return [
        (one.task, one.metric, one.a, one.b, f"{one.difference:+.4f}", _ends(one), one.verdict) for one in record.pairs
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _ends(of: BenchMean | BenchPair) -> str:
    return "unknown" if of.low is None or of.high is None else f"{of.low:.4f} to {of.high:.4f}"
