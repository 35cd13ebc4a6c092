"""train(): the one training loop. It sees a module, a step that returns (loss_sum, count, tokens), and batches.

Every method of adapting and every model family goes through here. The loop accumulates gradients, clips them, steps,
evaluates, saves and resumes. It knows no tokens, no objective and no adapter.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from luthier.errors import FolderError, SettingsError
from luthier.files import replacing_through, sweep
from luthier.progress import Stopped, bar, check_stop, say
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.record import append_lines_of, read_lines_of, write_lines_of
from luthier.training.masters import Masters
from luthier.training.settings import Training

# Largest share of the time that writing checkpoints may take. Full fine-tuning writes 12 bytes a parameter.
MOST_SAVING = 0.05


class Batched(Protocol):
    """What the loop needs of its data: the number of steps, an iterator over micro-batches, and the position."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[list[Any]]: ...
    def state_dict(self) -> dict[str, int]: ...
    def load_state_dict(self, state: dict[str, int]) -> None: ...


@dataclass(frozen=True)
class Trained:
    """What training did, resumed runs included.

    `seconds` are those of the finished steps, `evaluation_seconds` those of the dev answers. `supervised` sums the
    counts by which the loss was divided.
    """

    steps: int
    tokens: int
    supervised: int
    seconds: float
    evaluation_seconds: float
    best_step: int
    best_metric: float | None


def train(
    module: nn.Module,
    step: Callable[[Any], tuple[Tensor, int, int]],
    batches: Batched,
    settings: Training,
    folder: Path,
    *,
    masters: Masters | None = None,
    evaluate: Callable[[], float] | None = None,
    rates: Mapping[str, float] | None = None,
    optimizers: Callable[[dict[str, nn.Parameter]], list[torch.optim.Optimizer]] | None = None,
    rate_at: Callable[[int, int, float], float] | None = None,
    seed: int = 0,
    decided_by: str = "",
    title: str = "train",
    log: Callable[..., None] = lambda event, **about: None,
) -> Trained:
    """Trains the parameters of `module` that require a gradient and leaves the best checkpoint in them.

    What is narrower than fp32 moves by `masters`; without them the loop makes its own.

    `step(micro_batch)` returns (summed loss, count to divide by, tokens seen). The gradient of an optimizer step is
    the sum over its micro-batches, divided once by their common count. So the split into micro-batches does not change
    the gradient. `evaluate()` returns a dev metric, higher is better; without it the last weights stay.
    `rates` maps a parameter name to its multiple of the learning rate; a missing name means 1.
    `optimizers(parameters)` makes other optimizers than AdamW, each of some of the parameters; a group of theirs may
    have a "multiple" of the learning rate. `rate_at(step, total, warmup)` gives its share, else `schedule`.
    `decided_by` is a hash of all that decides the result beside the module: examples, settings, the dev metric.
    `log(event, **about)` is called after each checkpoint is on disk.

    Writes `metrics.jsonl` and `checkpoint.safetensors` in `folder`. Resumes from a checkpoint that is there already
    and was `decided_by` the same; otherwise begins anew, and says so.
    Raises SettingsError when no parameter requires a gradient or the loss is not finite.
    """
    masters = masters or Masters(module)
    parameters = masters.moved
    if not parameters:
        raise SettingsError("no parameter requires a gradient, so there is nothing to train; choose another method")
    used: list[torch.optim.Optimizer] = (
        [
            torch.optim.AdamW(
                _groups(parameters, rates),
                lr=settings.learning_rate,
                weight_decay=settings.weight_decay,
                betas=(0.9, 0.999),
                fused=True,
            )
        ]
        if optimizers is None
        else optimizers(parameters)
    )
    state = _State(parameters, used, batches, folder, decided_by)
    state.resume()
    masters.write()
    total = len(batches)
    evaluate_at = {math.ceil(total * (i + 1) / settings.evaluations) for i in range(settings.evaluations)}

    module.train()
    saved_at, pause = time.monotonic(), settings.checkpoint_seconds
    with bar(title, total, "steps", done=state.progress.step) as shown:
        for micro_batches in batches:
            began = time.monotonic()
            rate = settings.learning_rate * (rate_at or schedule)(state.progress.step, total, settings.warmup)
            for group in (group for optimizer in used for group in optimizer.param_groups):
                group["lr"] = rate * group.get("multiple", 1.0)

            # Dropout is a function of seed and step, so that a resumed run repeats it on every device.
            torch.manual_seed(seed * 1_000_003 + state.progress.step)
            loss_sum, count, tokens = 0.0, 0, 0
            for micro_batch in micro_batches:
                loss, supervised, seen = step(micro_batch)
                loss.backward()
                loss_sum, count, tokens = loss_sum + float(loss.detach()), count + supervised, tokens + seen
            norm = _divide_and_clip(parameters, count, settings.clip_norm)
            # Before the weights move: a gradient may be infinite where the loss is not.
            if not (math.isfinite(loss_sum) and math.isfinite(norm)):
                raise SettingsError(
                    f"the loss is no longer a number at step {state.progress.step + 1} of {total}; "
                    f"lower the learning rate ({settings.learning_rate:g})"
                )
            for optimizer in used:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
            masters.write()

            seconds = time.monotonic() - began
            state.advance(tokens, count, seconds)
            row = Step(
                step=state.progress.step, loss_sum=loss_sum, count=count, tokens=tokens,
                learning_rate=rate, gradient_norm=norm, seconds=round(seconds, 3),
            )  # fmt: skip
            shown.advance(words=f"loss {loss_sum / count:.3f}  {tokens / seconds:,.0f} tokens/s")

            if evaluate is not None and state.progress.step in evaluate_at:
                began = time.monotonic()
                module.eval()
                metric = evaluate()
                module.train()
                state.record_evaluation(metric, time.monotonic() - began)
                row = row.model_copy(update={"dev": metric})
            append_lines_of(folder / METRICS_FILE, [row])

            last = state.progress.step == total
            try:
                check_stop()
            except Stopped:
                state.save()
                log("checkpoint", step=state.progress.step)
                raise
            if last or time.monotonic() - saved_at >= pause:
                began = time.monotonic()
                state.save()
                log("checkpoint", step=state.progress.step)
                saved_at = time.monotonic()
                if settings.checkpoint_seconds:
                    pause = max(settings.checkpoint_seconds, (saved_at - began) / MOST_SAVING)
    state.restore_best()
    masters.write()
    masters.close()
    module.eval()
    return state.result()


