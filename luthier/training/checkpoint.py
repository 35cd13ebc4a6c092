"""A training's state on disk: what it needs to go on, and the copy that longer trainings begin with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from luthier.errors import FolderError
from luthier.files import replacing_through, sweep
from luthier.progress import say
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.record import read_lines_of, write_lines_of

TRUNK_FILE = "trunk.safetensors"


class Batched(Protocol):
    """What the loop needs of its data: the number of steps, an iterator over micro-batches, and the position."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[list[Any]]: ...
    def state_dict(self) -> dict[str, int]: ...
    def load_state_dict(self, state: dict[str, int]) -> None: ...


@dataclass(frozen=True)
class Trunk:
    """The first steps of a training, which longer ones have in common with it and need not make again.

    steps: as many are shared. With `is_kept` a copy of the checkpoint behind them stays as TRUNK_FILE.
    decided_by: a hash of all that decides these steps: what decides the result, but for the length.
    begin: the folder of a finished shorter training, with whose copy this one begins where it has one.
    """

    steps: int
    is_kept: bool
    decided_by: str
    begin: Path | None = None


@dataclass
class Progress:
    """The counts of a run so far. Its fields are the keys of the JSON text in the checkpoint's metadata."""

    step: int = 0
    tokens: int = 0
    supervised: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    best_step: int = 0
    best_metric: float | None = None
    shared_steps: int = 0

    def as_json(self) -> str:
        """As checkpoints have it; `shared_steps` only where there are any."""
        return json.dumps({key: value for key, value in asdict(self).items() if key != "shared_steps" or value})


class Unfit(Exception):
    """Why a checkpoint is none of this training."""


class State:
    """Everything that a resumed run needs. It lies in one safetensors file, which each save replaces as a whole."""

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        optimizers: list[torch.optim.Optimizer],
        batches: Batched,
        folder: Path,
        decided_by: str,
        trunk: Trunk | None,
    ) -> None:
        self.parameters, self.batches, self.folder, self.decided_by = parameters, batches, folder, decided_by
        self.trunk = trunk
        # Parameter -> the optimizer that moves it, and keeps its state.
        self.optimizer_of = {
            p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
        }
        self.path = folder / "checkpoint.safetensors"
        self.best: dict[str, Tensor] = {}
        self.progress = Progress()

    def advance(self, tokens: int, supervised: int, seconds: float) -> None:
        self.progress.step += 1
        self.progress.tokens += tokens
        self.progress.supervised += supervised
        self.progress.seconds += seconds

    def record_evaluation(self, metric: float, seconds: float) -> None:
        """Keeps the weights if the dev metric is better than every earlier one; of equal metrics the first wins."""
        self.progress.evaluation_seconds += seconds
        if self.progress.best_metric is None or metric > self.progress.best_metric:
            self.progress.best_metric, self.progress.best_step = metric, self.progress.step
            self.best = {name: p.detach().clone() for name, p in self.parameters.items()}

    def restore_best(self) -> None:
        with torch.no_grad():
            for name, value in self.best.items():
                self.parameters[name].copy_(value)

    def save(self) -> None:
        self._write(self.path, self.decided_by)

    def keep_trunk(self, trunk: Trunk) -> None:
        """Keeps a copy of the checkpoint, for longer trainings."""
        self._write(self.folder / TRUNK_FILE, trunk.decided_by)

    def _write(self, path: Path, decided_by: str) -> None:
        tensors = {f"weights/{name}": p.detach() for name, p in self.parameters.items()}
        # The best weights are written only where they differ from the current ones.
        if self.progress.best_step != self.progress.step:
            tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer_of[parameter].state.get(parameter, {}).items():
                tensors[f"adam/{key}/{name}"] = torch.as_tensor(value)
        about = {"progress": self.progress.as_json(), "batches": json.dumps(self.batches.state_dict())}
        about["decided_by"] = decided_by
        whole = {name: t.contiguous() for name, t in tensors.items()}
        with replacing_through(path) as part:
            save_file(whole, part, metadata=about)  # from where each tensor is: no copy of the whole in between

    def resume(self) -> None:
        """Loads the checkpoint, and drops the rows of metrics.jsonl that were written after it.

        Without one it begins where a shorter training left a copy, or from nothing.
        """
        metrics = self.folder / METRICS_FILE
        for path in (self.path, self.folder / TRUNK_FILE):
            sweep(path)  # what a process left that was killed while it wrote
        if self._goes_on():
            rows = [row for row in read_lines_of(Step, metrics) if row.step <= self.progress.step]
        else:
            rows = self._taken_over()
        write_lines_of(metrics, rows)

    def _goes_on(self) -> bool:
        """Loads the checkpoint, and says whether there was one of this training. Another one is removed."""
        if not self.path.exists():
            return False
        try:
            self._load(self.path, self.decided_by)
        except Unfit as why:
            say(f"{self.path}: {why}, so the training begins anew")
            self.path.unlink()
            return False
        return True

    def _taken_over(self) -> list[Step]:
        """Begins with the copy that a shorter training kept, where there is one. Returns the steps that it had made.

        Raises FolderError for a copy of other steps.
        """
        if self.trunk is None or self.trunk.begin is None or not (copy := self.trunk.begin / TRUNK_FILE).exists():
            return []
        try:
            self._load(copy, self.trunk.decided_by)
            shared = self.progress.step
            rows = read_lines_of(Step, self.trunk.begin / METRICS_FILE)[:shared]
            if shared > self.trunk.steps or [row.step for row in rows] != list(range(1, shared + 1)):
                raise Unfit(f"it has {shared} steps, and {self.trunk.steps} are shared, {len(rows)} written down")
        except Unfit as why:
            raise FolderError(f"{copy}: {why}; remove it, and the training begins from nothing") from None
        self.progress.shared_steps, self.progress.seconds = shared, 0.0
        return [row.model_copy(update={"seconds": 0.0}) for row in rows]

    def _load(self, path: Path, decided_by: str) -> None:
        """Raises Unfit for a file that is damaged or was decided by something else, FolderError for another model's."""
        try:
            with safe_open(path, framework="pt") as stored:
                about = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError:
            raise Unfit("the checkpoint is damaged") from None
        stored_shapes = {n.removeprefix("weights/"): t.shape for n, t in tensors.items() if n.startswith("weights/")}
        if stored_shapes != {name: parameter.shape for name, parameter in self.parameters.items()}:
            raise FolderError(f"{path}: belongs to another method or model; remove the arm's folder")
        if about.get("decided_by") != decided_by:
            raise Unfit("the checkpoint was made of other examples or settings, or for another dev metric")
        self.progress = Progress(**json.loads(about["progress"]))
        self.batches.load_state_dict(json.loads(about["batches"]))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weights/{name}"])
        for name, parameter in self.parameters.items():
            keys = [n.split("/")[1] for n in tensors if n.startswith("adam/") and n.split("/", 2)[2] == name]
            # The step count stays on the CPU, where AdamW reads it; the moments go where the weights are.
            self.optimizer_of[parameter].state[parameter] = {
                key: tensors[f"adam/{key}/{name}"].to("cpu" if key == "step" else parameter.device) for key in keys
            }
        source = "weights/" if self.progress.best_step == self.progress.step else "best/"
        if self.progress.best_step:
            self.best = {name: tensors[source + name].to(p.device) for name, p in self.parameters.items()}
