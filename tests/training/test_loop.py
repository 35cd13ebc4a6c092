"""The one loop: it resumes bit for bit, accumulates without error, keeps the best, and stops where it says."""

from __future__ import annotations

import inspect
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from luthier import progress
from luthier.adapt.methods import method
from luthier.errors import FolderError, SettingsError
from luthier.files import read_lines
from luthier.model.forward import collate, supervised_loss
from luthier.model.model import Model
from luthier.training import loop
from luthier.training.batches import Batches
from luthier.training.loop import schedule, train
from luthier.training.settings import Training
from tests import tiny

SETTINGS = Training(learning_rate=0.01, batch_size=4, micro_tokens=400, epochs=2, evaluations=3, checkpoint_seconds=0)


class Killed(BaseException):
    """What kill -9 would do, in one process."""


class Run:
    """One training of a tiny model in a folder; every run begins from the same weights and does the same."""

    def __init__(
        self, model_folder: Path, folder: Path, name: str = "lora", training: Training = SETTINGS,
        precision: str = "fp32",
    ) -> None:  # fmt: skip
        self.model: Model = tiny.fresh(model_folder, precision)
        settings = method(name).settings(**({"rank": 4, "dropout": 0.2} if name == "lora" else {}))
        self.module = method(name).apply(self.model, settings, 0)
        prompts = tiny.train_prompts(self.model, 10)
        self.batches = Batches(
            prompts, batch_size=training.batch_size, micro_tokens=training.micro_tokens, epochs=training.epochs, seed=3
        )
        self.folder, self.training = folder, training
        self.steps_seen = 0

    def step(self, micro_batch: Any) -> tuple[torch.Tensor, int, int]:
        batch = collate(micro_batch, self.module, self.model.family)
        loss, count = supervised_loss(self.module, batch)
        return loss, count, batch.tokens

    def evaluate(self) -> float:
        """A dev metric that takes random numbers too, as an answer might: training must not feel it."""
        torch.rand(3)
        with torch.no_grad():
            return -float(self.step(tiny.train_prompts(self.model, 3))[0])

    def train(self, **more: Any) -> Any:
        return train(
            self.module, self.step, self.batches, self.training, self.folder, **{"evaluate": self.evaluate, **more}
        )

    def metrics(self) -> list[dict[str, Any]]:
        """The rows without their clock."""
        return [{k: v for k, v in row.items() if k != "seconds"} for row in read_lines(self.folder / "metrics.jsonl")]


def same(first: nn.Module, second: nn.Module) -> bool:
    mine, theirs = tiny.weights(first), tiny.weights(second)
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def interrupt(run: Run, at: int, how: Callable[[], None]) -> None:
    """Lets `how` happen inside step number `at` of this sitting."""
    plain, batches = run.step, iter(run.batches)
    calls = 0

    class Counted:
        def __len__(self) -> int:
            return len(run.batches)

        def __iter__(self) -> Iterator[Any]:
            nonlocal calls
            for item in batches:
                calls += 1
                yield item

        state_dict = run.batches.state_dict
        load_state_dict = run.batches.load_state_dict

    def step(micro_batch: Any) -> Any:
        if calls == at:
            how()
        return plain(micro_batch)

    train(run.module, step, Counted(), run.training, run.folder, evaluate=run.evaluate)


def press() -> None:
    progress._stop.set()


