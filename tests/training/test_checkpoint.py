"""A training that begins where a shorter one kept a copy ends bit for bit as it would alone; a copy of another fails.

That a training goes on from its own checkpoint is in test_loop.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from luthier.errors import FolderError, SettingsError
from luthier.files import read_lines
from luthier.training.checkpoint import TRUNK_FILE, Trunk
from luthier.training.loop import Trained, train
from luthier.training.optimizers import optimizers, steps_before, trunk
from luthier.training.settings import Training
from tests import tiny

COOLDOWN, LENGTHS = 0.25, (8, 12, 20)
SETTINGS = Training(learning_rate=0.02, warmup=0.2, evaluations=1, checkpoint_seconds=0)


class Killed(BaseException):
    """What kill -9 would do, in one process."""


class Numbers:
    """So many steps of two micro-batches, which follow from the position alone."""

    def __init__(self, steps: int) -> None:
        self.steps, self.position = steps, 0

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[list[torch.Tensor]]:
        while self.position < self.steps:
            self.position += 1
            drawn = torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(self.position))
            yield list(drawn)

    def state_dict(self) -> dict[str, int]:
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.position = state["position"]


def run(
    folder: Path, steps: int, begin: Path | None = None, *, name: str = "muon", kill_at: int = 0, decided_by: str = "a",
    settings: Training = SETTINGS, shared: int | None = None,
) -> tuple[nn.Module, Trained]:  # fmt: skip
    """A training of one trunk, killed inside a step of this sitting where `kill_at` says so."""
    torch.manual_seed(0)
    module, calls = nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.3), nn.Linear(6, 6)), 0

    def step(x: torch.Tensor) -> tuple[torch.Tensor, int, int]:
        nonlocal calls
        calls += 1
        if calls == 2 * kill_at:
            raise Killed
        return (module(x) - 1).square().sum(), 3, 3

    def evaluate() -> float:
        return -float(module(torch.ones(1, 6)).detach().sum())

    trained = train(
        module, step, Numbers(steps), settings, folder, evaluate=evaluate, rate_at=trunk(COOLDOWN, LENGTHS[-1]),
        optimizers=optimizers(name, weight_decay=0.1), decided_by=f"{decided_by} {steps}",
        trunk=Trunk(
            steps=steps_before(COOLDOWN, steps) if shared is None else shared, is_kept=steps < LENGTHS[-1],
            decided_by=decided_by, begin=begin,
        ),
    )  # fmt: skip
    return module, trained


def rows(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_lines(folder / "metrics.jsonl")]


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(weight, tiny.weights(other)[name]) for name, weight in tiny.weights(one).items())


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_each_length_of_a_trunk_is_what_it_is_alone(name: str, tmp_path: Path) -> None:
    """With dropout, a warm-up that is a share of the longest, and a metric at the end."""
    begin = None
    for steps in LENGTHS:
        folder, alone = tmp_path / f"{steps}", tmp_path / f"{steps}-alone"
        mine, trained = run(folder, steps, begin, name=name)
        theirs, whole = run(alone, steps, name=name)
        assert same(mine, theirs) and rows(folder) == rows(alone) and len(rows(folder)) == steps
        counts = ("steps", "tokens", "supervised", "best_step", "best_metric")
        assert [getattr(trained, one) for one in counts] == [getattr(whole, one) for one in counts]
        shared = steps_before(COOLDOWN, int(begin.name)) if begin else 0
        assert (trained.shared_steps, whole.shared_steps) == (shared, 0)
        seconds = [row["seconds"] for row in read_lines(folder / "metrics.jsonl")]
        assert set(seconds[:shared]) <= {0} and trained.seconds < whole.seconds + sum(seconds)
        assert (folder / TRUNK_FILE).exists() == (steps < LENGTHS[-1])
        begin = folder


def test_the_fall_is_what_lengths_do_not_share(tmp_path: Path) -> None:
    """The proof that the test above can fail: with steps of the fall in the copy the weights are others."""
    run(tmp_path / "12", 12, shared=11)
    mine, _ = run(tmp_path / "20", 20, tmp_path / "12")
    theirs, _ = run(tmp_path / "alone", 20)
    assert not same(mine, theirs)


def test_killed_in_any_step_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    expected, _ = run(tmp_path / "alone", 12)
    for rare in (SETTINGS, SETTINGS.model_copy(update={"checkpoint_seconds": 1e6})):
        for steps, kill_at in [(8, n) for n in range(1, 9)] + [(12, n) for n in range(1, 7)]:
            place = tmp_path / f"{rare.checkpoint_seconds}-{steps}-{kill_at}"
            if steps == 12:
                run(place / "8", 8, settings=rare)
            begin = place / "8" if steps == 12 else None
            with pytest.raises(Killed):
                run(place / f"{steps}", steps, begin, kill_at=kill_at, settings=rare)
            run(place / "8", 8, settings=rare)
            mine, trained = run(place / "12", 12, place / "8", settings=rare)
            assert same(mine, expected) and rows(place / "12") == rows(tmp_path / "alone"), (steps, kill_at)
            assert trained.shared_steps == 6


def spoil(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:100])


def forget(copy: Path) -> None:
    lines = (copy.parent / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy.parent / "metrics.jsonl").write_text("".join(lines[:3]))


@pytest.mark.parametrize("spoiled, given, sentence", [
    (spoil, {}, "the checkpoint is damaged; remove it, and the training begins from nothing"),
    (None, {"decided_by": "b"}, "made of other examples or settings"),
    (forget, {}, "it has 6 steps, and 9 are shared, 3 written down"),
    (None, {"shared": 5}, "it has 6 steps, and 5 are shared, 6 written down"),
])  # fmt: skip
def test_a_copy_of_other_steps_is_refused(
    spoiled: Callable[[Path], None] | None, given: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    run(tmp_path / "8", 8)
    if spoiled:
        spoiled(tmp_path / "8" / TRUNK_FILE)
    with pytest.raises(FolderError, match=sentence):
        run(tmp_path / "12", 12, tmp_path / "8", **given)
    (tmp_path / "8" / TRUNK_FILE).unlink()  # as the sentence says
    mine, trained = run(tmp_path / "12", 12, tmp_path / "8", decided_by="b")
    assert trained.shared_steps == 0 and same(mine, run(tmp_path / "alone", 12)[0])


def test_a_metric_in_shared_steps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="evaluations is 3, and the dev metric would be taken in steps"):
        run(tmp_path, 12, settings=SETTINGS.model_copy(update={"evaluations": 3}))
