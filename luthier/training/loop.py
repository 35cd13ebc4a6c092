"""train(): the one training loop. It sees a module, a step that returns (loss_sum, count, tokens), and batches.

Every method of adapting and every model family goes through here. The loop accumulates gradients, clips them, steps,
evaluates, saves and resumes. It knows no tokens, no objective and no adapter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from luthier.errors import SettingsError
from luthier.progress import Stopped, bar, check_stop
from luthier.results.lines import METRICS_FILE, Step
from luthier.results.record import append_lines_of
from luthier.training.checkpoint import Batched, Progress, State, Trunk
from luthier.training.masters import Masters
from luthier.training.settings import Training

# Largest share of the time that writing checkpoints may take. Full fine-tuning writes 12 bytes a parameter.
MOST_SAVING = 0.05


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
    shared_steps: int = 0  # of `steps`, those that a shorter training had made; `seconds` has nothing of them


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
    trunk: Trunk | None = None,
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
    `trunk`: the steps that trainings of other lengths share. Rate and batches of these must not hang on the length. A
    training that began with a copy then ends as it would have without: the same weights, and the same metrics.jsonl but
    for its clock, where shared steps have no seconds.
    `log(event, **about)` is called after each checkpoint is on disk.

    Writes `metrics.jsonl` and `checkpoint.safetensors` in `folder`. Resumes from a checkpoint that is there already
    and was `decided_by` the same; otherwise begins anew, and says so.
    Raises SettingsError when no parameter requires a gradient, the loss is not finite or a dev metric would be taken in
    shared steps; FolderError for a copy of other steps.
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
    total = len(batches)
    evaluate_at = {math.ceil(total * (i + 1) / settings.evaluations) for i in range(settings.evaluations)}
    if trunk is not None and evaluate is not None and min(evaluate_at) <= trunk.steps:
        raise SettingsError(
            f"evaluations is {settings.evaluations}, and the dev metric would be taken in steps that longer trainings "
            "share; give 1"
        )
    state = State(parameters, used, batches, folder, decided_by, trunk)
    state.resume()
    masters.write()

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
            if trunk is not None and trunk.is_kept and state.progress.step == trunk.steps:
                state.keep_trunk(trunk)

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
    return _trained(state.progress)


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


def _trained(done: Progress) -> Trained:
    return Trained(
        steps=done.step,
        tokens=done.tokens,
        supervised=done.supervised,
        seconds=done.seconds,
        evaluation_seconds=done.evaluation_seconds,
        best_step=done.best_step or done.step,
        best_metric=done.best_metric,
        shared_steps=done.shared_steps,
    )