def kill() -> None:
    raise Killed


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", [press, kill], ids=["ctrl-c", "kill"])
@pytest.mark.parametrize(
    "kind, name",
    [("decoder-chat", "lora"), ("bart", "soft"), pytest.param("t5-untied", "full", marks=[pytest.mark.slow])],
)
def test_a_run_stopped_at_every_step_ends_with_the_same_bits(
    kind: str, name: str, how: Callable[[], None], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """With dropout on: T5 and BART have their own, LoRA's is .2."""
    model_folder = tiny_folder(kind)
    whole = Run(model_folder, tmp_path / "whole", name)
    expected = whole.train()
    assert expected.steps == 6 and len(whole.metrics()) == 6
    for stop in range(1, 7):
        folder = tmp_path / f"stopped-{stop}"
        with pytest.raises((progress.Stopped, Killed)):
            interrupt(Run(model_folder, folder, name), stop, how)
        progress._stop.clear()
        again = Run(model_folder, folder, name)
        result = again.train()
        assert same(again.module, whole.module), stop
        assert again.metrics() == whole.metrics(), stop
        assert (result.tokens, result.supervised, result.best_step, result.best_metric) == (
            expected.tokens,
            expected.supervised,
            expected.best_step,
            expected.best_metric,
        )


def test_dropout_is_on_and_seeded(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    """The proof that the test above sees dropout: another seed gives other weights."""
    runs = [Run(tiny_folder("t5-tied"), tmp_path / str(i), "full") for i in range(3)]
    for run, seed in zip(runs, (0, 0, 1), strict=True):
        run.train(seed=seed)
    assert same(runs[0].module, runs[1].module)
    assert not same(runs[0].module, runs[2].module)


def test_rows_written_after_the_checkpoint_are_dropped(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    rare = SETTINGS.model_copy(update={"checkpoint_seconds": 1e6})
    whole = Run(tiny_folder("decoder-chat"), tmp_path / "whole", training=rare)
    whole.train()
    with pytest.raises(Killed):
        interrupt(Run(tiny_folder("decoder-chat"), tmp_path / "cut", training=rare), 4, kill)
    assert len(read_lines(tmp_path / "cut" / "metrics.jsonl")) == 3
    assert not (tmp_path / "cut" / "checkpoint.safetensors").exists()
    again = Run(tiny_folder("decoder-chat"), tmp_path / "cut", training=rare)
    again.train()
    assert again.metrics() == whole.metrics() and same(again.module, whole.module)


def test_a_finished_training_is_not_done_twice(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    first = Run(tiny_folder("decoder-chat"), tmp_path)
    result = first.train()
    second = Run(tiny_folder("decoder-chat"), tmp_path)
    second.step = None  # type: ignore[assignment]
    assert second.train() == result
    assert same(first.module, second.module)


@pytest.mark.parametrize("rank", [8, 4])
def test_a_checkpoint_of_another_arm_is_refused(rank: int, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    Run(tiny_folder("decoder-chat"), tmp_path).train()
    other = Run(tiny_folder("decoder-chat"), tmp_path, "soft" if rank == 4 else "lora")
    if rank == 8:
        fresh = tiny.fresh(tiny_folder("decoder-chat"))
        other.module = method("lora").apply(fresh, method("lora").settings(rank=8), 0)
    with pytest.raises(FolderError, match=r"belongs to another method or model"):
        other.train()


def test_a_failed_checkpoint_leaves_the_old_one(
    tiny_folder: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = tmp_path / "checkpoint.safetensors"
    with pytest.raises(Killed):
        interrupt(Run(tiny_folder("decoder-chat"), tmp_path), 4, kill)
    old = checkpoint.read_bytes()

    def full_disk(source: Any, target: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("luthier.files.os.replace", full_disk)
        with pytest.raises(FolderError, match="No space left on device"):
            Run(tiny_folder("decoder-chat"), tmp_path).train()
    assert checkpoint.read_bytes() == old
    # What a kill in the middle of writing leaves behind does not pile up.
    (tmp_path / ".checkpoint.safetensors.abc.part").write_bytes(old[:100])
    again = Run(tiny_folder("decoder-chat"), tmp_path)
    again.train()
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_a_checkpoint_is_written_without_a_copy_of_the_whole(tmp_path: Path) -> None:
    module = nn.Linear(500, 1000, bias=False)

    def step(row: Any) -> tuple[Any, int, int]:
        return module(row).square().sum(), 1, 1

    def trained(folder: Path) -> None:
        train(module, step, Fixed([[torch.ones(1, 500)]]), Training(checkpoint_seconds=1e6), folder)

    trained(tmp_path / "imports")
    tracemalloc.start()
    try:
        trained(tmp_path / "again")
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < (tmp_path / "again" / "checkpoint.safetensors").stat().st_size / 4


# --- what it computes ---------------------------------------------------------------------------------------------


def test_accumulating_equals_the_big_batch(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    runs = []
    for micro_tokens in (1, 300, 10**6):
        training = SETTINGS.model_copy(update={"micro_tokens": micro_tokens, "learning_rate": 1e-4})
        run = Run(tiny_folder("decoder-plain"), tmp_path / str(micro_tokens), "full", training)
        run.module.double()
        run.train(evaluate=None)
        runs.append(run)
    for other in runs[1:]:
        for mine, theirs in zip(runs[0].metrics(), other.metrics(), strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5)
        theirs = tiny.weights(other.module)
        assert all(torch.allclose(w, theirs[n], rtol=1e-5, atol=1e-6) for n, w in tiny.weights(runs[0].module).items())


def test_one_step_is_adamw_on_the_clipped_mean(tmp_path: Path) -> None:
    """Against torch's own optimizer and clipping, on a mean that is divided once."""
    rows = [(torch.randn(n, 3, generator=torch.Generator().manual_seed(n)), n) for n in (1, 2, 5)]
    training = Training(learning_rate=0.1, clip_norm=0.5, weight_decay=0.3, evaluations=1)
    mine, plain = nn.Linear(3, 1), nn.Linear(3, 1)
    plain.load_state_dict(mine.state_dict())

    def loss_of(module: nn.Module, row: tuple[torch.Tensor, int]) -> torch.Tensor:
        return (module(row[0]) - 5).square().sum()

    train(mine, lambda row: (loss_of(mine, row), row[1], row[1]), Fixed([rows] * 3), training, tmp_path)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.1, weight_decay=0.3)
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.1 * schedule(step, 3, training.warmup)
        optimizer.zero_grad()
        (torch.stack([loss_of(plain, row) for row in rows]).sum() / 8).backward()
        norm = nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        assert read_lines(tmp_path / "metrics.jsonl")[step]["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
        optimizer.step()
    assert torch.allclose(mine.weight, plain.weight, atol=1e-5)


def test_a_parameter_may_move_at_a_multiple_of_the_rate(tmp_path: Path) -> None:
    """Against AdamW with two groups; the clipping stays that of all parameters together."""
    row = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), 4)
    training = Training(learning_rate=0.1, evaluations=1)
    mine, plain = nn.Linear(3, 1), nn.Linear(3, 1)
    plain.load_state_dict(mine.state_dict())
    start = mine.bias.detach().clone()

    def loss_of(module: nn.Module) -> torch.Tensor:
        return (module(row[0]) - 5).square().sum()

    train(mine, lambda _: (loss_of(mine), 4, 4), Fixed([[row]] * 3), training, tmp_path, rates={"bias": 4.0})
    groups = [{"params": [plain.weight]}, {"params": [plain.bias]}]
    optimizer = torch.optim.AdamW(groups, lr=0.1, weight_decay=0.0)
    for step in range(3):
        for group, multiple in zip(optimizer.param_groups, (1.0, 4.0), strict=True):
            group["lr"] = multiple * 0.1 * schedule(step, 3, training.warmup)
        optimizer.zero_grad()
        (loss_of(plain) / 4).backward()
        nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
    assert torch.allclose(mine.weight, plain.weight, atol=1e-5)
    assert torch.allclose(mine.bias, plain.bias, atol=1e-5)
    assert float((mine.bias - start).abs()) > 0.2  # further than 3 steps of the plain, falling rate would go


class Fixed:
    """Batches that are already there."""

    def __init__(self, steps: list[list[Any]]) -> None:
        self.steps, self.position = steps, 0

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Any]]:
        while self.position < len(self.steps):
            self.position += 1
            yield self.steps[self.position - 1]

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def test_the_best_checkpoint_is_the_one_that_stays(tmp_path: Path) -> None:
    """The first of two equals: later is not better."""
    module = nn.Linear(1, 1)
    seen: list[dict[str, torch.Tensor]] = []
    scores = iter([0.1, 0.7, 0.7, 0.3])

    def evaluate() -> float:
        assert not module.training
        seen.append(tiny.weights(module))
        return next(scores)

    ones = Fixed([[torch.ones(1, 1)] for _ in range(8)])
    result = train(
        module, lambda x: (module(x).sum(), 1, 1), ones, Training(evaluations=4), tmp_path, evaluate=evaluate
    )
    assert (result.best_step, result.best_metric, result.steps) == (4, 0.7, 8)
    assert all(torch.equal(weight, seen[1][name]) for name, weight in tiny.weights(module).items())
    assert [row["step"] for row in read_lines(tmp_path / "metrics.jsonl") if "dev" in row] == [2, 4, 6, 8]
    assert not module.training


@pytest.mark.parametrize("total, warmup, values", [
    (10, 0.2, [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]),
    (4, 0.0, [1.0, 1.0, 2 / 3, 1 / 3]),
    (1, 0.06, [1.0]),
])  # fmt: skip
def test_the_schedule(total: int, warmup: float, values: list[float]) -> None:
    assert [schedule(step, total, warmup) for step in range(total)] == pytest.approx(values)


# --- what it refuses ----------------------------------------------------------------------------------------------


def test_a_loss_that_is_no_number_is_a_sentence(tmp_path: Path) -> None:
    module = nn.Linear(1, 1)
    with pytest.raises(SettingsError, match=r"no longer a number at step 1 of 1; lower the learning rate \(0.001\)"):
        train(
            module, lambda x: (module(x).sum() * float("nan"), 1, 1), Fixed([[torch.ones(1, 1)]]), Training(), tmp_path
        )
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_gradient_that_is_no_number_spoils_no_weights(tmp_path: Path) -> None:
    """sqrt at 0: the loss is a number, its gradient is not."""
    module = nn.Linear(1, 1, bias=False)
    before = module.weight.detach().clone()
    with pytest.raises(SettingsError, match="no longer a number"):
        train(module, lambda x: ((module(x) * 0).sqrt().sum(), 1, 1), Fixed([[torch.ones(1, 1)]]), Training(), tmp_path)
    assert torch.equal(module.weight, before) and not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    "seconds, slow, saved", [(1.5, 0.0, 5), (1.5, 0.05, 5), (1.5, 1.0, 1), (20, 0.0, 0), (0, 1.0, 10)]
)
def test_checkpoints_take_little_of_the_time(
    seconds: float, slow: float, saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten steps of a second each, on a clock that the test moves; writing takes `slow` seconds."""
    now, module, saves = [0.0], nn.Linear(1, 1), []

    def step(x: torch.Tensor) -> tuple[torch.Tensor, int, int]:
        now[0] += 1.0
        return module(x).sum(), 1, 1

    def save(self: Any) -> None:
        now[0] += slow
        saves.append(self.progress.step)

    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(loop.State, "save", save)
    train(module, step, Fixed([[torch.ones(1, 1)] for _ in range(11)]), Training(checkpoint_seconds=seconds), tmp_path)
    assert saves[-1] == 11, "the last step is always kept"
    assert len(saves) == saved + 1


def test_nothing_to_train_is_refused(tmp_path: Path) -> None:
    module = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(SettingsError, match="no parameter requires a gradient"):
        train(module, lambda x: (module(x).sum(), 1, 1), Fixed([]), Training(), tmp_path)


# --- Ctrl-C from outside ------------------------------------------------------------------------------------------

SCRIPT = """
from __future__ import annotations
import sys, time
from collections.abc import Iterator
from pathlib import Path
import torch
from torch import nn
from typing import Any
from luthier.training.loop import train
from luthier.training.settings import Training
from luthier.progress import Stopped, stoppable

FIXED

torch.manual_seed(1)
module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 1))
wait = float(sys.argv[2])

def step(x):
    print("step", flush=True)
    time.sleep(wait)
    return module(x).square().sum(), 3, 3

try:
    with stoppable():
        train(module, step, Fixed([[torch.ones(3, 4)]] * 20), Training(checkpoint_seconds=1e6), Path(sys.argv[1]))
except Stopped:
    sys.exit(130)
print("weights", [round(float(p.double().sum()), 12) for p in module.parameters()])
""".replace("FIXED", inspect.getsource(Fixed))


def test_ctrl_c_saves_and_a_second_start_ends_with_the_same_weights(tmp_path: Path) -> None:
    def start(folder: Path, wait: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder), str(wait)],
            cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    whole, stopped = start(tmp_path / "whole", 0), start(tmp_path / "stopped", 0.2)
    assert stopped.stdout is not None
    for _ in range(3):
        assert stopped.stdout.readline() == "step\n"
    stopped.send_signal(signal.SIGINT)
    _, told = stopped.communicate(timeout=300)
    assert stopped.returncode == 130, told
    assert "stopping at the next safe point" in told
    rows = read_lines(tmp_path / "stopped" / "metrics.jsonl")
    assert 3 <= len(rows) < 20
    again, _ = start(tmp_path / "stopped", 0).communicate(timeout=300)
    assert again.count("step\n") == 20 - len(rows)
    assert again.splitlines()[-1] == whole.communicate(timeout=300)[0].splitlines()[-1]


def test_a_checkpoint_of_other_examples_or_another_metric_is_not_continued(
    tiny_folder: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh = Run(tiny_folder("decoder-chat"), tmp_path / "fresh")
    fresh.train(decided_by="now")
    with pytest.raises(Killed):
        interrupt(Run(tiny_folder("decoder-chat"), tmp_path / "run"), 4, kill)  # decided by nothing
    assert len(read_lines(tmp_path / "run" / "metrics.jsonl")) == 3
    again = Run(tiny_folder("decoder-chat"), tmp_path / "run")
    again.train(decided_by="now")
    assert same(again.module, fresh.module) and again.metrics() == fresh.metrics()
    assert "made of other examples or settings, or for another dev metric, so the training begins anew" in (
        capsys.readouterr().err
    )