def schedule(step: int, total: int, warmup: float) -> float:
    """Share of the peak learning rate: a linear rise over `warmup` of the steps, then a linear fall towards 0."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return (step + 1) / rising
    return max(0.0, (total - step) / max(1, total - rising))


def _groups(parameters: dict[str, nn.Parameter], rates: Mapping[str, float] | None) -> list[dict[str, Any]]:
    """AdamW's parameter groups, one for each multiple of the learning rate. A parameter that `rates` lacks has 1."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters.items():
        groups.setdefault((rates or {}).get(name, 1.0), []).append(parameter)
    return [{"params": group, "multiple": multiple} for multiple, group in groups.items()]


def _divide_and_clip(parameters: dict[str, nn.Parameter], count: int, clip_norm: float) -> float:
    """Divides summed gradients by `count` and scales them to a norm of at most `clip_norm`.

    Returns the norm before clipping.
    """
    gradients = [p.grad for p in parameters.values() if p.grad is not None]
    norm = float(torch.nn.utils.get_total_norm(gradients)) / count
    scale = min(1.0, clip_norm / (norm + 1e-6)) / count
    torch._foreach_mul_(gradients, scale)
    return norm


@dataclass
class _Progress:
    """The counts of a run so far. Its fields are the keys of the JSON text in the checkpoint's metadata."""

    step: int = 0
    tokens: int = 0
    supervised: int = 0
    seconds: float = 0.0
    evaluation_seconds: float = 0.0
    best_step: int = 0
    best_metric: float | None = None


class _State:
    """Everything that a resumed run needs. It lies in one safetensors file, which each save replaces as a whole."""

    def __init__(
        self,
        parameters: dict[str, nn.Parameter],
        optimizers: list[torch.optim.Optimizer],
        batches: Batched,
        folder: Path,
        decided_by: str,
    ) -> None:
        self.parameters, self.batches, self.folder, self.decided_by = parameters, batches, folder, decided_by
        # Parameter -> the optimizer that moves it, and keeps its state.
        self.optimizer_of = {
            p: optimizer for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
        }
        self.path = folder / "checkpoint.safetensors"
        self.best: dict[str, Tensor] = {}
        self.progress = _Progress()

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

    def result(self) -> Trained:
        done = self.progress
        return Trained(
            steps=done.step,
            tokens=done.tokens,
            supervised=done.supervised,
            seconds=done.seconds,
            evaluation_seconds=done.evaluation_seconds,
            best_step=done.best_step or done.step,
            best_metric=done.best_metric,
        )

    def save(self) -> None:
        tensors = {f"weights/{name}": p.detach() for name, p in self.parameters.items()}
        # The best weights are written only where they differ from the current ones.
        if self.progress.best_step != self.progress.step:
            tensors |= {f"best/{name}": value for name, value in self.best.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer_of[parameter].state.get(parameter, {}).items():
                tensors[f"adam/{key}/{name}"] = torch.as_tensor(value)
        about = {"progress": json.dumps(asdict(self.progress)), "batches": json.dumps(self.batches.state_dict())}
        about["decided_by"] = self.decided_by
        whole = {name: t.contiguous() for name, t in tensors.items()}
        with replacing_through(self.path) as part:
            save_file(whole, part, metadata=about)  # from where each tensor is: no copy of the whole in between

    def resume(self) -> None:
        """Loads the checkpoint, and drops the rows of metrics.jsonl that were written after it."""
        metrics = self.folder / METRICS_FILE
        sweep(self.path)  # what a process left that was killed while it wrote
        if not self.path.exists():
            write_lines_of(metrics, [])
            return
        try:
            with safe_open(self.path, framework="pt") as stored:
                about = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a dict
        except SafetensorError:
            self._begin_anew("the checkpoint is damaged")
            return
        stored_shapes = {n.removeprefix("weights/"): t.shape for n, t in tensors.items() if n.startswith("weights/")}
        if stored_shapes != {name: parameter.shape for name, parameter in self.parameters.items()}:
            raise FolderError(f"{self.path}: belongs to another method or model; remove the arm's folder")
        if about.get("decided_by") != self.decided_by:
            self._begin_anew("the checkpoint was made of other examples or settings, or for another dev metric")
            return
        self.progress = _Progress(**json.loads(about["progress"]))
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
        write_lines_of(metrics, [row for row in read_lines_of(Step, metrics) if row.step <= self.progress.step])

    def _begin_anew(self, why: str) -> None:
        say(f"{self.path}: {why}, so the training begins anew")
        self.path.unlink()
        write_lines_of(self.folder / METRICS_FILE, [])
