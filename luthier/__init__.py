"""luthier fits a language model to a task and proves that it fits.

    from luthier import load_task, study
    folder = study("dialogues", model="smollm2-135m", arms=["zero-shot", "lora"])

Everything that the command line does is one call of a name listed here. A name is imported when it is first asked
for, so that `import luthier` costs nothing and scoring or comparing never imports torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors read; _HOMES is what runs, and a test holds the two equal
    from luthier.adapt import METHODS as METHODS
    from luthier.adapt import Method as Method
    from luthier.arms import model_of as model_of
    from luthier.ballot import Ballot as Ballot
    from luthier.ballot import open_ballot as open_ballot
    from luthier.check import check_task as check_task
    from luthier.columns import compare_columns as compare_columns
    from luthier.columns import from_columns as from_columns
    from luthier.columns import score_columns as score_columns
    from luthier.compare import compare as compare
    from luthier.errors import DataError as DataError
    from luthier.errors import FolderError as FolderError
    from luthier.errors import LuthierError as LuthierError
    from luthier.errors import ModelError as ModelError
    from luthier.errors import PromptError as PromptError
    from luthier.errors import SettingsError as SettingsError
    from luthier.errors import TaskError as TaskError
    from luthier.findings import Finding as Finding
    from luthier.generate import Request as Request
    from luthier.generate import fold as fold
    from luthier.generate import generate as generate
    from luthier.judge import judge as judge
    from luthier.loop import Training as Training
    from luthier.model import Model as Model
    from luthier.model import load as load
    from luthier.multitask import multitask as multitask
    from luthier.newtask import init_task as init_task
    from luthier.overview import overview as overview
    from luthier.prompt import Renderer as Renderer
    from luthier.prompt import paint as paint
    from luthier.records import Answer as Answer
    from luthier.records import Example as Example
    from luthier.records import Prompt as Prompt
    from luthier.records import Score as Score
    from luthier.records import Vote as Vote
    from luthier.report import report as report
    from luthier.sampling import Generation as Generation
    from luthier.score import METRICS as METRICS
    from luthier.score import score as score
    from luthier.ship import ask as ask
    from luthier.ship import ask_probabilities as ask_probabilities
    from luthier.ship import merge as merge
    from luthier.ship import merge_arm as merge_arm
    from luthier.study import prompt_of as prompt_of
    from luthier.study import study as study
    from luthier.task import Task as Task
    from luthier.task import load_task as load_task

__version__ = "0.1.0"

_HOMES = {  # public name -> the module it lives in
    "Answer": "records",
    "Ballot": "ballot",
    "DataError": "errors",
    "Example": "records",
    "Finding": "findings",
    "FolderError": "errors",
    "Generation": "sampling",
    "LuthierError": "errors",
    "METHODS": "adapt",
    "METRICS": "score",
    "Method": "adapt",
    "Model": "model",
    "ModelError": "errors",
    "Prompt": "records",
    "PromptError": "errors",
    "Renderer": "prompt",
    "Request": "generate",
    "Score": "records",
    "SettingsError": "errors",
    "Task": "task",
    "TaskError": "errors",
    "Training": "loop",
    "Vote": "records",
    "ask": "ship",
    "ask_probabilities": "ship",
    "check_task": "check",
    "compare": "compare",
    "compare_columns": "columns",
    "fold": "generate",
    "from_columns": "columns",
    "generate": "generate",
    "init_task": "newtask",
    "judge": "judge",
    "load": "model",
    "load_task": "task",
    "merge": "ship",
    "merge_arm": "ship",
    "model_of": "arms",
    "multitask": "multitask",
    "open_ballot": "ballot",
    "overview": "overview",
    "paint": "prompt",
    "prompt_of": "study",
    "report": "report",
    "score": "score",
    "score_columns": "columns",
    "study": "study",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """A public name, imported from its module now that somebody asks."""
    if name not in _HOMES:
        raise AttributeError(f"module 'luthier' has no attribute '{name}'")
    return getattr(import_module(f"luthier.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


class _Package(ModuleType):
    """Keeps `luthier.score` the function. Importing the submodule of that name would bind the module there instead,
    and what `from luthier import score` gives would hang on what was imported before it."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
