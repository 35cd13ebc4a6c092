"""luthier fits a language model to a task and proves that it fits.

    from luthier import load_task, study
    folder = study("dialogues", model="smollm2-135m", arms=["zero-shot", "lora"])

Everything that the command line does is one call of a name listed here. A name is imported when it is first asked
for, so that `import luthier` costs nothing and scoring or comparing never imports torch.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

# How often a thread of OpenMP looks for its next work before it sleeps. GNU's library looks 300,000 times, some
# milliseconds, which on a busy machine it takes from those who work: docs/decisions/0023-busy-machine.md. It reads this
# when torch is loaded; what the user chose stays.
_OPENMP = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
if "torch" not in sys.modules and not any(name in os.environ for name in _OPENMP):
    os.environ["GOMP_SPINCOUNT"] = "3000"
# oneDNN keeps a program for each shape of a product in bf16, 1,024 of them in .6 GB, and torch what it made of them
# again. Later batches have other shapes, and one pass needs some dozens (docs/log.md, 2026-11-30). Both are read at the
# first product.
if "torch" not in sys.modules:
    for _kept in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(_kept, "64")

if TYPE_CHECKING:  # what type checkers and editors read; _HOMES is what runs, and a test holds the two equal
    from luthier.adapt.method import Method as Method
    from luthier.adapt.methods import METHODS as METHODS
    from luthier.arms.answer import answer as answer
    from luthier.arms.ask import ask as ask
    from luthier.arms.ask import ask_probabilities as ask_probabilities
    from luthier.arms.merge import merge as merge
    from luthier.arms.merge import merge_arm as merge_arm
    from luthier.arms.planned import plan as plan
    from luthier.arms.ship import ship as ship
    from luthier.arms.ship_push import push as push
    from luthier.arms.ship_verify import verify as verify
    from luthier.arms.short_form import model_of as model_of
    from luthier.decoding.generate import fold as fold
    from luthier.decoding.generate import generate as generate
    from luthier.decoding.requests import Request as Request
    from luthier.decoding.settings import Generation as Generation
    from luthier.errors import DataError as DataError
    from luthier.errors import FolderError as FolderError
    from luthier.errors import LuthierError as LuthierError
    from luthier.errors import ModelError as ModelError
    from luthier.errors import PromptError as PromptError
    from luthier.errors import SettingsError as SettingsError
    from luthier.errors import TaskError as TaskError
    from luthier.metrics import METRICS as METRICS
    from luthier.model.model import Model as Model
    from luthier.model.model import load as load
    from luthier.rating.ballot import Ballot as Ballot
    from luthier.rating.ballot import open_ballot as open_ballot
    from luthier.rating.judge import judge as judge
    from luthier.records import Answer as Answer
    from luthier.records import Example as Example
    from luthier.records import Prompt as Prompt
    from luthier.records import Score as Score
    from luthier.records import Vote as Vote
    from luthier.reports.tasks import overview as overview
    from luthier.reports.write import report as report
    from luthier.scoring.score import score as score
    from luthier.scoring.words import Reading as Reading
    from luthier.serving.server import serve as serve
    from luthier.studies.multitask import multitask as multitask
    from luthier.studies.study import prompt_of as prompt_of
    from luthier.studies.study import study as study
    from luthier.suites.bench import bench as bench
    from luthier.suites.panel import panel as panel
    from luthier.task.check import check_task as check_task
    from luthier.task.create import init_task as init_task
    from luthier.task.findings import Finding as Finding
    from luthier.task.prompt import Renderer as Renderer
    from luthier.task.prompt import paint as paint
    from luthier.task.task import Task as Task
    from luthier.task.task import load_task as load_task
    from luthier.training.settings import Training as Training
    from luthier.verdicts.columns import compare_columns as compare_columns
    from luthier.verdicts.columns import from_columns as from_columns
    from luthier.verdicts.columns import score_columns as score_columns
    from luthier.verdicts.compare import compare as compare

__version__ = "0.1.0"

_HOMES = {  # public name -> the module it lives in
    "Answer": "records",
    "Ballot": "rating.ballot",
    "DataError": "errors",
    "Example": "records",
    "Finding": "task.findings",
    "FolderError": "errors",
    "Generation": "decoding.settings",
    "LuthierError": "errors",
    "METHODS": "adapt.methods",
    "METRICS": "metrics",
    "Method": "adapt.method",
    "Model": "model.model",
    "ModelError": "errors",
    "Prompt": "records",
    "PromptError": "errors",
    "Reading": "scoring.words",
    "Renderer": "task.prompt",
    "Request": "decoding.requests",
    "Score": "records",
    "SettingsError": "errors",
    "Task": "task.task",
    "TaskError": "errors",
    "Training": "training.settings",
    "Vote": "records",
    "answer": "arms.answer",
    "ask": "arms.ask",
    "ask_probabilities": "arms.ask",
    "bench": "suites.bench",
    "check_task": "task.check",
    "compare": "verdicts.compare",
    "compare_columns": "verdicts.columns",
    "fold": "decoding.generate",
    "from_columns": "verdicts.columns",
    "generate": "decoding.generate",
    "init_task": "task.create",
    "judge": "rating.judge",
    "load": "model.model",
    "load_task": "task.task",
    "merge": "arms.merge",
    "merge_arm": "arms.merge",
    "model_of": "arms.short_form",
    "multitask": "studies.multitask",
    "open_ballot": "rating.ballot",
    "overview": "reports.tasks",
    "paint": "task.prompt",
    "panel": "suites.panel",
    "plan": "arms.planned",
    "prompt_of": "studies.study",
    "push": "arms.ship_push",
    "report": "reports.write",
    "score": "scoring.score",
    "score_columns": "verdicts.columns",
    "serve": "serving.server",
    "ship": "arms.ship",
    "study": "studies.study",
    "verify": "arms.ship_verify",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, imported from its module now that somebody asks."""
    if name not in _HOMES:
        raise AttributeError(f"module 'luthier' has no attribute '{name}'")
    return getattr(import_module(f"luthier.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
