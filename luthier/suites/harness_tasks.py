"""The panel as tasks of lm-eval, so that others can ask it of any model: a yaml and a jsonl file for each instrument.

    luthier_pairs      multiple_choice         acc
    luthier_text       loglikelihood_rolling   bits_per_byte
    luthier_following  generate_until          obeyed

The folder holds all that a task needs: `lm_eval --include_path FOLDER --tasks luthier_pairs`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from luthier.files import write_lines, write_text
from luthier.suites.asking import ANSWER_TOKENS
from luthier.suites.instructions import instructions
from luthier.suites.minimal_pairs import minimal_pairs
from luthier.suites.texts import documents

PREFIX = "luthier_"
_CHECKS = "luthier_requirements"


def write_tasks(folder: Path) -> list[str]:
    """Writes the tasks into `folder` and returns their names."""
    folder.mkdir(parents=True, exist_ok=True)
    _task(
        folder,
        "pairs",
        [{"id": one.id, "group": one.group, "choices": [one.right, one.wrong]} for one in minimal_pairs()],
        {
            "output_type": "multiple_choice", "doc_to_text": "", "doc_to_choice": "{{choices}}", "doc_to_target": 0,
            "target_delimiter": "", "metric_list": [_metric("acc", higher=True)],
        },
    )  # fmt: skip
    _task(
        folder,
        "text",
        [{"id": one.id, "group": one.group, "text": one.text} for one in documents()],
        {
            "output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "{{text}}",
            "metric_list": [{"metric": "bits_per_byte"}],
        },
    )  # fmt: skip
    write_text(folder / f"{_CHECKS}.py", checks())
    _task(
        folder,
        "following",
        [{"id": o.id, "group": o.group, "text": o.text, "requirements": o.requirements} for o in instructions()],
        {
            "output_type": "generate_until", "doc_to_text": "{{text}}", "doc_to_target": "",
            "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": ANSWER_TOKENS},
            "process_results": f"!function {_CHECKS}.process_results", "metric_list": [_metric("obeyed", higher=True)],
        },
    )  # fmt: skip
    return [f"{PREFIX}{name}" for name in ("pairs", "text", "following")]


def checks() -> str:
    """The source of what checks whether a requirement is obeyed."""
    return (files("luthier.suites") / "requirements.py").read_text(encoding="utf-8")


def _metric(name: str, higher: bool) -> dict[str, Any]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": higher}


def _task(folder: Path, name: str, rows: list[dict[str, Any]], keys: dict[str, Any]) -> None:
    data = folder.resolve() / f"{PREFIX}{name}.jsonl"
    write_lines(data, rows)
    whole = {
        "task": f"{PREFIX}{name}",
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str(data)}},
        "test_split": "test",
        **keys,
        "metadata": {"version": 1.0},
    }
    # JSON is YAML, but for a function, which no quotes may surround.
    lines = [
        f"{key}: {value if str(value).startswith('!function') else json.dumps(value, ensure_ascii=False)}"
        for key, value in whole.items()
    ]
    write_text(folder / f"{PREFIX}{name}.yaml", "\n".join(lines) + "\n")
